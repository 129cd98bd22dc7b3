"""`quorate explore NAME` visits exactly the states that are documented, and every machine of `protocols` has a scope."""

import importlib
import pkgutil

import pytest

import quorate.protocols
from quorate.check.explore import explore
from quorate.kernel import Machine
from quorate.lab.exploring import EXPLORABLE, ExploreOptions, filled, make_explorable


def made(name, **options):
    return make_explorable(filled(ExploreOptions(name=name, **options)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in EXPLORABLE.items() if entry.state_count is not None])
def test_a_documented_scope_has_its_number_of_states(name):
    """A change of the protocol changes the number: then look whether it should, and write down the new one."""
    explorable = made(name)
    result = explore(explorable.system, explorable.properties)
    assert result.holds, (result.counterexamples.keys(), result.undecided)
    assert result.state_count == EXPLORABLE[name].state_count


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, entry in EXPLORABLE.items() if entry.state_count is None])
def test_a_scope_without_a_number_is_there_for_its_counterexample(name):
    explorable = made(name)
    assert explore(explorable.system, explorable.properties).counterexamples


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "state_count"),
    [
        # Answers and tokens survive a crash, or two leaderships would have one name.
        ("bully", {"node_count": 2, "quiet": (), "crash_count": 1}, 541),
        ("bully-quorum", {"node_count": 2, "quiet": (), "crash_count": 1}, 700),
    ],
)
def test_a_scope_with_crashes(name, options, state_count):
    explorable = made(name, **options)
    result = explore(explorable.system, explorable.properties)
    assert result.holds
    assert result.state_count == state_count


def test_every_machine_of_protocols_can_be_explored():
    """A machine without a scope is a machine of which nobody has seen all states: see lab/exploring/catalogue.py."""
    for module in pkgutil.walk_packages(quorate.protocols.__path__, "quorate.protocols."):
        importlib.import_module(module.name)
    covered = {machine for entry in EXPLORABLE.values() for machine in entry.machines}
    machines, work = [], [Machine]
    while work:
        kinds = [kind for kind in work.pop().__subclasses__() if kind.__module__.startswith("quorate.protocols.")]
        work += kinds
        # A machine that others are made of is explored with them.
        machines += [kind for kind in kinds if not kind.__subclasses__() or kind in covered]
    missing = [kind.__name__ for kind in machines if kind not in covered and not _is_part(kind)]
    assert not missing, f"no scope in lab/exploring for {missing}"


def _is_part(kind):
    """A class with subclasses outside of `protocols` only is still a machine; one with a covered subclass is a part."""
    return any(sub.__module__.startswith("quorate.protocols.") for sub in kind.__subclasses__())
