"""Leaderless replication in small scopes with dots, crashes and a slow disk, every state of them.

A change of the protocol changes these numbers: then look whether it should, and write down the new ones.
"""

import random

import pytest

from quorate.check.explore import Cluster, Scope, always, explore, sometimes
from quorate.kernel import NodeId
from quorate.protocols.leaderless import (
    Answered,
    Batch,
    Leaderless,
    LeaderlessConfig,
    Put,
    Request,
    Stored,
    Write,
    events_of,
    rule_named,
    topology_of,
)

KEY = b"key"
WALL_NS = 1_700_000_000_000_000_000
# Constants, and what is computed from them.
IGNORED = ("config", "rng", "rule", "router", "peers")


def put(node, token):
    return NodeId(node), Batch((Request(token, KEY, Put(b"%d" % token)),), WALL_NS)


def cluster(node_count, *calls, kind=Leaderless, **scope):
    nodes = tuple(NodeId(node) for node in range(1, node_count + 1))
    topology = topology_of(nodes, replica_count=node_count)

    def make(node, records):
        # Another life draws other numbers.
        rng = random.Random(100 * int(node) + len(records))
        return kind(LeaderlessConfig(node=node, topology=topology), records, rng, rule=rule_named("siblings"))

    def observe(_node, output):
        return (output.token, output.cell) if isinstance(output, Answered) else None

    limits = Scope(nodes=nodes, calls=calls, is_fifo=True, **scope)
    return Cluster(make, limits, observe=observe, ignore=IGNORED)


def cells_of(state):
    """What is on a disk, or on its way."""
    cells = [record.cell for node in state.nodes for record in node.records if isinstance(record, Stored)]
    bundles = [message for _, _, _, message in state.network]
    return cells + [part.cell for bundle in bundles for part in bundle.parts if isinstance(part, Write)]


def gives_each_dot_once(state):
    known = {}
    events = [event for cell in cells_of(state) for event in events_of(KEY, cell)]
    return all(known.setdefault(name, content) == content for name, content in events)


def keeps_what_was_answered(state):
    """On the disks of a quorum, contained in the merge of any as many."""
    rule = rule_named("siblings")
    for node in state.nodes:
        for _, cell in node.seen:
            holders = 0
            for other in state.nodes:
                held = b""
                for record in other.records:
                    held = record.cell if isinstance(record, Stored) else held
                holders += rule.merge(held, cell) == held
            if holders < len(state.nodes) // 2 + 1:
                return False
    return True


def has_both(state):
    return sum(bool(node.seen) for node in state.nodes) > 0 and sum(len(node.seen) for node in state.nodes) == 2


CLAIMS = [
    always("a dot has one meaning", gives_each_dot_once),
    always("what was answered is on a quorum of disks", keeps_what_was_answered),
    sometimes("both writes are answered", has_both),
]


@pytest.mark.slow
def test_two_writes_through_an_owner_that_may_crash_before_its_disk_is_done():
    system = cluster(2, put(1, 1), put(1, 2), crash_count=1, is_disk_instant=False)
    result = explore(system, CLAIMS)
    assert result.holds
    assert result.state_count == 718


class TellsBeforeItsDisk(Leaderless):
    """Lets writes with dots leave at once."""

    def _tell(self, write, owner, target, *, is_firm):
        del is_firm
        super()._tell(write, owner, target, is_firm=True)


@pytest.mark.slow
def test_a_dot_that_leaves_before_its_disk_is_given_twice():
    """The shortest way there: told, crashed with the write unfinished, and told again with another value."""
    system = cluster(2, put(1, 1), put(1, 2), kind=TellsBeforeItsDisk, crash_count=1, is_disk_instant=False)
    result = explore(system, CLAIMS)
    example = result.counterexamples["a dot has one meaning"]
    kinds = [choice.kind for choice in example.choices]
    assert kinds.count("crash") == 1
    assert kinds.count("call") == 2
    assert len(kinds) <= 6
