"""Sixth wing: state machines that are not a function of the log."""

from collections.abc import Callable, Sequence

from quorate.kernel import LogIndex, RequestKey
from quorate.lab.museum.bug import exhibit
from quorate.server import Replica
from quorate.storage import Base
from quorate.store import Command, KeyValueStore, Reply
from quorate.store.chance import Stream
from quorate.store.expiry import Expiries
from quorate.store.sessions import Sessions

RESTARTS = {
    "aims": {"crash a proposing leader": 0.3, "cut the power of a follower that takes entries": 0.3},
    "checkpoint_entry_count": 20,
    "has_chores": True,
}


@exhibit(
    name="double-apply-after-restart",
    story="""A checkpoint remembers a position that is a little behind what it holds.
After a restart the entries in between are applied once more.""",
    source="thesis §6.3; any snapshot whose index is taken before its content",
    layer="store",
    caught_by=("divergence", "not linearizable"),
    level="loop",
    conditions=RESTARTS | {"trailing_entry_count": 20},
    seeds_max=100,
)
class DoubleApplyAfterRestart(KeyValueStore):
    """Forgets its last two entries, but not what they did."""

    def _begin(self, base: Base) -> None:
        super()._begin(base)
        self.applied_index = LogIndex(max(0, self.applied_index - 2))


@exhibit(
    name="apply-by-the-local-clock",
    story="""A replica expires keys by its own clock while it applies, not by the time in the entry.
Replicas disagree about what exists, and commands that look at it do different things.""",
    source="Schneider 1990: a state machine is a function of its commands",
    layer="store",
    caught_by=("divergence",),
    level="loop",
    conditions={"has_chores": True},
    seeds_max=10,
)
class ApplyByTheLocalClock(Replica):
    """Asks its own clock."""

    def make_state(self, base: Base) -> KeyValueStore:
        """Return a state that looks at the clock."""
        state = super().make_state(base)
        inner, clock = state.apply, self.node.env.clock

        def apply(index: LogIndex, time_ms: int, commands: Sequence[Command]) -> list[Reply]:
            return inner(index, clock.wall_ns() // 1_000_000 if time_ms else time_ms, commands)

        state.apply = apply  # type: ignore[method-assign]
        return state


@exhibit(
    name="chance-in-apply",
    story="""A command that draws (SPOP) uses a generator of the process instead of one that follows from the log.
Each replica removes another member.""",
    source="Schneider 1990; Redis replicates SPOP as SREM for this reason",
    layer="store",
    caught_by=("divergence",),
    level="loop",
    conditions={"has_chores": True},
    seeds_max=60,
)
class ChanceInApply(Replica):
    """Draws from its own dice."""

    def make_state(self, base: Base) -> KeyValueStore:
        """Return a state with dice that only this process has."""
        state = super().make_state(base)
        # The node's stream, not the interpreter's hashes: a run with the bug is to be the same run every time.
        rng = self.node.env.rng
        state.stream = lambda: Stream(rng.getrandbits(64))  # type: ignore[method-assign]
        return state


@exhibit(
    name="snapshot-forgets-sessions",
    story="""A snapshot holds the keys and not the table of what each client asked last.
After it a repeated request is applied a second time.""",
    source="thesis §6.3: the table of sessions is part of the snapshot",
    layer="store",
    caught_by=("divergence", "not linearizable"),
    level="loop",
    conditions=RESTARTS | {"worker_count": 6},
    seeds_max=60,
)
class SnapshotForgetsSessions(Sessions):
    """Writes no table."""

    def dump(self) -> list[tuple[int, int, Reply]]:
        """Return nothing."""
        return []


@exhibit(
    name="no-session-check",
    story="""Request numbers travel with the commands, and nobody looks at them.
A client that tries again after a time-out has done it twice.""",
    source="thesis §6.3: exactly once needs the state machine's help",
    layer="store",
    caught_by=("not linearizable",),
    level="loop",
    conditions=RESTARTS | {"worker_count": 6},
    seeds_max=40,
)
class NoSessionCheck(Sessions):
    """Runs every request."""

    def apply_once(self, key: RequestKey, run: Callable[[], Reply]) -> Reply:
        """Run it."""
        return run()


@exhibit(
    name="checkpoint-without-expiry",
    story="""A checkpoint keeps the values, and not when they end.
After a restart, keys that were to end live on, on this replica only.""",
    source="an index that is derived in memory and not rebuilt",
    layer="store",
    caught_by=("divergence",),
    level="loop",
    conditions=RESTARTS,
    seeds_max=40,
)
class CheckpointWithoutExpiry(KeyValueStore):
    """Begins with an empty index of what is due."""

    def _begin(self, base: Base) -> None:
        super()._begin(base)
        for space in self.spaces:
            space.due.clear()
            space.rested_due.clear()
        self.expiries = Expiries(self.spaces)


@exhibit(
    name="versions-begin-anew",
    story="""The counter from which versions are drawn lives in memory.
After a restart a replica gives versions that it has given before, and a compare-and-set succeeds that must not.""",
    source="the ABA problem",
    layer="store",
    caught_by=("divergence",),
    level="loop",
    conditions=RESTARTS,
    seeds_max=15,
)
class VersionsBeginAnew(KeyValueStore):
    """Counts from zero in each life."""

    def _begin(self, base: Base) -> None:
        super()._begin(base)
        self.revision = 0
