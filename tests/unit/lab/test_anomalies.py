"""Every refusal that a run can show is shown by a short history that a checker refutes."""

import pytest

from quorate.lab.anomalies import show_anomaly
from quorate.server import Keyspace, Replication

WEAK = Replication(by="leaderless", read=1, write=1)
QUORUM = Replication(by="leaderless")


@pytest.mark.parametrize(
    ("anomaly", "keyspace", "step_count_max", "words"),
    [
        ("stale read", Keyspace(replication=WEAK), 2, ("writes", "reads nothing")),
        (
            "stale read",
            Keyspace(replication=Replication(by="leaderless", sloppy=True)),
            3,
            ("lose each other", "reads"),
        ),
        ("swallowed write", Keyspace(replication=QUORUM), 4, ("its clock:", "reads")),
        ("lost update", Keyspace(replication=QUORUM), 2, ("reads nothing and writes",)),
        ("lost write", Keyspace(replication=QUORUM, acknowledge=False), 3, ("loses power", "reads nothing")),
    ],
)
@pytest.mark.slow
def test_a_refusal_is_shown_by_a_short_history(
    anomaly: str, keyspace: Keyspace, step_count_max: int, words: tuple[str, ...]
) -> None:
    shown = show_anomaly(keyspace, anomaly)
    assert shown is not None
    assert shown.finding.verdict == "invalid"
    assert len(shown.steps) <= step_count_max, shown.lines
    assert all(word in "\n".join(shown.lines) for word in words), shown.lines


def test_what_a_run_cannot_show_is_not_shown() -> None:
    assert show_anomaly(Keyspace(replication=WEAK), "resurrection") is None
    assert show_anomaly(Keyspace(replication=Replication(by="leaderless", read=99)), "stale read") is None


def test_bounds_that_contradict_each_other_are_no_obstacle() -> None:
    late = Replication(by="leaderless", read=1, write=1, hint_window_s=999_999_999)
    assert show_anomaly(Keyspace(replication=late), "stale read") is not None
