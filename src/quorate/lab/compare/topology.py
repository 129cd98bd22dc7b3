"""Who holds what in the leaderless designs of a comparison: one data centre, three zones."""

from functools import lru_cache

from quorate.kernel import NodeId
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.scenarios import zone_of
from quorate.lab.compare.spec import LeaderlessDesign
from quorate.protocols.leaderless import Place, Preferences, Topology, topology_of

SPECULATIVE_DELAY_MS = 20.0

# Membership at the pace of a run of seconds: SWIM finds a death in about one second, not in ten.
PROBE_INTERVAL_MS = 200.0
PROBE_TIMEOUT_MS = 160.0
SUSPICION_COUNT = 2


def speculative_delay_ms(design: LeaderlessDesign) -> float:
    """Return after how long a read asks one more owner; 0: it asks all at once."""
    return 0.0 if design.eager else SPECULATIVE_DELAY_MS


def detection_ms(node_count: int) -> float:
    """Return within what time SWIM finds a death: a round of probes, an answer that does not come, the suspicion."""
    return (node_count - 1) * PROBE_INTERVAL_MS + PROBE_TIMEOUT_MS + SUSPICION_COUNT * PROBE_INTERVAL_MS


def topology_for(copy_count: int, node_count: int) -> Topology:
    """Return the topology of so many copies on nodes in three zones."""
    nodes = [NodeId(number) for number in range(1, node_count + 1)]
    places = {node: Place(node, zone=f"zone {zone_of(int(node), node_count) + 1}") for node in nodes}
    return topology_of(nodes, replica_count=copy_count, places=places)


def preferences_of(plan: RunPlan) -> Preferences:
    """Return who holds a key in a plan's cluster."""
    assert isinstance(plan.design, LeaderlessDesign), "only leaderless designs have owners"
    return _preferences(plan.design.n, plan.node_count)


@lru_cache(maxsize=64)
def _preferences(copy_count: int, node_count: int) -> Preferences:
    return Preferences(topology_for(copy_count, node_count))
