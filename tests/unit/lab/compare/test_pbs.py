"""Probabilistically bounded staleness: the published figures come out again."""

import math
import random
import xml.etree.ElementTree as ET

import pytest
from typer.testing import CliRunner

from quorate.cli import app
from quorate.kernel.errors import UsageError
from quorate.lab.compare import (
    FITS,
    PUBLISHED,
    PBSOptions,
    Published,
    fit_named,
    miss_probability,
    pbs_svg,
    predict,
    predict_fit,
    predict_rows,
    quantile,
)


@pytest.mark.slow
@pytest.mark.parametrize("paper", PUBLISHED, ids=lambda p: f"{p.fit} {p.read_quorum}/{p.write_quorum}")
@pytest.mark.parametrize("with_numpy", [False, True], ids=["python", "numpy"])
def test_the_published_figures_come_out_again(paper: Published, with_numpy: bool) -> None:
    """Bailis et al. 2012, section 5: LNKD-DISK with R = W = 1 is consistent at once in 43.9 % of the reads."""
    found = predict_fit(
        FITS[paper.fit],
        r=paper.read_quorum,
        w=paper.write_quorum,
        trial_count=400_000 if with_numpy else 60_000,
        with_numpy=with_numpy,
    )
    if paper.at_once is not None:
        assert found.consistent_at(0.0) == pytest.approx(paper.at_once, abs=0.01)
    if paper.visible_ms is not None:
        assert found.visible_ms(0.999) == pytest.approx(paper.visible_ms, rel=0.25)
    if paper.latency_ms is not None:
        both = quantile(found.read_latencies, 0.999) + quantile(found.write_latencies, 0.999)
        assert both == pytest.approx(paper.latency_ms, rel=0.08)


def test_ten_milliseconds_later_a_disk_has_caught_up() -> None:
    """Section 5.6: LNKD-DISK is consistent in 92.5 % of the reads after ten milliseconds."""
    found = predict_fit(FITS["LNKD-DISK"], trial_count=20_000, with_numpy=False)
    assert found.consistent_at(10.0) == pytest.approx(0.925, abs=0.01)


def test_quorums_that_meet_are_always_consistent() -> None:
    found = predict_fit(FITS["YMMR"], r=2, w=2, trial_count=2_000, with_numpy=False)
    assert found.consistent_at(0.0) == 1.0
    assert found.visible_ms() == 0.0


def test_one_trial_by_hand() -> None:
    """Three replicas: acknowledged by the first at 2; the reader's first answer is the third's, which has it at 9."""
    found = predict(
        lambda _: ((1.0, 4.0, 9.0), (1.0, 1.0, 1.0), (2.0, 2.0, 1.0), (2.0, 2.0, 1.0)),
        r=1,
        w=1,
        trial_count=1,
        rng=random.Random(1),
    )
    assert (found.consistent_from, found.write_latencies, found.read_latencies) == ([6.0], [2.0], [2.0])
    assert (found.consistent_at(5.9), found.consistent_at(6.0)) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_prediction() -> None:
    one, other = (predict_fit(FITS["WAN"], trial_count=500, seed=4, with_numpy=False) for _ in range(2))
    assert one == other
    assert one != predict_fit(FITS["WAN"], trial_count=500, seed=5, with_numpy=False)


def test_blindly_drawn_quorums_miss_as_combinatorics_says() -> None:
    """Equation 1 and 2: N = 3, R = W = 1 misses in two of three reads, and k versions in a power of it."""
    assert miss_probability(3, 1, 1) == pytest.approx(2 / 3)
    assert miss_probability(3, 1, 1, version_count=3) == pytest.approx(8 / 27)
    assert miss_probability(5, 3, 3) == 0.0


def test_bad_questions_get_one_sentence() -> None:
    for ask in (
        lambda: fit_named("LNKD-TAPE"),
        lambda: predict_fit(FITS["WAN"], r=4),
        lambda: predict_fit(FITS["WAN"], trial_count=0),
        lambda: miss_probability(3, 0, 1),
    ):
        with pytest.raises(UsageError, match="not"):
            ask()
    assert math.isnan(quantile([], 0.5))


def test_the_command_prints_every_verdict_and_draws() -> None:
    shown = CliRunner(env={"COLUMNS": "120"}).invoke(
        app, ["compare", "pbs", "--fits", "LNKD-DISK", "--quorums", "1/1", "--trials", "40000", "--cluster", "100"]
    )
    assert shown.exit_code == 0, shown.output
    assert "43.9% ✓" in shown.output
    rows = predict_rows(PBSOptions(fits=("WAN",), quorums=((1, 1),), trial_count=500, cluster_trial_count=0))
    assert ET.fromstring(pbs_svg(rows)).tag.endswith("svg")
