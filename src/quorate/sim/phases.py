"""Two phases: safety under every permitted fault, then progress of a healthy quorum with the rest dead for ever.

A system that survives by doing nothing must fail: so the second phase demands something new within a bound.
"""

from collections.abc import Callable, Sequence
from typing import Final

from quorate.kernel import Duration, milliseconds
from quorate.sim.choices import Stream
from quorate.sim.failures import SimulationError
from quorate.sim.nemesis import Nemesis
from quorate.sim.partitions import shuffled

PERIOD: Final = milliseconds(10)


class NoProgress(SimulationError):
    """A healthy quorum did nothing new within the bound."""

    code = "NOPROGRESS"


def choose_quorum(nodes: Sequence[int], dice: Stream) -> list[int]:
    """Return a bare majority, drawn and sorted."""
    return sorted(shuffled(nodes, dice)[: len(nodes) // 2 + 1])


def demand_progress(
    nemesis: Nemesis,
    is_done: Callable[[], bool],
    *,
    quorum: Sequence[int] | None = None,
    bound: Duration,
    period: Duration = PERIOD,
) -> int:
    """End the faults, keep a quorum, and run until something is done; return the time it took in nanoseconds.

    Args:
        nemesis: whose faults end and whose targets live or die.
        is_done: whether the progress that is asked for was made.
        quorum: who lives; a drawn majority when None.
        bound: simulated time allowed.
        period: how often `is_done` is asked.

    Raises:
        NoProgress: it was not done within the bound.
        ProgramFailed: something raised meanwhile.
    """
    world = nemesis.world
    kept = quorum if quorum is not None else choose_quorum(sorted(nemesis.targets), world.choices.stream("quorum"))
    nemesis.mend(keep=kept)
    began_at = world.now
    while not is_done():
        if world.now - began_at >= bound:
            raise NoProgress(f"nodes {list(kept)} are healthy and did nothing new within {bound / 1e9:.3f} s")
        world.run_for(period)
    return world.now - began_at
