"""Coverage marks: a named place in the code that a test, or a campaign, must sometimes reach.

A mark is diagnostic only: no behaviour may depend on it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

counts: Counter[str] = Counter()
"""Visits by name since the process began (or since `reset`)."""


def hit(name: str) -> None:
    """Note that a place was reached."""
    counts[name] += 1


def reset() -> None:
    """Forget all visits."""
    counts.clear()


@contextmanager
def expect(name: str) -> Iterator[None]:
    """Assert that a place is reached inside the block."""
    before = counts[name]
    yield
    assert counts[name] > before, f"the mark {name!r} was not reached"
