"""Two published systems: two-phase commit, and consensus that may never decide."""

from quorate.check import explore as x
from quorate.lab.exploring.catalogue import explorable
from quorate.lab.exploring.options import Explorable, ExploreOptions


@explorable("2pc", "two-phase commit as published: 3 resource managers have 288 states", states=288, can_rename=True)
def two_phase_commit(options: ExploreOptions) -> Explorable:
    """Return two-phase commit."""
    return _two_phase_commit(options, symmetric=options.is_symmetric)


@explorable("2pc-symmetric", "the same, managers up to renaming", states=80)
def symmetric_two_phase_commit(options: ExploreOptions) -> Explorable:
    """Return two-phase commit whose managers have no names."""
    return _two_phase_commit(options, symmetric=True)


def _two_phase_commit(options: ExploreOptions, *, symmetric: bool) -> Explorable:
    def all_commit(state: x.TwoPhaseState) -> bool:
        return all(manager == "committed" for manager in state.managers)

    claims = (x.always("no manager aborts what another committed", x.is_consistent), x.sometimes("commit", all_commit))
    assert options.node_count is not None, "options are filled in before a system is made"
    return Explorable(x.TwoPhaseCommit(options.node_count, symmetric=symmetric), claims)


@explorable("flp", "consensus of two without timeouts: safe, and it may never decide; see the loop", states=None)
def flp(_options: ExploreOptions) -> Explorable:
    """Return consensus of two processes over registers."""
    return Explorable(
        x.TwoProcessConsensus(), (x.always("agreement", x.agrees), x.eventually("a decision", x.is_decided))
    )
