"""What all sketches share: their errors, and the check of their sizes."""

from typing import TYPE_CHECKING, Any, Final, cast

from quorate.kernel import errors, is_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from quorate.kernel import Key

# Arrays are worked on in pieces that stay in the second-level cache.
PIECE: Final = 1 << 14
CAPACITY_MAX: Final = 1 << 32


class BadCapacity(errors.UsageError):
    """A capacity is not an integer from 1 to 2³², or asks for more than fits."""

    code = "BADCAPACITY"


class BadErrorRate(errors.UsageError):
    """An error rate is not above 0 and below 1, or not one that this sketch can reach."""

    code = "BADERRORRATE"


class Incompatible(errors.UsageError):
    """Two sketches of different make cannot be combined or compared."""

    code = "INCOMPATIBLE"


class Full(errors.UsageError):
    """There is no room for another key; nothing was changed."""

    code = "FULL"


class NotThere(errors.UsageError):
    """A key to be removed is not there; nothing was changed."""

    code = "NOTTHERE"


def checked_capacity(capacity: int) -> int:
    """Return the capacity, or raise `BadCapacity`."""
    if not isinstance(capacity, int) or isinstance(capacity, bool) or not 1 <= capacity <= CAPACITY_MAX:
        raise BadCapacity(f"a capacity is an integer from 1 to 2**32, not {capacity!r}")
    return capacity


def checked_error_rate(error_rate: float) -> float:
    """Return the error rate, or raise `BadErrorRate`."""
    if not isinstance(error_rate, float | int) or not 0 < error_rate < 1:
        raise BadErrorRate(f"an error rate is above 0 and below 1, not {error_rate!r}")
    return float(error_rate)


def has_numpy() -> bool:
    """Return whether NumPy can be imported."""
    try:
        import numpy as np
    except ImportError:
        return False
    return np is not None


def pieces(keys: "Iterable[Key] | NDArray[Any]", count: int) -> "Iterator[Iterable[Key]]":
    """Yield keys in runs of at most so many, arrays as arrays."""
    if is_array(keys):
        flat = cast("NDArray[Any]", keys).reshape(-1)
        for start in range(0, len(flat), count):
            yield flat[start : start + count]
        return
    run: list[Key] = []
    for key in keys:
        run.append(key)
        if len(run) == count:
            yield run
            run = []
    if run:
        yield run
