"""The test of the tests: every bug of the museum is caught within its seeds, and without it those seeds pass."""

import importlib
import subprocess
import sys

import pytest

from quorate.kernel import errors
from quorate.lab.museum import BUGS, CHECKERS, Bug, bug_named, hunt, planted
from quorate.lab.museum.guide import row_of, write_table
from quorate.lab.museum.hunt import Measured, run_with
from quorate.lab.simulation.options import LEVELS
from quorate.protocols.raft import Raft

_QUICK = [bug for bug in BUGS.values() if not bug.is_slow]
_SLOW = [bug for bug in BUGS.values() if bug.is_slow]


def _check(bug: Bug) -> None:
    found = hunt(bug, first_seed=1, seed_count_max=bug.seeds_max)
    assert found.caught is not None, f"{bug.name} got away in {found.seed_count} seeds: the campaign is at fault"
    assert found.caught.kind in bug.caught_by
    seed = found.caught.options.seed
    assert run_with(bug, seed).same_as(found.caught), "the command that was printed runs it again"
    without = run_with(bug, seed, is_planted=False)
    assert not without.is_failed, f"without the bug: {without.kind}: {without.sentence}"


@pytest.mark.slow
@pytest.mark.parametrize("bug", _QUICK, ids=lambda bug: bug.name)
def test_the_bug_is_caught_and_its_absence_is_not(bug: Bug) -> None:
    """The checker that is named catches it; the same run of the correct system passes."""
    _check(bug)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.parametrize("bug", _SLOW, ids=lambda bug: bug.name)
def test_the_rare_bug_is_caught_in_a_long_run(bug: Bug) -> None:
    """Its moment comes seldom: `make soak`."""
    _check(bug)


def test_there_are_enough_exhibits_and_each_says_where_it_was_seen() -> None:
    """Forty bugs, each with story, source, layer, checker and level."""
    assert len(BUGS) >= 40
    for bug in BUGS.values():
        assert bug.story.strip()
        assert bug.source
        assert bug.level in LEVELS
        assert set(bug.caught_by) <= set(CHECKERS)


def test_nothing_stays_planted() -> None:
    """After the block every module names the production class again."""
    import quorate.server.replica as module

    with planted(bug_named("no-up-to-date-check")):
        assert module.Raft is not Raft
    assert module.Raft is Raft


def test_what_is_loaded_while_a_bug_is_planted_names_the_production_class_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs load modules when they need them; a bug that stayed there would be in every later run of the process."""
    import quorate.lab.simulation as package
    import quorate.lab.simulation.core_run as before

    monkeypatch.delitem(sys.modules, before.__name__)
    monkeypatch.setattr(package, "core_run", before)  # so that it is put back

    with planted(bug_named("no-up-to-date-check")):
        module = importlib.import_module(before.__name__)
        assert module.Raft is not Raft
    assert module is not before
    assert module.Raft is Raft


_TWO_HUNTS = """
from quorate.lab.museum import bug_named
from quorate.lab.museum.hunt import run_with

for name in ("answers-before-commit", "read-from-any-replica", "figure-8", "commits-beyond-the-message"):
    print(run_with(bug_named(name), 1).kind)
print(run_with(bug_named("commits-beyond-the-message"), 1, is_planted=False).kind)
"""


@pytest.mark.slow
@pytest.mark.real
def test_one_exhibit_does_not_stand_in_the_way_of_the_next() -> None:
    """In a process that has loaded nothing of a level yet, its second bug is planted as its first, and then none is."""
    said = subprocess.run([sys.executable, "-c", _TWO_HUNTS], capture_output=True, text=True, check=True)

    kinds = said.stdout.split("\n")

    assert kinds[1] == "not linearizable", "the second bug of whole servers"
    assert kinds[3:5] == ["divergence", ""], "the second bug of machines alone, and the same run without it"


def test_an_unknown_bug_is_refused_with_the_known_names() -> None:
    """Whoever mistypes sees what there is."""
    with pytest.raises(errors.UsageError, match="figure-8"):
        bug_named("figure-9")


def test_a_measured_row_replaces_the_old_one_in_the_page(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The table is generated; what is around it stays."""
    page = tmp_path / "museum.md"
    page.write_text("before\n<!-- measured: begin -->\n<!-- measured: end -->\nafter\n", encoding="utf-8")
    one = Measured(
        bug="figure-8", hunt_count=4, caught_count=4, mean_seeds=9.0, mean_s=0.5, most_seeds=12, kinds=("invariant",)
    )

    write_table(page, [one])
    write_table(page, [one])

    text = page.read_text(encoding="utf-8")
    assert text.count(row_of(one)) == 1
    assert text.startswith("before\n")
    assert text.endswith("after\n")
