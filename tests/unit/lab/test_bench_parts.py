"""The benchmarks of the parts run at a small size and say what they should; their figures are nobody's claim here."""

import sys
import xml.etree.ElementTree as ET

import pytest

from quorate.kernel.errors import UsageError
from quorate.lab.bench_parts import anti_entropy, clocks, leaderless, part, placement, sketches, to_text


@pytest.mark.slow
def test_sketches_are_measured_beside_their_rivals() -> None:
    rows = sketches.run(key_count=4000, probe_count=20_000, single_count=1000)
    rivals = {row.rival for row in rows}
    assert {"rbloom", "pybloom-live", "pyprobables"} <= rivals
    assert all(row.ours_ns > 0 for row in rows)
    assert "bloom add one" in to_text(rows)


@pytest.mark.slow
def test_a_hundred_keys_among_many_are_found_in_few_bytes() -> None:
    """With a million keys in each of two replicas it is 49,560 bytes, where 100 KB are allowed."""
    rows = {row.case: row.note for row in anti_entropy.run(key_count=50_000, single_count=500)}
    sent = [int(note.split(" bytes in ")[0].replace(",", "")) for case, note in rows.items() if "differ" in case]
    assert sent[0] < 100
    assert sent[1] < 2_000
    assert sent[2] < 60_000


@pytest.mark.slow
def test_leaderless_requests_are_measured_at_coordinator_and_replica() -> None:
    """A read of a node's own copy must stay far below a quorum's: it asks nobody."""
    rows = {row.case: row.ours_ns for row in leaderless.run(request_count=1280, key_count=100)}
    assert rows["leaderless: read, ONE, an owner"] < rows["leaderless: read, QUORUM"]
    assert len(rows) == 6


def test_clocks_are_measured_and_the_explosion_is_seen() -> None:
    rows = clocks.run(stamp_count=50)
    assert "0 of them replaced already" in rows[-1].note
    assert "0 of them replaced already" not in rows[-3].note


@pytest.mark.slow
def test_placements_are_compared_in_one_table_and_one_picture() -> None:
    rows = placement.compare_all(node_count=6, key_count=5000)
    assert len(rows) == len(placement.table(rows).splitlines()) - 1 == 10
    assert ET.fromstring(placement.picture(rows, node_count=6)) is not None
    assert all(row.batch_lookup_ns > 0 for row in rows)
    timed = placement.run(node_count=5, key_count=1000)
    assert all(row.ratio is not None for row in timed)


def test_what_needs_numpy_says_so_and_the_others_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    for name in ("placement", "sketches", "clocks"):
        monkeypatch.delitem(sys.modules, f"quorate.lab.bench_parts.{name}")
    for name in ("placement", "sketches"):
        with pytest.raises(UsageError, match=r"need NumPy: pip install 'quorate\[numpy\]'"):
            part(name)
    assert part("clocks").run
