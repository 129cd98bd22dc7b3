"""SWIM: probes, suspicion, refutation and death among members that know each other."""

from collections.abc import Callable
from typing import Final, cast

from quorate.check import explore as x
from quorate.kernel import NodeId, Record, seconds
from quorate.lab.exploring.catalogue import campaigns, explorable, nodes_of, scope_of
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.protocols.swim import ALIVE, DEAD, SUSPECT, InvariantBroken, Known, Member, MemberHistory, Swim, SwimConfig
from quorate.protocols.swim import check_members as check

_IGNORED: Final = ("now", "rng", "config", "_base", "refused_count")
_INSTANTS: Final = ("probe_due_at", "began_at", "deadline", "gone_at")


@explorable(
    "swim", "SWIM members that know each other: probe, suspect, refute, declare dead", states=174, machines=(Swim,),
    node_count=2, campaign_count=3, quiet=(2,), lose_count=1,
)  # fmt: skip
def swim(options: ExploreOptions) -> Explorable:
    """Return members; the clock of each may act so often on probes, and once on gossip and on each suspicion."""
    nodes = nodes_of(options)

    def make(node: NodeId, records: tuple[Record, ...]) -> Swim:
        known = Known(Member(other, 0, ALIVE) for other in nodes)
        # One telling of a rumour and a short window keep the scope small; the rules are the same.
        config = SwimConfig(
            node=node, known=known, indirect_count=min(1, len(nodes) - 2), retransmit_multiplier=1,
            suspicion_multiplier=1, suspicion_max_multiplier=1, sync_interval=seconds(3600),
        )  # fmt: skip
        return Swim(config, records, x.Still())

    timers = (("probe", campaigns(options)), ("suspect/", 1), ("relay/", 1), ("gossip", 1))
    # A timer that is late excuses the silent, so all fire at their moment.
    scope = scope_of(options, timers=timers, is_punctual=True)
    system = x.Cluster(make, scope, ignore=_IGNORED, relative=_INSTANTS, ordered=("_told", "_own"))
    claims = [
        x.always("tables keep SWIM's invariants", _invariants(has_crashes=bool(options.crash_count))),
        x.sometimes("a member is suspected", lambda state: _believes(state, SUSPECT)),
        x.sometimes("a suspect refutes", lambda state: any(machine.own.incarnation for machine in _machines(state))),
    ]
    if campaigns(options) > 2:
        claims.append(x.sometimes("a member is declared dead", lambda state: _believes(state, DEAD)))
    return Explorable(system, tuple(claims))


def _machines(state: x.ClusterState) -> list[Swim]:
    return cast("list[Swim]", state.machines())


def _believes(state: x.ClusterState, status: int) -> bool:
    return any(member.status == status for machine in _machines(state) for member in machine.members)


def _invariants(*, has_crashes: bool) -> Callable[[x.ClusterState], bool]:
    """Return a judge of single states. A member that restarted forgot what it once said, so then that is not asked."""

    def holds(state: x.ClusterState) -> bool:
        machines = _machines(state)
        said = {} if has_crashes else {machine.node: machine.own.incarnation for machine in machines}
        for machine in machines:
            try:
                check(machine, MemberHistory(said=dict(said)))
            except InvariantBroken:
                return False
        return True

    return holds
