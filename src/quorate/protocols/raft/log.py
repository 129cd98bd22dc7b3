"""The replicated log in memory: what was kept after the last checkpoint, and a little before it."""

from bisect import bisect_right

import msgspec

from quorate.kernel import LogIndex, Malformed
from quorate.protocols.raft.entries import CONFIGURATION, CONFIGURATIONS, Configuration, Entry
from quorate.protocols.raft.records import Append, SnapshotMarker


class RaftLog(msgspec.Struct):
    """Entries after a base, the newest checkpoint, and the configurations that they set.

    Invariants: `base_index <= snapshot.index <= last_index`; entries are contiguous and their terms never fall;
    `configurations` begins with the snapshot's and has one more for each CONFIGURATION entry behind the snapshot.
    """

    # Covered by the state machine's newest checkpoint.
    snapshot: SnapshotMarker
    # The entry right before the first one kept.
    base_index: LogIndex
    base_term: int
    entries: list[Entry]
    # (index, configuration), ascending. The last one is in force: a node uses a configuration as soon as it holds it
    # (§6), and goes back when the entry is truncated.
    configurations: list[tuple[LogIndex, Configuration]]

    @classmethod
    def empty(cls, configuration: Configuration) -> "RaftLog":
        """Return the log of a node that was never started."""
        marker = SnapshotMarker(LogIndex(0), 0, configuration)
        return cls(marker, LogIndex(0), 0, [], [(LogIndex(0), configuration)])

    @property
    def last_index(self) -> LogIndex:
        """Index of the last entry, kept or checkpointed."""
        return LogIndex(self.base_index + len(self.entries))

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self.entries[-1].term if self.entries else self.base_term

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the newest, committed or not."""
        return self.configurations[-1][1]

    @property
    def configuration_index(self) -> LogIndex:
        """Where the configuration in force stands."""
        return self.configurations[-1][0]

    def configuration_at(self, index: LogIndex) -> Configuration:
        """Return the configuration that was in force at an index not before the snapshot. Complexity: O(changes)."""
        assert self.snapshot.index <= index, "older configurations are forgotten"
        return next(configuration for at, configuration in reversed(self.configurations) if at <= index)

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry at an index, or None where nothing is known (compacted, or beyond the end)."""
        offset = index - self.base_index
        if 0 < offset <= len(self.entries):
            return self.entries[offset - 1].term
        return self.base_term if offset == 0 else None

    def has(self, index: int, term: int) -> bool:
        """Return whether the log holds, or begins right after, the entry of this index and term."""
        return self.term_at(index) == term

    def slice(self, first_index: int, last_index: int) -> tuple[Entry, ...]:
        """Return entries from first to last, both included. Complexity: O(entries returned)."""
        assert self.base_index < first_index, "compacted entries are gone"
        assert last_index <= self.last_index, "only what is held can be read"
        return tuple(self.entries[first_index - self.base_index - 1 : last_index - self.base_index])

    def slice_bytes(self, first_index: LogIndex, bytes_max: int) -> tuple[tuple[Entry, ...], int]:
        """Return entries from an index on, up to a number of payload bytes but at least one, and their bytes.

        Complexity: O(entries returned).
        """
        assert self.base_index < first_index <= self.last_index, "there is at least one entry to return"
        start = first_index - self.base_index - 1
        total = len(self.entries[start].payload)
        stop = start + 1
        end = len(self.entries)
        while stop < end:
            larger = total + len(self.entries[stop].payload)
            if larger > bytes_max:
                break
            total = larger
            stop += 1
        return tuple(self.entries[start:stop]), total

    def append(self, entries: tuple[Entry, ...]) -> None:
        """Add entries at the end. Complexity: O(entries added)."""
        assert entries[0].index == self.last_index + 1, "a log has no gaps"
        assert self.last_term <= entries[0].term, "terms never fall along a log"
        self.entries.extend(entries)
        for entry in entries:
            if entry.kind == CONFIGURATION:
                self.configurations.append((entry.index, CONFIGURATIONS.decode(entry.payload)))

    def truncate(self, first_index: LogIndex) -> None:
        """Drop all entries from an index on. Complexity: O(entries dropped)."""
        assert self.snapshot.index < first_index, "what a checkpoint covers is committed"
        del self.entries[first_index - self.base_index - 1 :]
        while self.configurations[-1][0] >= first_index:
            self.configurations.pop()

    def first_conflict(self, entries: tuple[Entry, ...]) -> int:
        """Return how many leading entries are already held (same index and term), given that they join the log.

        Complexity: O(overlap).
        """
        overlap = min(self.last_index - entries[0].index + 1, len(entries))
        for offset in range(overlap):
            if not self.has(entries[offset].index, entries[offset].term):
                return offset
        return overlap

    def agreement_hint(self, index: LogIndex, term: int) -> tuple[LogIndex, int]:
        """Return the last place at or before an index whose term is not above a term, and its term.

        Everything between that place and the index has a larger term than the other log has there, so it cannot agree:
        one exchange skips all of it.

        Complexity: O(log n). Source: §5.3, last paragraphs.
        """
        high = min(index, self.last_index)
        if high <= self.base_index:
            return self.base_index, self.base_term
        offset = bisect_right(self.entries, term, hi=high - self.base_index, key=lambda entry: entry.term)
        found = LogIndex(self.base_index + offset)
        return found, self.entries[offset - 1].term if offset else self.base_term

    def compact(self, marker: SnapshotMarker, *, trailing_entry_count: int, trailing_bytes_max: int) -> None:
        """Take a newer checkpoint of this log's own entries; keep a few before it. Complexity: O(entries)."""
        assert self.snapshot.index < marker.index <= self.last_index, "checkpoints move forward, over entries held"
        assert self.has(marker.index, marker.term), "a checkpoint is of this very log"
        covered = marker.index - self.base_index
        keep_from = max(0, covered - trailing_entry_count)
        offset, kept_bytes = covered, 0
        while offset > keep_from and kept_bytes + len(self.entries[offset - 1].payload) <= trailing_bytes_max:
            offset -= 1
            kept_bytes += len(self.entries[offset].payload)
        if offset:
            self.base_index, self.base_term = self.entries[offset - 1].index, self.entries[offset - 1].term
            del self.entries[:offset]
        later = [pair for pair in self.configurations if pair[0] > marker.index]
        self.configurations = [(marker.index, marker.configuration), *later]
        self.snapshot = marker

    def reset(self, marker: SnapshotMarker) -> None:
        """Forget all entries: the state machine was replaced by a snapshot."""
        self.snapshot = marker
        self.base_index, self.base_term = marker.index, marker.term
        self.entries = []
        self.configurations = [(marker.index, marker.configuration)]

    def replay_marker(self, marker: SnapshotMarker, *, trailing_entry_count: int, trailing_bytes_max: int) -> None:
        """Take a marker from the record of an earlier life."""
        if marker.index > self.snapshot.index and self.has(marker.index, marker.term):
            self.compact(marker, trailing_entry_count=trailing_entry_count, trailing_bytes_max=trailing_bytes_max)
        else:
            self.reset(marker)

    def replay_append(self, record: Append) -> None:
        """Take entries from the record of an earlier life; they replace what follows the first of them."""
        entries = record.entries
        if not entries:
            return
        if entries[0].index <= self.base_index:
            # The first records of a new file: the entries kept before the marker, whose first one becomes the base.
            self.base_index, self.base_term = entries[0].index, entries[0].term
            self.entries = list(entries[1:])
            self._find_configurations()
            return
        if entries[0].index <= self.last_index:
            self.truncate(entries[0].index)
        self.append(entries)

    def _find_configurations(self) -> None:
        first = self.configurations[0]
        self.configurations = [first]
        for entry in self.entries:
            if entry.kind == CONFIGURATION and entry.index > first[0]:
                self.configurations.append((entry.index, CONFIGURATIONS.decode(entry.payload)))


def is_sound(entries: tuple[Entry, ...], *, prev_index: int, prev_term: int, term: int) -> bool:
    """Return whether entries from a peer could stand in a log after an entry: contiguous, terms rising, kinds known.

    Whatever a peer sends is data, so this is asked before anything is asserted. Complexity: O(n).
    """
    index, last_term = prev_index, prev_term
    for entry in entries:
        index += 1
        if entry.index != index or not last_term <= entry.term <= term:
            return False
        last_term = entry.term
        if entry.kind == CONFIGURATION and not _is_configuration(entry.payload):
            return False
    return prev_term <= term and (prev_index > 0 or prev_term == 0)


def _is_configuration(payload: bytes) -> bool:
    try:
        return CONFIGURATIONS.decode(payload).is_well_formed
    except Malformed:
        return False
