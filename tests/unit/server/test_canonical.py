"""What a sequence of records amounts to, whole or with its beginning gone."""

import random

from quorate.protocols.raft import COMMAND, Append, Configuration, Entry, HardState, SnapshotMarker
from quorate.server.replica import canonical

VOTERS = Configuration((1, 2, 3))  # type: ignore[arg-type]


def entry(index: int, term: int = 1) -> Entry:
    return Entry(index, term, COMMAND, b"%d" % index)  # type: ignore[arg-type]


def append(first: int, last: int, term: int = 1) -> Append:
    return Append(tuple(entry(index, term) for index in range(first, last + 1)))


def marker(index: int, term: int = 1) -> SnapshotMarker:
    return SnapshotMarker(index, term, VOTERS)  # type: ignore[arg-type]


def held(records: list[object]) -> list[tuple[int, int]]:
    return [(one.index, one.term) for record in records if isinstance(record, Append) for one in record.entries]


def test_nothing_amounts_to_nothing() -> None:
    assert canonical([]) == []


def test_the_last_promise_counts() -> None:
    assert canonical([HardState(1, None), HardState(2, 3), HardState(2, 1)]) == [HardState(2, 1)]  # type: ignore[arg-type]


def test_later_entries_replace_everything_from_their_first_index_on() -> None:
    found = canonical([marker(0, 0), append(1, 5), append(3, 4, 2)])
    assert held(found) == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_marker_within_the_log_keeps_what_follows() -> None:
    assert held(canonical([append(1, 5), marker(3)]))[-2:] == [(4, 1), (5, 1)]


def test_a_marker_of_another_log_drops_it() -> None:
    """A snapshot from a leader replaced the log."""
    assert held(canonical([append(1, 5), marker(3, 2)])) == []
    assert held(canonical([append(1, 5), marker(9, 2), append(10, 11, 2)])) == [(10, 2), (11, 2)]


def test_when_the_oldest_files_are_gone_the_rest_means_the_same() -> None:
    """As released: everything that a restart needs comes at or after the point from which files are kept."""
    dice = random.Random(7)
    for _ in range(200):
        records: list[object] = [HardState(1, None), marker(0, 0)]
        last = 0
        term = 1
        for _ in range(dice.randrange(2, 12)):
            if dice.random() < 0.3 and last > 1:
                term += 1
                last = dice.randrange(last // 2, last)
            size = dice.randrange(1, 5)
            records.append(append(last + 1, last + size, term))
            last += size
        whole = canonical(records)  # type: ignore[arg-type]
        entries = held(whole)
        index, index_term = entries[dice.randrange(len(entries))]
        end = [HardState(term, None), marker(index, index_term)]
        # Kept from the oldest append that holds an entry behind the marker's.
        keep = (
            min(
                place
                for place, record in enumerate(records)
                if isinstance(record, Append) and record.entries[-1].index > index
            )
            if entries[-1][0] > index
            else len(records)
        )
        cut = canonical([*records[keep:], *end])  # type: ignore[list-item]
        behind = [pair for pair in entries if pair[0] > index]
        assert [pair for pair in held(cut) if pair[0] > index] == behind
        again = canonical([*end, Append(tuple(entry(*pair) for pair in entries))])  # type: ignore[list-item]
        assert [pair for pair in held(again) if pair[0] > index] == behind
