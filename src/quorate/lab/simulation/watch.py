"""Watches every node of a simulated cluster while it runs: invariants across nodes, and equal state machines.

Two claims are checked at every step that could break them. The five safety properties of Raft hold over all machines.
And an entry has the same effect wherever and whenever it is applied: on each replica, again after a restart, after a
snapshot: the same replies, revision, time and number of keys.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

from quorate.kernel import Event, GroupId, Instant, LogIndex, NodeId, Output, Record
from quorate.lab.simulation.options import Failed
from quorate.protocols.raft import (
    Append,
    ClusterHistory,
    Committed,
    HardState,
    InvariantBroken,
    Leader,
    Raft,
    RoleChanged,
    SnapshotMarker,
    check_cluster,
)
from quorate.replication import Sink
from quorate.server import Replica
from quorate.storage import Base
from quorate.store import Command, KeyValueStore

Effect = tuple[int, int, int, int]
"""What applying an entry did: checksum of the replies, revision, log time, number of keys."""


class Watcher:
    """What was ever true of one cluster.

    Args:
        machines: returns the machines of a group on the nodes that run.
        moment: hears what a node just did.
        trace: hears of every step of a machine, in words; None: nobody reads it.
    """

    def __init__(
        self,
        machines: Callable[[GroupId], Sequence[Raft]],
        moment: Callable[[str, NodeId], None],
        trace: Callable[[NodeId, str], None] | None = None,
    ) -> None:
        self.moment = moment
        self.trace = trace
        # The first claim that broke; a program may swallow the exception, the run does not forget.
        self.broken: Failed | None = None
        self._machines = machines
        self._histories: dict[GroupId, ClusterHistory] = {}
        self._effects: dict[tuple[GroupId, LogIndex], tuple[Effect, NodeId]] = {}

    def check(self, group: GroupId) -> None:
        """Check the invariants of a group over all nodes that run."""
        history = self._histories.setdefault(group, ClusterHistory())
        try:
            check_cluster(self._machines(group), history)
        except InvariantBroken as cause:
            self._break(Failed("invariant", str(cause)))

    def applied(self, node: NodeId, group: GroupId, index: LogIndex, effect: Effect) -> None:
        """Compare what an entry did here with what it did elsewhere, or in an earlier life."""
        known, first = self._effects.setdefault((group, index), (effect, node))
        if known != effect:
            names = ("replies", "revision", "log time", "key count")
            parts = [name for name, mine, theirs in zip(names, effect, known, strict=True) if mine != theirs]
            self._break(
                Failed(
                    "divergence",
                    f"node {node} applied entry {index} of group {group} otherwise than node {first}: "
                    f"{', '.join(parts)} differ",
                )
            )

    def _break(self, failed: Failed) -> None:
        if self.broken is None:
            self.broken = failed
        raise failed

    def watched(self) -> type[Replica]:
        """Return the production replica, with eyes on it."""
        watcher = self

        class Watched(Replica):
            """A replica that tells what it does."""

            def make_state(self, base: Base) -> KeyValueStore:
                state = super().make_state(base)
                inner = state.apply

                def apply(index: LogIndex, time_ms: int, commands: Sequence[Command]) -> list[Any]:
                    replies = inner(index, time_ms, commands)
                    effect = (
                        zlib.crc32(repr(replies).encode()),
                        state.revision,
                        state.time_ms,
                        sum(state.key_counts()),
                    )
                    watcher.applied(self.node.env.node, self.group.group, index, effect)
                    return replies

                state.apply = apply  # type: ignore[method-assign]
                return state

            def make_machine(self) -> Raft:
                machine = super().make_machine()
                if watcher.trace is not None:
                    machine.step = traced(machine, watcher.trace)  # type: ignore[method-assign]
                return machine

            def _on_persist(self, records: tuple[Record, ...], ordinal: int) -> None:
                super()._on_persist(records, ordinal)
                is_leader = isinstance(self.machine.role, Leader)
                for record in records:
                    match record:
                        case HardState(_, voted_for) if voted_for is not None:
                            watcher.moment("voted", self.node.env.node)
                            if voted_for != self.node.env.node:
                                watcher.moment("granted", self.node.env.node)
                        case Append():
                            watcher.moment("proposed" if is_leader else "took entries", self.node.env.node)
                        case SnapshotMarker():
                            watcher.moment("marked", self.node.env.node)

            def _on_output(self, output: Output) -> None:
                super()._on_output(output)
                match output:
                    case RoleChanged(role):
                        watcher.check(self.group.group)
                        if role == "leader":
                            watcher.moment("led", self.node.env.node)
                    case Committed():
                        watcher.check(self.group.group)

            async def checkpoint(self) -> LogIndex:
                watcher.moment("checkpoint", self.node.env.node)
                return await super().checkpoint()

            async def _replace(self, sink: Sink, marker: SnapshotMarker) -> None:
                watcher.moment("install", self.node.env.node)
                await super()._replace(sink, marker)

        return Watched


def traced(machine: Raft, tell: Callable[[NodeId, str], None]) -> Callable[..., list[Any]]:
    """Return a machine's step that tells of itself: role, term, event, effects."""
    inner = machine.step

    def step(event: Event, *, now: Instant) -> list[Any]:
        effects = inner(event, now=now)
        tell(machine.node, step_line(machine, event, effects))
        return effects

    return step


def step_line(machine: Raft, event: Event, effects: Sequence[Any]) -> str:
    """Return one step in columns: role, term, what happened, what follows."""
    return f"{machine.role_name:<13} {machine.term:>4}  {event!r}  →  {'  '.join(map(repr, effects)) or 'nothing'}"
