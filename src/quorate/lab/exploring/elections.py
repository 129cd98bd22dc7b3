"""Bully and ring elections, plain and with majorities."""

from collections.abc import Hashable
from typing import Final, cast

from quorate.check import explore as x
from quorate.kernel import NodeId, Output, Record
from quorate.lab.exploring.catalogue import campaigns, explorable, nodes_of, scope_of
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.protocols.election import Bully, ElectionConfig, Elector, LeaderChanged, Ring, Token

# Plain elections look at no clock; these are counters, constants and chance.
_IGNORED: Final = ("now", "rng", "config", "message_count", "_quorum")
_CLOCKS: Final = ("_acknowledged", "_claimed_at")


@explorable("bully", "bully election: one of three calls it", states=1521, machines=(Bully,), quiet=(2, 3))
def bully(options: ExploreOptions) -> Explorable:
    """Return plain bully: every side of a partition may have a leader, each with its own token."""
    return _election(options, Bully, quorum=False)


@explorable("bully-quorum", "the same, and leaders need a majority", states=1323, machines=(Bully,), quiet=(2, 3))
def bully_quorum(options: ExploreOptions) -> Explorable:
    """Return bully whose leaders need a majority."""
    return _election(options, Bully, quorum=True)


@explorable("ring", "ring election of two", states=652, machines=(Ring,), node_count=2)
def ring(options: ExploreOptions) -> Explorable:
    """Return the plain ring."""
    return _election(options, Ring, quorum=False)


@explorable("ring-quorum", "the same, and leaders need a majority", states=449, machines=(Ring,), node_count=2)
def ring_quorum(options: ExploreOptions) -> Explorable:
    """Return the ring whose leaders need a majority."""
    return _election(options, Ring, quorum=True)


def _election(options: ExploreOptions, kind: type[Elector], *, quorum: bool) -> Explorable:
    nodes = nodes_of(options)

    def make(node: NodeId, records: tuple[Record, ...]) -> Elector:
        return kind(ElectionConfig(node=node, nodes=nodes, quorum=quorum), records, x.Still())

    def observe(_node: NodeId, output: Output) -> Hashable | None:
        return output.token if isinstance(output, LeaderChanged) and output.is_self else None

    # Who lost patience may also wait in vain for an answer; a successor that is silent is skipped.
    timers = (("patience", campaigns(options)), ("answer", 1), ("hop/", 1))
    claims = [
        x.always("no token is given twice", _has_own_tokens),
        x.always("a leader's token is its own", _leads_by_own_token),
        x.sometimes("somebody leads", lambda state: len(_leading(state)) > 0),
    ]
    if not options.crash_count and not (quorum and kind is Bully):
        # With a majority bully may end without a leader: two claim, each refuses the other, and patience has run out.
        claims.append(x.eventually("somebody leads in the end", lambda state: len(_leading(state)) > 0))
    if quorum:
        claims.append(x.always("no two leaders of one count", _has_one_leader_per_count))
    elif len(nodes) > 1:
        # What plain elections do not promise, and tokens make harmless.
        claims.append(x.sometimes("two lead at once", lambda state: len(_leading(state)) > 1))
    scope = scope_of(options, timers=timers)
    ignore = _IGNORED if quorum else _IGNORED + _CLOCKS
    system = x.Cluster(make, scope, observe=observe, ignore=ignore, relative=_CLOCKS)
    return Explorable(system, tuple(claims))


def _leading(state: x.ClusterState) -> list[Elector]:
    return [elector for elector in cast("list[Elector]", state.machines()) if elector.role_name == "leader"]


def _has_own_tokens(state: x.ClusterState) -> bool:
    tokens = [cast("Token", token) for node in state.nodes for token in node.seen]
    return len(tokens) == len(dict.fromkeys(tokens))


def _leads_by_own_token(state: x.ClusterState) -> bool:
    return all(elector.token.node == elector.node for elector in _leading(state))


def _has_one_leader_per_count(state: x.ClusterState) -> bool:
    counts = [elector.token.count for elector in _leading(state)]
    return len(counts) == len(dict.fromkeys(counts))
