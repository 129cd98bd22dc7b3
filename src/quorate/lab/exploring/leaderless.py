"""Leaderless replication, and the anti-entropy beside it."""

from collections.abc import Hashable
from typing import Final, cast

from quorate.check import explore as x
from quorate.kernel import HASH_COUNT, NodeId, Output, Record, hash_key
from quorate.lab.exploring.catalogue import campaigns, explorable, nodes_of, scope_of
from quorate.lab.exploring.options import Explorable, ExploreOptions
from quorate.protocols import anti_entropy, leaderless

_KEY: Final = b"key"
_WALL_NS: Final = 1_700_000_000_000_000_000
# Constants, and what is computed from them. Time is kept: deadlines are few, so nothing of it is left out.
_CONSTANT: Final = (
    "config", "rng", "rule", "router", "peers", "plans",
    # For the status page: nothing is decided by them.
    "repair_count", "hinted_count", "delivered_count", "reconciled_count", "purged_count", "refused_count",
)  # fmt: skip

# Tokens of the requests.
_FIRST, _SECOND, _READ = 1, 2, 3


@explorable(
    "leaderless", "three owners of a key, a write at one and a read at another, quorums", states=110,
    machines=(leaderless.Leaderless,), campaign_count=0, proposal_count=1,
)  # fmt: skip
def leaderless_quorums(options: ExploreOptions) -> Explorable:
    """Return owners of one key; `--proposals 2` writes at two nodes, `--campaigns` lets their deadlines pass."""
    nodes = nodes_of(options)
    topology = leaderless.topology_of(nodes, replica_count=len(nodes))

    def make(node: NodeId, records: tuple[Record, ...]) -> leaderless.Leaderless:
        config = leaderless.LeaderlessConfig(node=node, topology=topology)
        return leaderless.Leaderless(config, records, x.Still(), rule=leaderless.rule_named("lww"))

    def observe(_node: NodeId, output: Output) -> Hashable | None:
        match output:
            case leaderless.Answered(token, cell):
                return (token, cell)
            case leaderless.Failed(token, code):
                return (token, code)
            case _:
                return None

    requests = [
        (nodes[0], leaderless.Request(_FIRST, _KEY, leaderless.Put(b"one"))),
        (nodes[-1], leaderless.Request(_SECOND, _KEY, leaderless.Put(b"two"))),
    ][: options.proposal_count or 0]
    requests.append((nodes[len(nodes) // 2], leaderless.Request(_READ, _KEY)))
    calls = tuple((node, leaderless.Batch((request,), _WALL_NS)) for node, request in requests)
    count = campaigns(options)
    scope = scope_of(options, timers=(("due", count), ("hints", count)), calls=calls, is_punctual=True)
    quorum = len(nodes) // 2 + 1
    claims = [
        x.always("a write that is answered is on the disks of a quorum", lambda state: _is_kept(state, quorum)),
        x.always("no read sees what nobody wrote", _reads_what_was_written),
    ]
    if options.proposal_count:
        claims += [
            x.sometimes("a write is answered", lambda state: any(_cells(state, token) for token in (_FIRST, _SECOND))),
            x.sometimes("a read sees it", lambda state: any(_cells(state, _READ))),
            x.sometimes("all owners hold it, and nothing is under way", _has_settled),
        ]
    return Explorable(x.Cluster(make, scope, observe=observe, ignore=_CONSTANT), tuple(claims))


def _cells(state: x.ClusterState, wanted: int) -> list[bytes]:
    answers = [cast("tuple[int, bytes | str]", seen) for node in state.nodes for seen in node.seen]
    return [cell for token, cell in answers if token == wanted and isinstance(cell, bytes)]


def _on_disk(node: x.Node) -> bytes:
    """Return the newest cell that a node has written down: of last-writer cells the larger is the later."""
    return max([record.cell for record in node.records if isinstance(record, leaderless.Stored)], default=b"")


def _is_kept(state: x.ClusterState, quorum: int) -> bool:
    return all(
        sum(_on_disk(node) >= cell for node in state.nodes) >= quorum
        for token in (_FIRST, _SECOND)
        for cell in _cells(state, token)
    )


def _reads_what_was_written(state: x.ClusterState) -> bool:
    values = [leaderless.rule_named("lww").seen(cell).values for cell in _cells(state, _READ) if cell]
    return all(value in {b"one", b"two"} for seen in values for value in seen)


def _has_settled(state: x.ClusterState) -> bool:
    held = [_on_disk(node) for node in state.nodes]
    return not state.network and not state.calls_left and held[0] != b"" and held.count(held[0]) == len(held)


@explorable(
    "anti-entropy", "two replicas, one lacks a key; a message is lost, one repeats", states=480,
    machines=(anti_entropy.AntiEntropy,), node_count=2, campaign_count=2, quiet=(2,), lose_count=1, repeat_count=1,
)  # fmt: skip
def comparing(options: ExploreOptions) -> Explorable:
    """Return replicas that hold the same keys, but for the first node, which has one more."""
    nodes = nodes_of(options)
    digest = anti_entropy.digest_of

    def make(node: NodeId, records: tuple[Record, ...]) -> anti_entropy.AntiEntropy:
        # One key a run, so that a difference is looked for below the first sums.
        config = anti_entropy.AntiEntropyConfig(node=node, list_key_count=1)
        machine = anti_entropy.AntiEntropy(config, records, x.Still())
        others = tuple(other for other in nodes if other != node)
        machine.version, machine.ranges = 1, (anti_entropy.SharedRange(0, HASH_COUNT, others),)
        for key in (b"a", b"b", *([_KEY] if node == nodes[0] else [])):
            machine.index.put(key, digest(key, b"value"))
        return machine

    def observe(_node: NodeId, output: Output) -> Hashable | None:
        match output:
            case anti_entropy.Divergent(_, keys):
                return keys
            case anti_entropy.Agreed(_, start, end):
                return (start, end)
            case _:
                return None

    # The index is left out of states: nobody changes anything here.
    count = campaigns(options)
    scope = scope_of(options, timers=(("begin", count), ("answer/", 1)), is_punctual=True)
    claims = (
        x.always("only keys that differ are named", lambda state: all(key == _KEY for key in _named(state))),
        x.always("no run that agrees has the key that differs", _agrees_where_it_may),
        x.sometimes("the key is found", lambda state: bool(_named(state))),
    )
    return Explorable(x.Cluster(make, scope, observe=observe, ignore=("config", "rng", "index")), claims)


def _named(state: x.ClusterState) -> list[bytes]:
    seen = [cast("tuple[bytes | int, ...]", item) for node in state.nodes for item in node.seen]
    return [key for keys in seen for key in keys if isinstance(key, bytes)]


def _agrees_where_it_may(state: x.ClusterState) -> bool:
    seen = [cast("tuple[bytes | int, ...]", item) for node in state.nodes for item in node.seen]
    runs = [cast("tuple[int, int]", run) for run in seen if run and isinstance(run[0], int)]
    return not any(start <= hash_key(_KEY) < end for start, end in runs)
