"""A group and a host without a world: a clock that is set by hand, links and machines that write down what they hear."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from quorate.env import Env
from quorate.kernel import Call, Duration, GroupId, Instant, NodeId
from quorate.protocols.raft import COMMAND, Committed, Entry, Propose, Proposed, Read, RoleChanged
from quorate.replication import Group, GroupConfig, Kind, Vocabulary
from quorate.store import BATCHES, NEEDS_LOG, Batch, Command, KeyValueStore, MemoryBase, ReplyError

WALL_MS = 1_000_000


class Timer:
    def __init__(self, when: int, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    def __init__(self) -> None:
        self.time = 0
        self.timers: list[Timer] = []

    def now(self) -> Instant:
        return Instant(self.time)

    def wall_ns(self) -> int:
        return self.time + WALL_MS * 1_000_000

    def call_after(self, after: Duration, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.time + after, callback)
        self.timers.append(timer)
        return timer

    def advance(self, span_ms: float) -> None:
        end = self.time + round(span_ms * 1e6)
        while due := [timer for timer in self.timers if timer.when <= end]:
            timer = min(due, key=lambda timer: timer.when)
            self.timers.remove(timer)
            self.time = max(self.time, timer.when)
            if timer.callback is not None:
                timer.callback()
        self.time = end


class Turn:
    """Ends when the test says so."""

    def __init__(self) -> None:
        self.stages: list[Callable[[], None]] = []
        self.is_asked = False

    def ask(self) -> None:
        self.is_asked = True

    def end(self) -> int:
        """Run turns until nobody asks for another; return how many there were."""
        count = 0
        while self.is_asked:
            count += 1
            assert count < 50, "the turns spin"
            self.is_asked = False
            for stage in self.stages:
                stage()
        return count


class Links:
    def __init__(self) -> None:
        self.sent: list[tuple[int, Kind, bytes]] = []
        self.is_up = True

    def send(self, to: NodeId, kind: Kind, payload: bytes) -> bool:
        if self.is_up:
            self.sent.append((to, kind, payload))
        return self.is_up

    def take(self) -> list[tuple[int, Kind, bytes]]:
        taken, self.sent = self.sent, []
        return taken


class GroupHost:
    """Stands where a host would: writes calls down."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_stopped = False

    def call(self, call: Call) -> None:
        self.calls.append(call)

    def stop(self) -> None:
        self.is_stopped = True

    def take(self, kind: type) -> list[Any]:
        taken = [call for call in self.calls if isinstance(call, kind)]
        self.calls = [call for call in self.calls if not isinstance(call, kind)]
        return taken


class Caller:
    """One connection."""

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.flush_count = 0

    def complete(self, reply: Any) -> None:
        self.replies.append(reply)

    def flush(self) -> None:
        self.flush_count += 1

    @property
    def codes(self) -> list[str]:
        return [reply.code if isinstance(reply, ReplyError) else "" for reply in self.replies]


class Bench:
    """Node 1 with one group."""

    def __init__(self, **config: Any) -> None:
        self.clock, self.turn, self.links, self.host = Clock(), Turn(), Links(), GroupHost()
        world: Any = self
        env = Env(
            node=NodeId(1),
            clock=self.clock,
            network=world,
            streams=world,
            disk=world,
            rng=random.Random(1),
            buggify=lambda _site: False,
        )
        self.state = KeyValueStore(MemoryBase())
        vocabulary = Vocabulary(
            encode=lambda commands: BATCHES.encode(Batch(commands)),
            decode=lambda data: BATCHES.decode(data).commands,
            error=ReplyError,
            needs_log=NEEDS_LOG,
            tick=lambda: Command(0, [b"QUORATE.TICK"]),
        )
        turn: Any = self.turn
        links: Any = self.links
        host: Any = self.host
        self.group = Group(env, turn, links, self.state, vocabulary, group=GroupId(1), config=GroupConfig(**config))
        self.group.attach(host)
        self.turn.stages = [self.group.end_turn, self.group.flush_callers]
        self.index = 0
        self.term = 1

    def lead(self, leader: int | None = 1, term: int = 1) -> None:
        self.term = term
        role = "leader" if leader == 1 else "follower"
        self.group.on_output(RoleChanged(role, term, None if leader is None else NodeId(leader)))
        self.turn.end()

    def write(self, *args: bytes, caller: Caller | None = None) -> Caller:
        caller = caller or Caller()
        self.group.write(Command(0, list(args)), caller)
        return caller

    def read(self, *args: bytes, caller: Caller | None = None) -> Caller:
        caller = caller or Caller()
        self.group.read(Command(0, list(args)), caller)
        return caller

    def propose(self) -> list[Propose]:
        """End the turn; give each proposal its place; return them."""
        self.turn.end()
        proposals: list[Propose] = self.host.take(Propose)
        for call in proposals:
            self.index += 1
            self.group.on_output(Proposed(call.token, self.index, self.term))  # type: ignore[arg-type]
        return proposals

    def commit(self, payload: bytes, *, index: int | None = None, kind: int = COMMAND) -> None:
        at = self.state.applied_index + 1 if index is None else index
        self.index = max(self.index, at)
        self.group.on_output(Committed((Entry(at, self.term, kind, payload),)))  # type: ignore[arg-type]
        self.turn.end()

    def reads(self) -> list[Read]:
        self.turn.end()
        return self.host.take(Read)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def make_bench() -> type[Bench]:
    return Bench


@pytest.fixture
def caller() -> Caller:
    return Caller()
