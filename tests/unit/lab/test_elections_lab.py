"""Two leaders at one time, counted: what happens without a cure, and what each cure cures, in simulation."""

import pytest

from quorate.kernel import NodeId, seconds
from quorate.kernel.errors import UsageError
from quorate.lab.elections import CURES, KINDS, Attempt, ElectionOptions, Run, compare_elections, row_of
from quorate.protocols.election import Token


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str, str], object]:
    return {(row.harm, row.kind, row.cure): row for row in compare_elections(ElectionOptions(span=seconds(4)))}


@pytest.mark.parametrize("kind", KINDS)
class TestUnderPartition:
    def test_a_plain_election_has_two_leaders_who_write_in_turn(self, rows: dict, kind: str) -> None:
        row = rows["partition", kind, "none"]
        assert row.both_span > 2
        assert row.stale_count > 100

    def test_a_token_makes_the_older_leader_harmless_and_leaves_it(self, rows: dict, kind: str) -> None:
        row = rows["partition", kind, "token"]
        assert row.both_span > 2
        assert row.stale_count == 0
        assert row.refused_count > 100

    def test_a_quorum_leaves_one_leader_after_a_time_without(self, rows: dict, kind: str) -> None:
        row = rows["partition", kind, "quorum"]
        assert row.both_span == row.stale_count == 0
        assert row.idle_span > rows["partition", kind, "none"].idle_span

    def test_stonith_leaves_one_leader_and_a_smaller_cluster(self, rows: dict, kind: str) -> None:
        row = rows["partition", kind, "stonith"]
        assert row.both_span == row.stale_count == 0
        assert row.killed == (4, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_leader_that_stood_still_is_not_cured_by_a_quorum_alone(rows: dict, kind: str) -> None:
    """It had decided to write when it was leader, and writes after somebody else: tokens and death help, votes do not."""
    stale = {cure: rows["pause", kind, cure].stale_count for cure in CURES}
    assert stale == {"none": 1, "token": 0, "quorum": 1, "quorum + token": 0, "stonith": 0}
    assert rows["pause", kind, "stonith"].killed == (5,)


def test_what_is_counted_lies_within_the_harm() -> None:
    old, new = Token(1, 5), Token(2, 3)
    attempts = [
        Attempt(5, NodeId(5), old),
        Attempt(20, NodeId(5), old),
        Attempt(30, NodeId(3), new),
        Attempt(40, NodeId(5), old),
        Attempt(60, NodeId(3), new),
        Attempt(95, NodeId(5), old),
    ]
    run = Run(kind="bully", cure="none", harm="partition", begin_ns=10, end_ns=90, attempts=attempts)
    row = row_of(run, is_real=False)
    assert (row.taken_count, row.stale_count, row.refused_count) == (4, 1, 0)
    assert row.both_span == pytest.approx(10e-9)
    assert row.idle_span == pytest.approx(30e-9)
    run.cure = "quorum + token"
    row = row_of(run, is_real=False)
    assert (row.taken_count, row.stale_count, row.refused_count) == (3, 0, 1)


@pytest.mark.parametrize("fields", [{"kinds": ("king",)}, {"cures": ()}, {"harms": ("rain",)}, {"span": seconds(1)}])
def test_what_cannot_be_run_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        ElectionOptions(**fields)
