"""What a source gives to new owners: its keys by hash, made ready a little at a time, so that serving goes on.

The keys are those that were held when the movement began. What is written later goes to the new owners by itself.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from quorate.kernel import hash_key

# Keys are sorted into buckets by the leading bits of their hashes; a bucket is sorted when it is first asked for.
_BUCKET_BITS: Final = 12
_SHIFT: Final = 64 - _BUCKET_BITS


class Outgoing:
    """Keys in the order of their hashes."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        """Take the keys; nothing is looked at yet. Complexity: O(keys), a copy of references."""
        self._waiting = list(keys)
        self._buckets: dict[int, list[tuple[int, bytes]]] = {}
        self._sorted: dict[int, None] = {}

    @property
    def is_ready(self) -> bool:
        """Return whether all keys have been looked at."""
        return not self._waiting

    def prepare(self, key_count: int) -> None:
        """Look at so many more keys. Complexity: O(key_count)."""
        for _ in range(min(key_count, len(self._waiting))):
            key = self._waiting.pop()
            key_hash = hash_key(key)
            self._buckets.setdefault(key_hash >> _SHIFT, []).append((key_hash, key))

    def between(self, start: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield hashes and keys from one hash to another, both included, ascending; asserts that it is ready.

        Complexity: O(keys yielded), and the sorting of each bucket once.
        """
        assert self.is_ready, "all keys are in their buckets"
        for number in range(start >> _SHIFT, (last >> _SHIFT) + 1):
            bucket = self._buckets.get(number)
            if bucket is None:
                continue
            if number not in self._sorted:
                bucket.sort()
                self._sorted[number] = None
            for place in range(bisect_left(bucket, (start, b"")), len(bucket)):
                if bucket[place][0] > last:
                    return
                yield bucket[place]
