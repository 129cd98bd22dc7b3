"""The table of transitions is the picture in the docs."""

from pathlib import Path

from quorate.protocols.raft import TRANSITIONS

PAGE = Path(__file__).parents[4] / "docs" / "protocols" / "raft.md"


def test_the_diagram_is_drawn_from_the_table() -> None:
    lines = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines()]
    drawn = [line for line in lines if " --> " in line and not line.startswith("[*]")]
    assert drawn == [f"{before} --> {after}: {why}" for before, after, why in TRANSITIONS]


def test_every_role_can_be_reached_and_left() -> None:
    roles = {"follower", "pre_candidate", "candidate", "leader"}
    assert {before for before, _, _ in TRANSITIONS} == roles
    assert {after for _, after, _ in TRANSITIONS} == roles
    assert all(before == "candidate" for before, after, _ in TRANSITIONS if after == "leader")
