"""The core level: machines directly on the scheduler, for breadth.

No event loop, no sockets, no bytes (unless a codec is given): a message is an object that a link carries as it would
carry a datagram. Links, dice, clocks, disk latencies and faults are those of the loop level, so a machine behind a thin
shell at loop level exchanges the same messages at the same nanoseconds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, assert_never

from quorate.kernel import (
    Call,
    Called,
    CancelTimer,
    Codec,
    Deliver,
    Duration,
    Effect,
    Event,
    Instant,
    Machine,
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
)
from quorate.sim.datagrams import OVERHEAD_BYTES
from quorate.sim.host import Host
from quorate.sim.scheduler import DEAD, OPEN, STALLED, Gate, Happening
from quorate.sim.world import World

Make = Callable[[NodeId, list[Record], Random], Machine]
"""Makes the machine of a node from what it persisted before; the last argument is its own random stream."""

# What a message counts for on a link of bounded bandwidth when it is not encoded.
MESSAGE_BYTES = 100


class CoreHost:
    """Runs one machine on the world's scheduler: interprets its effects, keeps its records, crashes and restarts it."""

    def __init__(self, cluster: "CoreCluster", host: Host) -> None:
        self.cluster = cluster
        self.host = host
        self.node = host.node
        self.number = host.number
        self.name = host.name
        self.gate = Gate(host.number)
        self.gate.state = DEAD
        self.machine: Machine
        # Stable, being written, and not yet written.
        self.durable: list[Record] = []
        self.writing: list[Record] = []
        self.waiting: list[Record] = []
        self.boot_count = 0
        self.step_count = 0
        self.is_paused = False
        self._world = cluster.world
        self._scheduler = cluster.world.scheduler
        self._links = cluster.world.links
        self._time = host.time
        self._timers: dict[str, Happening] = {}
        self._outbox = Outbox()
        self._events: deque[Event] = deque()
        self._is_busy = False
        self._persist_asked = 0
        self._persist_writing = 0

    def __repr__(self) -> str:
        return f"<CoreHost {self.name}>"

    @property
    def is_running(self) -> bool:
        """Return whether the machine exists; it may be paused."""
        return self.gate.state != DEAD

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the machine from the durable records and give it its first event."""
        assert not self.is_running, "one life at a time"
        self.boot_count += 1
        self.host.is_up = True
        self.gate = Gate(self.number)
        self.is_paused = False
        self._timers = {}
        self._outbox = Outbox()
        self._events = deque()
        self._persist_asked = self._persist_writing = 0
        self.writing, self.waiting = [], []
        rng = self._world.choices.random("env", self.name, self.boot_count)
        self._world.trace(self.name, f"start boot={self.boot_count} records={len(self.durable)}")
        self.machine = self.cluster.make(self.node, list(self.durable), rng)
        self._take(Started())

    restart = start

    def stop(self) -> None:
        """End the machine; at this level there is no good order to end in."""
        self.crash()

    def crash(self) -> None:
        """End the process: what it had given to the kernel survives, what waited in memory is lost."""
        if self.is_running:
            self._end("crash")
            self.durable += self.writing

    def power_cut(self) -> None:
        """Switch the machine off: of the write in flight a prefix survives."""
        if self.is_running:
            self._end("power cut")
            self.host.is_up = False
            kept_count = self._world.choices.stream("disk", self.name).between(0, len(self.writing))
            self.durable += self.writing[:kept_count]

    def wipe(self) -> None:
        """Cut the power and lose all records: the next life is a first one."""
        self.power_cut()
        self.durable = []

    def _end(self, how: str) -> None:
        self._world.trace(self.name, how)
        self._scheduler.kill(self.gate)
        # A handler that is under way at this moment must do no more than return.
        self._events.clear()

    def pause(self) -> None:
        """Let nothing run; what arrives waits."""
        if self.gate.state == OPEN:
            self._world.trace(self.name, "pause")
            self.gate.state = STALLED
            self.is_paused = True

    def resume(self) -> None:
        """Let everything run that waited."""
        if self.is_paused and self.is_running:
            self._world.trace(self.name, "resume")
            self.is_paused = False
            self._scheduler.release(self.gate)

    # -- events -----------------------------------------------------------------------------------------------------

    def now(self) -> Instant:
        """Return this node's monotonic time."""
        return Instant(self._time.local(self._scheduler.now))

    def call(self, call: Call) -> bool:
        """Ask something of the machine; return False when it does not run."""
        if self.gate.state == DEAD:
            return False
        self._submit(Called(call))
        return True

    def _submit(self, event: Event) -> None:
        if self.gate.state == OPEN:
            self._take(event)
        elif self.gate.state == STALLED:
            self.gate.backlog.append(Happening(self.gate, self._take, (event,)))

    def _take(self, event: Event) -> None:
        if self._is_busy:
            self._events.append(event)
            return
        self._is_busy = True
        try:
            self._step(event)
            while self._events:
                self._step(self._events.popleft())
        finally:
            self._is_busy = False

    def _step(self, event: Event) -> None:
        gate = self.gate
        self.step_count += 1
        if isinstance(event, Persisted):
            for released in self._outbox.persisted(event.count):
                self._perform(released)
        now = self._time.local(self._scheduler.now)
        effects = self.machine.step(event, now=now)  # type: ignore[arg-type]  # a call for each step would be felt
        for effect in self._outbox.push(effects) if effects else ():
            # The two that are a thousand times as frequent as all others.
            kind = type(effect)
            if kind is Send:
                self._send(effect.to, effect.message)  # type: ignore[union-attr]
                continue
            if kind is SetTimer:
                self._set_timer(effect.timer, now + max(0, effect.after))  # type: ignore[union-attr]
                continue
            self._perform(effect)
            if gate.state == DEAD:
                return  # an output led to a crash: the rest was never said
        for look in self.cluster.after_step:
            look(self, event)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._send(to, message)
            case SetTimer(timer, after):
                self._set_timer(timer, self._time.local(self._scheduler.now) + max(0, after))
            case Persist(records):
                self._persist(records)
            case Deliver(output):
                self.cluster.on_deliver(self, output)
            case CancelTimer(timer):
                running = self._timers.pop(timer, None)
                if running is not None:
                    running.cancel()
            case _:
                assert_never(effect)

    # -- network ----------------------------------------------------------------------------------------------------

    def _send(self, to: NodeId, message: Message) -> None:
        target = self.cluster.hosts.get(to)
        if target is None:
            return
        codec, byte_count = self.cluster.codec, MESSAGE_BYTES
        if codec is not None:
            payload = codec.encode(message)
            byte_count = len(payload)
            message = codec.decode(payload)
        now = self._scheduler.now
        delays = self._links.datagram_delays(
            self.number, target.number, now=now, byte_count=byte_count + OVERHEAD_BYTES
        )
        # What arrives asks for itself whether the target lives, so any gate that is always open will do.
        gate = target.host.kernel_gate
        for delay in delays:
            self._scheduler.at(now + delay, gate, target._arrive, self, message)

    def _arrive(self, sender: "CoreHost", message: Message) -> None:
        state = self.gate.state
        if state == DEAD or (self._links.cut and self._links.is_cut(sender.number, self.number)):
            return
        if state == OPEN:
            self._take(Received(sender.node, message))
        else:
            self._submit(Received(sender.node, message))

    # -- timers -----------------------------------------------------------------------------------------------------

    def _set_timer(self, timer: str, deadline: int) -> None:
        running = self._timers.get(timer)
        if running is not None:
            running.cancel()
        when = self._time.true(deadline)
        self._timers[timer] = self._scheduler.at(when, self.gate, self._fired, timer, deadline)

    def _fired(self, timer: str, deadline: int) -> None:
        if self.now() < deadline:
            # The clock has slowed down since.
            self._set_timer(timer, deadline)
            return
        self._timers.pop(timer, None)
        self._take(TimerFired(timer))

    # -- disk -------------------------------------------------------------------------------------------------------

    def _persist(self, records: tuple[Record, ...]) -> None:
        self.waiting += records
        self._persist_asked += 1
        if self._persist_writing == self._outbox.persisted_count:
            self._write()

    def _write(self) -> None:
        """Begin one write of everything that waits (group commit)."""
        self.writing, self.waiting = self.waiting, []
        self._persist_writing = self._persist_asked
        delay = self.host.disk.sync_delay(self._scheduler.now)
        self._scheduler.at(self._scheduler.now + delay, self.gate, self._written)

    def _written(self) -> None:
        self.durable += self.writing
        self.writing = []
        count = self._persist_writing
        if len(self.durable) > self.cluster.compact_above:
            self.durable = self.cluster.compact(self.durable)
        self._take(Persisted(count))
        if self._persist_asked > count and self.gate.state != DEAD and self._persist_writing == count:
            self._write()


