"""Keys of a database in order: the table's and those at rest, as one."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from sortedcontainers import SortedList
from xxhash import xxh3_64_intdigest

from quorate.store.space import NeedsLogError, Space
from quorate.store.values import Entry, Value, decode_header

# A cursor that this node did not give out is searched for only among so many keys; above, the scan begins again.
SEARCH_COUNT_MAX: Final = 100_000
# Fewer keys are drawn from a list of all.
_DRAW_WHOLE_COUNT: Final = 64
CURSOR_COUNT_MAX: Final = 4096


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key behind all that begin with a prefix; None when there is none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else None


def _fresh_keys(space: Space, start: bytes, end: bytes | None) -> Iterator[bytes]:
    """Yield the keys that may not be at rest yet, in order, with repetitions."""
    if space.ordered is None:
        space.ordered = SortedList()
    if space.fresh:
        space.ordered.update(space.fresh)
        space.fresh = []
    yield from space.ordered.irange(start, end, inclusive=(True, False))


def _resting_keys(space: Space, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values at rest, in order."""
    if space.is_flushed or space.is_flushing:
        return
    stop = bytes((space.db + 1,)) if end is None else space.prefix + end
    for key, data in space.store.base.scan(space.prefix + start, stop):
        yield key[1:], data


def _merged(space: Space, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield every key once, in order, with the bytes at rest where it came from there."""
    resting = _resting_keys(space, start, end)
    waiting = next(resting, None)
    last: bytes | None = None
    for key in _fresh_keys(space, start, end):
        if key == last:
            continue
        last = key
        while waiting is not None and waiting[0] < key:
            yield waiting
            waiting = next(resting, None)
        if waiting is not None and waiting[0] == key:
            waiting = next(resting, None)
        yield key, None
    while waiting is not None:
        yield waiting
        waiting = next(resting, None)


def keys_in_order(space: Space, start: bytes = b"", end: bytes | None = None) -> Iterator[bytes]:
    """Yield the visible keys with start <= key < end in order; the database must not change meanwhile.

    Args:
        space: the database.
        start: the first key that counts.
        end: the first key that does not; None: to the end.

    Raises:
        NeedsLogError: in a query, when a key is due by the wall clock only.

    Complexity: O(log n) for the first key and then O(1) each.
    """
    store = space.store
    for key, data in _merged(space, start, end):
        entry: Entry[Value] | None
        if key in space.table:
            entry = space.table[key]
            if entry is None:
                continue
            expires_ms = entry.expires_ms
        elif data is not None:
            expires_ms = decode_header(data)[0]
        else:
            continue
        if expires_ms and expires_ms <= store.horizon_ms:
            if expires_ms > store.time_ms:
                raise NeedsLogError
            continue
        yield key


def random_key(space: Space) -> bytes | None:
    """Return some key, the same on every replica.

    Few keys are drawn from evenly. Among many, a walk down the tree of their bytes chooses evenly at every fork: even
    for keys that fill their ranges evenly (numbered ones), and not for others.

    Complexity: O(length of the key times the width of a fork), each a seek.
    """
    stream = space.store.stream()
    if space.count <= _DRAW_WHOLE_COUNT:
        keys = list(keys_in_order(space))
        return keys[stream.below(len(keys))] if keys else None
    prefix = b""
    while True:
        forks = _forks(space, prefix)
        if not forks:
            return None
        chosen = forks[stream.below(len(forks))]
        if len(chosen) == len(prefix):
            return chosen
        prefix = chosen


def _forks(space: Space, prefix: bytes) -> list[bytes]:
    """Return the prefixes one byte longer that keys begin with, after `prefix` itself if it is a key."""
    forks: list[bytes] = []
    start, end = prefix, prefix_end(prefix)
    while True:
        key = next(keys_in_order(space, start, end), None)
        if key is None:
            return forks
        forks.append(key[: len(prefix) + 1])
        following = prefix + b"\0" if key == prefix else prefix_end(forks[-1])
        if following is None or (end is not None and following >= end):
            return forks
        start = following


class Cursors:
    """What the cursors of SCAN stand for: the key after which to go on.

    A cursor is a checksum of that key, so it means the same on every node; the table only saves a node the search for
    the key whose checksum it is. A key that is gone makes the scan begin again, which its guarantees allow: every key
    that is there from begin to end is met, and some may be met twice.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def give(self, db: int, key: bytes) -> int:
        """Return the cursor for going on after a key; never 0."""
        cursor = fingerprint(key)
        self._keys.pop((db, cursor), None)
        self._keys[db, cursor] = key
        if len(self._keys) > CURSOR_COUNT_MAX:
            self._keys.popitem(last=False)
        return cursor

    def start(self, space: Space, cursor: int) -> bytes:
        """Return the first key that a cursor still has before it.

        Complexity: O(1) for a cursor of this node, else O(keys), bounded in a query.
        """
        if cursor == 0:
            return b""
        # What is applied must not depend on what this node alone remembers.
        is_local = space.store.is_querying
        known = self._keys.get((space.db, cursor)) if is_local else None
        if known is not None:
            return known + b"\0"
        if is_local and space.count > SEARCH_COUNT_MAX:
            return b""
        for key in keys_in_order(space):
            if fingerprint(key) == cursor:
                return key + b"\0"
        return b""


def fingerprint(key: bytes) -> int:
    """Return 48 bits of a checksum, never 0, that fit every client's integer."""
    return (xxh3_64_intdigest(key) >> 16) | 1
