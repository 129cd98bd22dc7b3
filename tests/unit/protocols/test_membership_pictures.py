"""The pictures in the documents are drawn from the tables in the code."""

import re
from pathlib import Path

import pytest

from quorate.protocols import detectors, election, swim

DOCS = Path(__file__).parents[3] / "docs" / "protocols"


@pytest.mark.parametrize(
    ("page", "table"),
    [("swim", swim.TRANSITIONS), ("detectors", detectors.TRANSITIONS), ("election", election.TRANSITIONS)],
)
def test_the_picture_shows_exactly_the_transitions(page: str, table: tuple) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\w+) --> (\w+): (.+)$", text, re.MULTILINE)
    assert sorted(drawn) == sorted(table)
