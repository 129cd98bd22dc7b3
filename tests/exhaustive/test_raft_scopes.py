"""Raft in small scopes, every state of them.

A change of the protocol changes these numbers: then look whether it should, and write down the new ones.
"""

from collections import Counter

import pytest

from quorate.check.explore import Cluster, Scope, Still, always, explore, replay, sometimes
from quorate.kernel import NodeId
from quorate.protocols.raft import Committed, Configuration, Propose, Raft, RaftConfig

# Without pre-vote, check-quorum and leases no decision looks at these: they are news, clocks and deadlines.
IGNORED = (
    "now", "_election_deadline", "_election_timeout", "heard_at", "rounds", "leased_at", "asked_at", "_announced", "rng",
)  # fmt: skip
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)


def cluster(node_count, kind=Raft, *, proposal=True, **scope):
    nodes = tuple(NodeId(place) for place in range(1, node_count + 1))

    def make(node, records):
        config = RaftConfig(
            node=node,
            configuration=Configuration(nodes),
            pre_vote=False,
            check_quorum=False,
            notify_commit=False,
        )
        return kind(config, records, Still())

    def observe(_node, output):
        if isinstance(output, Committed):
            return tuple((entry.index, entry.term, entry.payload) for entry in output.entries)
        return None

    calls = ((ONE, Propose((b"x",), 1)),) if proposal else ()
    limits = Scope(nodes=nodes, calls=calls, timers=(("election", 1),), **scope)
    return Cluster(make, limits, observe=observe, ignore=IGNORED)


def has_one_leader_per_term(state):
    terms = Counter(machine.term for machine in state.machines() if machine.role_name == "leader")
    return all(count < 2 for count in terms.values())


def applies_one_entry_per_index(state):
    known = {}
    entries = [entry for node in state.nodes for batch in node.seen for entry in batch]
    return all(known.setdefault(entry[0], entry) == entry for entry in entries)


def has_committed(state):
    return any(entry[2] == b"x" for node in state.nodes for batch in node.seen for entry in batch)


SAFE = [
    always("one leader per term", has_one_leader_per_term),
    always("one entry per index", applies_one_entry_per_index),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scope", "state_count"),
    [
        ({"is_fifo": True}, 207),
        ({}, 1058),
        ({"is_fifo": True, "lose_count": 1}, 528),
        ({"is_fifo": True, "crash_count": 1}, 2028),
    ],
    ids=str,
)
def test_two_nodes_with_one_campaign_each_and_one_proposal(scope, state_count):
    result = explore(cluster(2, **scope), [*SAFE, sometimes("commit", has_committed)])
    assert result.holds
    assert result.state_count == state_count


@pytest.mark.slow
def test_three_nodes_with_one_campaign_and_one_proposal():
    result = explore(cluster(3, is_fifo=True, quiet=(TWO, THREE)), [*SAFE, sometimes("commit", has_committed)])
    assert result.holds
    assert result.state_count == 454


@pytest.mark.slow
def test_leaving_out_reorderings_leaves_out_no_state():
    result = explore(cluster(2), SAFE, order="depth", sleep_sets=True)
    assert result.holds
    assert result.state_count == 1058


class ForgetsVotes(Raft):
    """Does not write term and vote down."""

    def _persist_hard_state(self):
        return ()


@pytest.mark.slow
def test_a_vote_that_is_not_written_down_elects_two_leaders():
    """The shortest way there: one campaign wins, its voter crashes and forgets, the other campaign wins too."""
    system = cluster(3, ForgetsVotes, proposal=False, is_fifo=True, quiet=(TWO,), crash_count=1)
    result = explore(system, SAFE)
    example = result.counterexamples["one leader per term"]
    kinds = Counter(choice.kind for choice in example.choices)
    assert kinds == {"fire": 2, "deliver": 4, "crash": 1, "restart": 1}
    assert not has_one_leader_per_term(replay(system, example)[-1])
