"""Keep Python's search for garbage cycles out of the way of work that makes many objects and no cycles.

A judge of a long history makes a few objects for every operation and keeps them to the end. Each time their number has
grown by a quarter, the collector walks all of them again and finds nothing: up to half of the time of a judge.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Let no cycle be collected meanwhile. Objects without cycles are freed as ever. May be nested."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