class CoreCluster:
    """Machines of one protocol, one per node, on one world.

    Args:
        make: makes a node's machine from its durable records.
        nodes: ids, each becomes host `n<id>` of the world.
        codec: when given, every message is encoded and decoded again, so that nothing is shared and sizes are real.
        on_deliver: called with every output of every machine.
        compact: shortens a list of durable records that has grown above `compact_above`, keeping its meaning.
    """

    def __init__(
        self,
        world: World,
        make: Make,
        nodes: Sequence[int],
        *,
        codec: Codec[Any] | None = None,
        on_deliver: Callable[[CoreHost, Output], None] | None = None,
        compact: Callable[[list[Record]], list[Record]] | None = None,
        compact_above: int = 10_000,
    ) -> None:
        self.world = world
        self.make = make
        self.codec = codec
        self.on_deliver = on_deliver or _ignore
        self.compact = compact or list
        self.compact_above = compact_above if compact is not None else 1 << 62
        # Called after every step of every machine: where invariants are checked.
        self.after_step: list[Callable[[CoreHost, Event], None]] = []
        self.hosts: dict[NodeId, CoreHost] = {}
        for node in nodes:
            self.add(node)

    def add(self, node: int) -> CoreHost:
        """Add a node that does not run yet."""
        host = CoreHost(self, self.world.host(f"n{node}", node=node))
        self.hosts[host.node] = host
        return host

    def start(self) -> None:
        """Start every node that does not run."""
        for host in self.hosts.values():
            if not host.is_running:
                host.start()

    def run_for(self, span: Duration) -> None:
        """Run the world for a span of true time; raise ProgramFailed when a machine or an invariant raised."""
        self.world.run_for(span)

    def run_until(self, is_done: Callable[[], bool], *, timeout: Duration, period: Duration) -> bool:
        """Run until a condition holds, looked at every period; return whether it did in time."""
        deadline = self.world.now + timeout
        while not is_done():
            if self.world.now >= deadline:
                return False
            self.world.run_for(period)
        return True


def _ignore(_: CoreHost, __: Output) -> None:
    """Drop an output."""
