"""Designs as texts, and what scenarios mean."""

import pytest

from quorate.kernel.errors import UsageError
from quorate.lab.compare import (
    SCENARIOS,
    CompareOptions,
    LeaderlessDesign,
    RaftDesign,
    design_text,
    parse_design,
    scenario_named,
)


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("raft", RaftDesign()),
        ("raft:lease,election=500", RaftDesign(lease=True, election_ms=500)),
        ("leaderless", LeaderlessDesign()),
        ("leaderless:n=3,r=1,w=1", LeaderlessDesign(r="1", w="1")),
        ("leaderless:r=quorum, w=ALL, sloppy", LeaderlessDesign(r="QUORUM", w="ALL", sloppy=True)),
        ("leaderless:w=0,repair=none,hints=no", LeaderlessDesign(w="NONE", repair="none", hints=False)),
    ],
)
def test_a_text_is_a_design_and_comes_back(text: str, design: object) -> None:
    found = parse_design(text)
    assert found == design
    assert parse_design(design_text(found)) == found


def test_levels_are_counts_of_owners() -> None:
    design = parse_design("leaderless:n=5,r=quorum,w=all")
    assert isinstance(design, LeaderlessDesign)
    assert (design.read_quorum, design.write_quorum, design.is_overlapping) == (3, 5, True)
    loose = parse_design("leaderless:n=3,r=2,w=2,sloppy")
    assert isinstance(loose, LeaderlessDesign)
    assert not loose.is_overlapping


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("paxos", "raft or leaderless"),
        ("raft:sloppy", "election, lease"),
        ("raft:election=5", "20 to 60000"),
        ("raft:lease,lease", "twice"),
        ("raft:lease=perhaps", "yes or no"),
        ("leaderless:r=most", "quorum"),
        ("leaderless:r=4", "from 1 to n"),
        ("leaderless:w=4", "0 \\(fire and forget\\) to n"),
        ("leaderless:r=any", "from 1 to n"),
        ("leaderless:repair=often", "blocking, background, none"),
        ("leaderless:n", "1 to 9"),
    ],
)
def test_a_bad_text_is_refused_with_what_is_known(text: str, known: str) -> None:
    with pytest.raises(UsageError, match=known):
        parse_design(text)


def test_everything_is_checked_before_anything_runs() -> None:
    for options in (
        CompareOptions(designs=()),
        CompareOptions(designs=("leaderless:n=7",)),
        CompareOptions(designs=("raft",), scenarios=("flood",)),
        CompareOptions(designs=("raft",), node_count=4),
        CompareOptions(designs=("raft",), rate=0),
        CompareOptions(designs=("raft",), span_s=0.1),
        CompareOptions(designs=("raft",), jitter_ms=-1),
        CompareOptions(designs=("raft",), seeds=()),
    ):
        with pytest.raises(UsageError):
            options.plans()


def test_every_node_stands_on_one_side() -> None:
    for name in SCENARIOS:
        for node_count in (3, 5, 6, 7, 8, 9):
            scenario = scenario_named(name, node_count)
            nodes = sorted(node for side in scenario.sides.values() for node in side)
            assert nodes == list(range(1, node_count + 1)), (name, node_count)
            assert all(1 <= node <= node_count for pair in scenario.cuts for node in pair)


def test_partitions_leave_a_majority_unless_they_shatter() -> None:
    for node_count in (3, 5, 6, 7, 8, 9):
        for name in ("minority", "majority"):
            sides = scenario_named(name, node_count).sides
            assert len(sides["majority"]) > node_count / 2
            assert (1 in sides["minority"]) == (name == "majority")
        assert all(len(side) <= node_count / 2 for side in scenario_named("shatter", node_count).sides.values())
