"""A clock whose rate changes while its program is blocked does not go back."""

from quorate.kernel import milliseconds
from quorate.sim import World


def test_a_slower_clock_does_not_take_back_what_a_blocking_call_has_seen() -> None:
    """The program has read the time at the end of its call; what it reads later is not earlier."""
    world = World(1)
    host = world.host("a")
    incarnation = host.boot()
    incarnation.stall(milliseconds(50))
    seen = incarnation.loop.time_ns()

    host.set_drift(-200_000_000)
    world.run_for(milliseconds(51))

    assert incarnation.loop.time_ns() >= seen
