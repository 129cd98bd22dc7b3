"""How many random elements a caller gets: shared by HRANDFIELD, SRANDMEMBER and ZRANDMEMBER."""

from typing import Final

from quorate.store.reply import CommandError
from quorate.store.space import Space

# A negative count asks for repetitions, so the collection does not bound the reply; this does.
DRAW_COUNT_MAX: Final = 1_000_000


def draw(space: Space, count: int, bound: int) -> list[int]:
    """Return places below `bound`: up to `count` distinct ones, or -count with repetition when it is negative."""
    stream = space.store.stream()
    if count >= bound:
        return list(range(bound))
    if count >= 0:
        return stream.sample(count, bound)
    if -count > DRAW_COUNT_MAX:
        raise CommandError("ERR", "value is out of range")
    return [stream.below(bound) for _ in range(-count)]
