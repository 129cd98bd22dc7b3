"""Tombstones: since when they are held, when they may go, and which have gone.

A deleted key must stay known as deleted for as long as anybody might still come with an older value. Then it may go:
`grace`: when it is older than `tombstone_grace`; `repair`: when a comparison of all owners began after it was held
here, and every hint of an older write has outgrown the hint window (Scylla's issue 23712 forgot the hints); `never`.

A tombstone that was purged here and still arrives from another replica is not taken again; but where an older value
lives, it kills it, however old it is.

Danger: a replica that missed a delete for longer than the grace brings the value back (in every such design). With
`repair` it does not: a purge waits until all owners agreed.

Source      Cassandra (gc_grace_seconds), Scylla (tombstone_gc), Riak (reap needs all primaries).
"""

import heapq
import random
from collections.abc import Iterable
from typing import Final

import msgspec

from quorate.kernel import Record, hash_key, marks
from quorate.protocols.leaderless.calls import Synchronized
from quorate.protocols.leaderless.config import LeaderlessConfig
from quorate.protocols.leaderless.rules import Rule
from quorate.protocols.leaderless.state import LeaderlessState

PURGE_COUNT_MAX: Final = 10_000
"""Most tombstones that one tick purges; the others wait for the next."""
_PURGED_COUNT_MAX: Final = 100_000
_NS_PER_MS: Final = 1_000_000
# Tombstones that not all owners are known to have, by the first bits of their keys' hashes: a range is some buckets.
_BUCKET_SHIFT: Final = 56
_BUCKET_COUNT: Final = 1 << 8


class Tombstone(msgspec.Struct):
    """A deleted key that is still known."""

    deleted_ms: int
    # This node's wall clock when its copy became this; 0: not known (the clock was not, or it was read from disk).
    since_ns: int
    # A comparison of all owners began later.
    is_agreed: bool = False


class Tombstones(LeaderlessState):
    """Knows and purges tombstones."""

    def __init__(self, config: LeaderlessConfig, records: Iterable[Record], rng: random.Random, *, rule: Rule) -> None:
        super().__init__(config, records, rng, rule=rule)
        self.tombstones: dict[bytes, Tombstone] = {}
        # (deleted, key) of tombstones that may be purged by age alone, or are agreed; some are gone or newer by now.
        self._purgeable: list[tuple[int, bytes]] = []
        # Purge by repair: keys of tombstones that are not agreed on, with their hashes.
        self._open: list[dict[bytes, int]] = [{} for _ in range(_BUCKET_COUNT)]
        # Key → digest of the tombstone that was purged; the oldest are forgotten.
        self._purged: dict[bytes, int] = {}
        for key, cell in self.cells.items():
            self._noted(key, cell)

    def _noted(self, key: bytes, cell: bytes) -> None:
        deleted_ms = self.rule.deleted_at_ms(cell)
        if deleted_ms is None:
            if self.tombstones.pop(key, None) is not None:
                self._close(key)
            return
        self.tombstones[key] = Tombstone(deleted_ms, self.wall_ns or 0)
        if self.config.purge == "grace":
            heapq.heappush(self._purgeable, (deleted_ms, key))
        elif self.config.purge == "repair":
            key_hash = hash_key(key)
            self._open[key_hash >> _BUCKET_SHIFT][key] = key_hash

    def _close(self, key: bytes) -> None:
        self._open[hash_key(key) >> _BUCKET_SHIFT].pop(key, None)

    def _on_synchronized(self, call: Synchronized) -> None:
        """Note which tombstones all owners have.

        Complexity: O(tombstones not agreed on yet in the range, and in the 2⁻⁸ of all hashes at its ends).
        """
        for bucket in self._open[call.start >> _BUCKET_SHIFT : (call.end - 1 >> _BUCKET_SHIFT) + 1]:
            for key, key_hash in list(bucket.items()):
                if call.start <= key_hash < call.end and 0 < self.tombstones[key].since_ns < call.wall_ns:
                    self._agree(key)

    def _agree(self, key: bytes) -> None:
        tombstone = self.tombstones[key]
        tombstone.is_agreed = True
        self._close(key)
        if self.config.purge == "repair":
            heapq.heappush(self._purgeable, (tombstone.deleted_ms, key))

    def _on_purged(self, tombstones: tuple[tuple[bytes, int], ...]) -> None:
        """Let tombstones go that another owner has purged: it did so because all owners had them, this one too.

        Without this the last owner could never agree with those that were quicker.
        """
        for key, digest in tombstones:
            tombstone = self.tombstones.get(key)
            if tombstone is not None and not tombstone.is_agreed and self._digest(self.cells[key]) == digest:
                marks.hit("leaderless: a tombstone goes because another owner purged it")
                self._agree(key)

    def _purge(self, wall_ns: int) -> None:
        """Let tombstones go that may. Complexity: O(purged · log tombstones)."""
        limit_ms = (wall_ns - self._purge_age()) // _NS_PER_MS
        for _ in range(PURGE_COUNT_MAX):
            if not self._purgeable or self._purgeable[0][0] >= limit_ms:
                return
            deleted_ms, key = heapq.heappop(self._purgeable)
            tombstone = self.tombstones.get(key)
            if tombstone is None or tombstone.deleted_ms != deleted_ms:
                continue  # written again since
            if self.config.purge == "repair" and not tombstone.is_agreed:
                continue
            marks.hit("leaderless: a tombstone is purged")
            self.purged_count += 1
            self._purged.pop(key, None)
            self._purged[key] = hash_key(self.cells[key])
            if len(self._purged) > _PURGED_COUNT_MAX:
                del self._purged[next(iter(self._purged))]
            self._hold(key, b"")

    def _purge_age(self) -> int:
        """Return how old a tombstone is at least when it goes, in nanoseconds."""
        config = self.config
        if config.purge == "grace":
            return config.tombstone_grace
        # All hints and repairs of older writes are over by then.
        return config.hint_window + config.request_timeout

    def _is_spent(self, key: bytes, cell: bytes) -> bool:
        """Return whether a cell is a tombstone that was purged here, or would be at once."""
        deleted_ms = self.rule.deleted_at_ms(cell)
        if deleted_ms is None:
            return False
        if self._purged.get(key) == hash_key(cell):
            return True
        wall_ns = self.wall_ns
        is_old = wall_ns is not None and deleted_ms < (wall_ns - self._purge_age()) // _NS_PER_MS
        return is_old and self.config.purge == "grace"

    def _know_time(self, wall_ns: int) -> None:
        """Learn the wall clock for the first time: what was read from disk is held since now."""
        for tombstone in self.tombstones.values():
            tombstone.since_ns = tombstone.since_ns or wall_ns
