"""An explored run in the simulated world: the same hosts, effects and records, and the run's own schedule.

The simulator's core level interprets the effects; the schedule takes the place of the dice: when what arrives, which
timer fires, when a write is stable. So a counterexample is checked by a second interpreter of the same machines, and a
trace and a diagram of the simulator can be had of it.
"""

from typing import Any, Final, cast

import msgspec

from quorate.check import explore as x
from quorate.kernel import (
    Duration,
    Event,
    Machine,
    Message,
    NodeId,
    Output,
    Persisted,
    Received,
    Record,
    TimerFired,
    milliseconds,
    seconds,
)
from quorate.sim import CoreCluster, CoreHost, World

# Between two choices.
_STEP: Final = milliseconds(1)
# As in the explorer: beyond every timeout that a machine could set.
_LEAP: Final = seconds(86_400)
# No timer fires by itself.
_NEVER: Final = 1 << 62


class Simulated(msgspec.Struct, frozen=True):
    """What a run came to in the simulated world."""

    # Its end, as the explorer would write it.
    state: x.ClusterState
    # Whether the explorer's own end is the same.
    is_same: bool
    trace_hash: int
    # Space-time diagram of the last moments.
    diagram: str


class _Clock:
    """A host's clock that stands still unless the schedule moves it."""

    def __init__(self) -> None:
        self.now = 0

    def local(self, _true: int) -> int:
        return self.now

    def true(self, _local: int) -> int:
        return _NEVER


class _Host(CoreHost):
    """A host whose timers, writes and messages wait for the schedule."""

    def __init__(self, cluster: "_Cluster", host: Any) -> None:
        super().__init__(cluster, host)
        self.clock = _Clock()
        self._time = cast("Any", self.clock)
        self.writes: list[tuple[Record, ...]] = []
        self.dues: dict[str, int] = {}

    def start(self) -> None:
        self.clock.now = 0
        self.writes, self.dues = [], {}
        super().start()

    restart = start

    def crash_with(self, kept_count: int) -> None:
        for records in self.writes[:kept_count]:
            self.durable += records
        self.writes, self.dues = [], {}
        self.crash()

    def fire(self, timer: str, *, is_punctual: bool) -> None:
        due = self.dues.pop(timer)
        self._timers.pop(timer).cancel()
        now = self.machine.now
        self.clock.now = max(now, due) if is_punctual else now + _LEAP
        self._take(TimerFired(timer))

    def persist_one(self) -> None:
        self.durable += self.writes.pop(0)
        self._take(Persisted(self._outbox.persisted_count + 1))

    def running(self) -> dict[str, int]:
        return {timer: self.dues[timer] for timer in self._timers}

    def key(self, system: x.Cluster, explored: x.Node, seen: tuple[Any, ...]) -> bytes:
        is_up = self.is_running
        return system.node_key(
            self.machine if is_up else None,
            self._outbox if is_up else None,
            records=tuple(self.durable),
            writes=tuple(self.writes),
            running=self.running() if is_up else {},
            timers_left=explored.timers_left,
            seen=seen,
        )

    def _send(self, to: NodeId, message: Message) -> None:
        cluster = cast("_Cluster", self.cluster)
        if to in cluster.hosts:
            cluster.wire.append((to, self.node, x.canonical(message), message, self._scheduler.now))

    def _set_timer(self, timer: str, deadline: int) -> None:
        super()._set_timer(timer, deadline)
        self.dues[timer] = deadline

    def _persist(self, records: tuple[Record, ...]) -> None:
        self._persist_asked += 1
        if not cast("_Cluster", self.cluster).is_disk_instant:
            self.writes.append(records)
            return
        self.durable += records
        # One answer for all writes of a step, after it.
        waiting: list[Event] = [event for event in self._events if not isinstance(event, Persisted)]
        self._events.clear()
        self._events.extend([*waiting, Persisted(self._persist_asked)])


class _Cluster(CoreCluster):
    def __init__(self, world: World, system: x.Cluster) -> None:
        self.is_disk_instant = system.scope.is_disk_instant
        # (receiver, sender, canonical bytes, message, when it was sent).
        self.wire: list[tuple[NodeId, NodeId, bytes, Message, int]] = []
        self.seen: dict[NodeId, list[Any]] = {node: [] for node in system.scope.nodes}

        def make(node: NodeId, records: list[Record], _rng: object) -> Machine:
            return system.make(node, tuple(records))

        def deliver(host: CoreHost, output: Output) -> None:
            kept = system.observe(host.node, output)
            if kept is not None:
                self.seen[host.node].append(kept)

        super().__init__(world, make, system.scope.nodes, on_deliver=deliver)

    def add(self, node: int) -> CoreHost:
        host = _Host(self, self.world.host(f"n{node}", node=node))
        self.hosts[host.node] = host
        return host

    def take(self, choice: x.Choice, system: x.Cluster) -> None:
        """Let one choice happen."""
        host = cast("_Host", self.hosts[choice.node])
        match choice.kind:
            case "deliver" | "lose" | "repeat":
                self._carry(host, choice)
            case "fire":
                host.fire(choice.timer, is_punctual=system.scope.is_punctual)
            case "call":
                host.call(system.scope.calls[choice.number][1])
            case "persist":
                host.persist_one()
            case "crash":
                host.crash_with(choice.number)
            case "restart":
                host.restart()

    def _carry(self, host: _Host, choice: x.Choice) -> None:
        wanted = (choice.node, choice.sender, x.canonical(choice.message))
        place = next(place for place, letter in enumerate(self.wire) if letter[:3] == wanted)
        _, sender, _, message, sent_at = self.wire[place]
        if choice.kind != "repeat":
            del self.wire[place]
        if choice.kind == "lose":
            self.world.trace(host.name, f"lost {message!r}")
            return
        if self.world.links.observer is not None:
            source = self.hosts[sender].host
            self.world.links.observer.arrived(self.world.now, source, host.host, sent_at, [repr(message).encode()])
        host._take(Received(sender, message))


def simulate_example(system: x.Cluster, example: x.Example[x.Choice]) -> Simulated:
    """Run the choices of an explored run in the simulated world, a millisecond apart.

    Raises:
        ProgramFailed: a machine raised.

    Complexity: O(choices).
    """
    explored = x.replay(system, example)[-1]
    with World(0) as world:
        observer = world.observe()
        cluster = _Cluster(world, system)
        cluster.start()
        for place, choice in enumerate(example.choices):
            world.at((place + 1) * _STEP, lambda choice=choice: cluster.take(choice, system))  # type: ignore[misc]
        world.run_for(Duration((len(example.choices) + 1) * _STEP))
        nodes = []
        for name, node in zip(system.scope.nodes, explored.nodes, strict=True):
            host = cast("_Host", cluster.hosts[name])
            seen = tuple(cluster.seen[name])
            machine = host.machine if host.is_running else None
            nodes.append(msgspec.structs.replace(node, machine=machine, seen=seen, key=host.key(system, node, seen)))
        # Stable: messages of one link keep the order in which they were sent.
        network = sorted(
            [letter[:4] for letter in cluster.wire], key=lambda row: row[: 2 if system.scope.is_fifo else 3]
        )
        state = msgspec.structs.replace(explored, nodes=tuple(nodes), network=tuple(network))
        return Simulated(state, system.key(state) == system.key(explored), world.trace_hash, observer.diagram())
