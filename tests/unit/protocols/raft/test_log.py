"""The log in memory: places, terms, cuts, and what replay brings back."""

import pytest

from quorate.kernel import LogIndex, NodeId
from quorate.protocols.raft import (
    COMMAND,
    CONFIGURATION,
    CONFIGURATIONS,
    Append,
    Configuration,
    Entry,
    RaftLog,
    SnapshotMarker,
)

FOUNDERS = Configuration((NodeId(1), NodeId(2), NodeId(3)))
PAIR = Configuration((NodeId(1), NodeId(2)))


def entries(*terms: int, first: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(LogIndex(index), term, COMMAND, b"x") for index, term in enumerate(terms, first))


def log_of(*terms: int) -> RaftLog:
    log = RaftLog.empty(FOUNDERS)
    if terms:
        log.append(entries(*terms))
    return log


def marker(index: int, term: int, configuration: Configuration = FOUNDERS) -> SnapshotMarker:
    return SnapshotMarker(LogIndex(index), term, configuration)


def test_an_empty_log_begins_right_after_zero() -> None:
    log = log_of()
    assert (log.last_index, log.last_term) == (0, 0)
    assert log.has(0, 0)
    assert log.term_at(1) is None


def test_a_gap_or_a_falling_term_is_our_own_mistake() -> None:
    log = log_of(1, 2)
    with pytest.raises(AssertionError, match="no gaps"):
        log.append(entries(2, first=4))
    with pytest.raises(AssertionError, match="never fall"):
        log.append(entries(1, first=3))


@pytest.mark.parametrize(
    ("index", "term", "expected"),
    [(6, 9, (6, 5)), (6, 4, (4, 4)), (6, 3, (2, 1)), (3, 9, (3, 4)), (9, 9, (6, 5)), (6, 0, (0, 0))],
)
def test_the_hint_skips_whole_terms(index: int, term: int, expected: tuple[int, int]) -> None:
    """§5.3: one question for each conflicting term, rather than for each entry."""
    assert log_of(1, 1, 4, 4, 5, 5).agreement_hint(LogIndex(index), term) == expected


def test_a_slice_has_at_least_one_entry_whatever_its_size() -> None:
    log = log_of(1, 1, 1)
    assert log.slice_bytes(LogIndex(1), 0) == (entries(1), 1)
    assert log.slice_bytes(LogIndex(1), 2) == (entries(1, 1), 2)


def test_the_first_conflict_is_found_within_the_overlap() -> None:
    log = log_of(1, 1, 2)
    assert log.first_conflict(entries(1, 1, 2, 3)) == 3
    assert log.first_conflict(entries(1, 3, 3)) == 1
    assert log.first_conflict(entries(3, first=4)) == 0


def test_a_truncated_configuration_is_out_of_force() -> None:
    """§6: a server falls back to the previous configuration when the entry is removed."""
    log = log_of(1)
    log.append((Entry(LogIndex(2), 1, CONFIGURATION, CONFIGURATIONS.encode(PAIR)),))
    assert log.configuration == PAIR
    log.truncate(LogIndex(2))
    assert log.configuration == FOUNDERS


def test_compaction_keeps_a_tail_bounded_by_count_and_bytes() -> None:
    for count, limit, base in ((0, 100, 4), (2, 100, 2), (9, 100, 0), (9, 3, 1)):
        log = log_of(1, 1, 1, 1, 1)
        log.compact(marker(4, 1), trailing_entry_count=count, trailing_bytes_max=limit)
        assert (log.base_index, log.snapshot.index, log.last_index) == (base, 4, 5)


def test_compaction_remembers_the_configuration_at_the_marker() -> None:
    log = log_of(1)
    log.append((Entry(LogIndex(2), 1, CONFIGURATION, CONFIGURATIONS.encode(PAIR)),))
    log.append(entries(1, first=3))
    log.compact(marker(2, 1, log.configuration_at(LogIndex(2))), trailing_entry_count=0, trailing_bytes_max=0)
    assert log.configuration == PAIR
    assert log.configurations == [(2, PAIR)]


def test_a_marker_over_another_log_replaces_it_on_replay() -> None:
    log = log_of(1, 1)
    log.replay_marker(marker(9, 4), trailing_entry_count=5, trailing_bytes_max=100)
    assert (log.base_index, log.base_term, log.last_index) == (9, 4, 9)


def test_a_marker_over_its_own_log_keeps_what_follows_on_replay() -> None:
    log = log_of(1, 1, 2)
    log.replay_marker(marker(2, 1), trailing_entry_count=0, trailing_bytes_max=100)
    assert (log.base_index, log.last_index) == (2, 3)


def test_replay_takes_entries_kept_before_the_marker() -> None:
    log = RaftLog.empty(FOUNDERS)
    log.replay_marker(marker(4, 1), trailing_entry_count=9, trailing_bytes_max=100)
    log.replay_append(Append(entries(1, 1, 1, first=3)))
    assert (log.base_index, log.last_index, log.snapshot.index) == (3, 5, 4)


def test_replay_replaces_a_suffix() -> None:
    log = RaftLog.empty(FOUNDERS)
    log.replay_append(Append(entries(1, 1, 1)))
    log.replay_append(Append(entries(2, first=2)))
    log.replay_append(Append(()))
    assert [entry.term for entry in log.entries] == [1, 2]
