"""A node's numbers in the text format of Prometheus.

Source: Prometheus exposition formats, text format 0.0.4.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from quorate.store import NodeInfo

_ROLES: Final = ("leader", "follower", "candidate", "learner")
_FORBIDDEN: Final = re.compile(r"[^a-zA-Z0-9_]")


def render_metrics(info: NodeInfo, numbers: Mapping[str, int | float]) -> bytes:
    """Return the page.

    Args:
        info: what the node knows of itself and its peers.
        numbers: further values by name. Names that end in `_total` are counters, others gauges.

    Complexity: O(peers + numbers).
    """
    lines: list[str] = []

    def put(name: str, meaning: str, samples: Sequence[tuple[str, int | float]]) -> None:
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# HELP {name} {meaning}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{labels} {value}" for labels, value in samples)

    put("quorate_node_id", "Number of this node.", [("", info.node)])
    put("quorate_role", "1 for the role this node has.", [(f'{{role="{r}"}}', int(r == info.role)) for r in _ROLES])
    put("quorate_leader_id", "Number of the leader, 0 when none is known.", [("", info.leader or 0)])
    put("quorate_term", "Leadership number.", [("", info.term)])
    put("quorate_commit_index", "Highest index known to be agreed.", [("", info.commit_index)])
    put("quorate_applied_index", "Highest index executed here.", [("", info.applied_index)])
    if info.peers:
        reachable = [(f'{{peer="{peer.node}"}}', int(peer.reachable)) for peer in info.peers]
        put("quorate_peer_reachable", "Whether a peer was heard of lately.", reachable)
        matched = [(f'{{peer="{peer.node}"}}', int(peer.match_index)) for peer in info.peers]
        put("quorate_peer_match_index", "Highest index known to be on a peer's disk.", matched)
    for name in sorted({name for keyspace in info.keyspaces for name in keyspace.counters}):
        clean = "quorate_keyspace_" + _FORBIDDEN.sub("_", name)
        samples = [
            (f'{{keyspace="{keyspace.name}"}}', keyspace.counters[name])
            for keyspace in info.keyspaces
            if name in keyspace.counters
        ]
        put(clean, f"Of each leaderless keyspace on this node: {name.replace('_', ' ')}.", samples)
    for name, value in sorted({**info.counters, **numbers}.items()):
        clean = "quorate_" + _FORBIDDEN.sub("_", name).removeprefix("quorate_")
        put(clean, f"The node's number {clean.removeprefix('quorate_').replace('_', ' ')}.", [("", value)])
    return ("\n".join(lines) + "\n").encode()
