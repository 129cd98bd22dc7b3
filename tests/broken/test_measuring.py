"""The measurement of the museum: what was hunted once is not hunted again."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from quorate.kernel.errors import UsageError
from quorate.lab.museum import MeasureOptions, measure_exhibits

BUG = "commits-beyond-the-message"


def measured(options: MeasureOptions) -> tuple[int, str]:
    text = StringIO()
    return measure_exhibits(options, Console(file=text, width=200)), text.getvalue()


@pytest.mark.slow
@pytest.mark.real
def test_a_measurement_goes_on_from_its_file_and_writes_its_row(tmp_path: Path) -> None:
    """Two hunts are in the file when four are asked for: the others are added, and the row is of all four."""
    page = tmp_path / "page.md"
    page.write_text("<!-- measured: begin -->\n<!-- measured: end -->\n", encoding="utf-8")
    kept = tmp_path / "hunts.jsonl"

    first = measured(MeasureOptions(names=(BUG,), hunt_count=2, seed_count_max=5, on="local:2", results=kept))
    before = kept.read_bytes()
    second = measured(
        MeasureOptions(names=(BUG,), hunt_count=4, seed_count_max=5, on="local:2", results=kept, page=page)
    )

    assert first[0] == second[0] == 0
    assert "| 2 of 2 |" in first[1]
    assert "| 4 of 4 |" in page.read_text(encoding="utf-8")
    assert kept.read_bytes().startswith(before)
    assert len(kept.read_bytes().splitlines()) == 5


def test_what_cannot_be_measured_is_said_before_anything_is_hunted(tmp_path: Path) -> None:
    """An unknown bug, an unknown engine, a page without a table."""
    page = tmp_path / "page.md"
    page.write_text("nothing here\n", encoding="utf-8")
    for options in (
        MeasureOptions(names=("figure-9",)),
        MeasureOptions(names=(BUG,), on="spark://here"),
        MeasureOptions(names=(BUG,), page=page),
    ):
        with pytest.raises(UsageError):
            measured(options)
