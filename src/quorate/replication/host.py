"""Host: runs one machine on one Env, and is the only interpreter of effects."""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, assert_never

import msgspec

from quorate.env import Env, Timer
from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Codec,
    Deliver,
    Effect,
    Event,
    GroupId,
    Machine,
    Malformed,
    Message,
    NodeId,
    Outbox,
    Output,
    Persist,
    Persisted,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
    marks,
)
from quorate.replication.frames import Kind
from quorate.replication.links import Links


class Log(Protocol):
    """What a host needs of the node's write-ahead log."""

    def append(self, group: GroupId, records: list[bytes]) -> int:
        """Queue records for the next write of the node; return the ordinal that `on_stable` will pass."""


class Host:
    """Interprets the effects of one machine, in order, behind the durability barrier of `kernel.Outbox`.

    Events that arise while effects are performed (an output that leads to a call) wait in a queue, so a machine is
    never entered twice. What peers send and cannot be decoded is counted and ignored.
    """

    def __init__(
        self,
        env: Env,
        machine: Machine,
        *,
        group: GroupId,
        messages: Codec[Any],  # Any: the union of one protocol's messages
        log: Log,
        links: Links,
        on_output: Callable[[Output], None],
        on_persist: Callable[[tuple[Record, ...], int], None],
    ) -> None:
        self.env = env
        self.machine = machine
        self.group = group
        self.malformed_count = 0
        self._messages = messages
        self._records = msgspec.msgpack.Encoder()
        self._log = log
        self._links = links
        self._on_output = on_output
        self._on_persist = on_persist
        self._outbox = Outbox()
        # Ordinals of the log, one per Persist that is not stable yet, oldest first.
        self._ordinals: deque[int] = deque()
        self._stable_count = 0
        self._timers: dict[str, Timer] = {}
        self._events: deque[Event] = deque()
        self._is_busy = False
        self._is_stopped = False
        self._group_prefix = group.to_bytes(4, "big")
        self._last_message: Message | None = None
        self._last_payload = b""

    def start(self) -> None:
        """Give the machine its first event."""
        self._take(Started())

    def stop(self) -> None:
        """Take no more events; timers end."""
        self._is_stopped = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def call(self, call: Call) -> None:
        """Ask something of the machine."""
        self._take(Called(call))

    def receive(self, sender: NodeId, payload: bytes) -> None:
        """Take a peer's encoded message; garbage is counted and ignored."""
        try:
            message = self._messages.decode(payload)
        except Malformed:
            self.malformed_count += 1
            marks.hit("host: garbage from a peer")
            return
        self._take(Received(sender, message))

    def stable(self, ordinal: int) -> None:
        """Learn that the log is stable up to an ordinal."""
        count = 0
        while self._ordinals and self._ordinals[0] <= ordinal:
            self._ordinals.popleft()
            count += 1
        if count:
            self._stable_count += count
            self._take(Persisted(self._stable_count))

    def _take(self, event: Event) -> None:
        if self._is_stopped:
            return
        self._events.append(event)
        if self._is_busy:
            return
        self._is_busy = True
        try:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, Persisted):  # what waited for the write leaves before anything newer
                    for released in self._outbox.persisted(event.count):
                        self._perform(released)
                for effect in self._outbox.push(self.machine.step(event, now=self.env.clock.now())):
                    self._perform(effect)
        finally:
            self._is_busy = False

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                # A broadcast is encoded once.
                if message is not self._last_message and message != self._last_message:
                    self._last_message = message
                    self._last_payload = self._group_prefix + self._messages.encode(message)
                self._links.send(to, Kind.MESSAGE, self._last_payload)
            case Persist(records):
                ordinal = self._log.append(self.group, [self._records.encode(record) for record in records])
                self._ordinals.append(ordinal)
                self._on_persist(records, ordinal)
            case Deliver(output):
                self._on_output(output)
            case SetTimer(timer, after):
                self._cancel(timer)
                self._timers[timer] = self.env.clock.call_after(after, lambda: self._fired(timer))
            case CancelTimer(timer):
                self._cancel(timer)
            case _:
                assert_never(effect)

    def _cancel(self, timer: str) -> None:
        running = self._timers.pop(timer, None)
        if running is not None:
            running.cancel()

    def _fired(self, timer: str) -> None:
        self._timers.pop(timer, None)
        self._take(TimerFired(timer))
