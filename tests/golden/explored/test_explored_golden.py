"""Transcripts of explored runs: `quorate explore NAME --transcript FILE` wrote them, and they say what happens still.

A counterexample that is kept here stays a test after its bug is mended: its answers change, once, and never again.
"""

from pathlib import Path

import pytest

from quorate.lab.exploring import render_transcript

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("*.txt")), ids=lambda path: path.stem)
def test_the_transcript_is_what_happens(path: Path, rewrite: bool) -> None:
    text = path.read_text(encoding="utf-8")
    now = render_transcript(text)
    if rewrite:
        path.write_text(now, encoding="utf-8")
    assert now == text or rewrite, "read the difference; `pytest tests/golden --rewrite` keeps it"
