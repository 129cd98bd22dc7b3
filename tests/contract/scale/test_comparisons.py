"""Comparisons are the same wherever their runs are made, and are not made twice."""

from pathlib import Path

import pytest

from quorate.kernel import seconds
from quorate.lab.compare import CompareOptions, compare_designs, run_here, run_on
from quorate.lab.membership import DetectorOptions, compare_detectors, compare_detectors_on

pytestmark = [pytest.mark.slow, pytest.mark.real]


def test_designs_compared_on_an_engine_give_the_same_cards(tmp_path: Path) -> None:
    """Through JSON and back nothing is lost; the second time no engine is asked, not even one that is not there."""
    options = CompareOptions(designs=("raft",), scenarios=("kill",), span_s=2, node_count=3)
    here = compare_designs(options, runner=run_here)
    seen: list[int] = []

    there = compare_designs(options, runner=run_on("local:1", tmp_path / "runs"), on_done=seen.append)
    again = compare_designs(options, runner=run_on("dask://nowhere:1", tmp_path / "runs"))

    assert there == here
    assert again == here
    assert seen == [1]


def test_detectors_compared_on_an_engine_give_the_same_rows() -> None:
    """A condition is a job."""
    options = DetectorOptions(conditions=("calm", "loss"), peer_count=2, span=seconds(20))

    assert compare_detectors_on(options, "local:2") == compare_detectors(options)
