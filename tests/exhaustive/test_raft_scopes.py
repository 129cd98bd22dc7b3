"""Raft in small scopes, every state of them.

A change of the protocol changes these numbers: then look whether it should, and write down the new ones.
"""

from collections import Counter

import pytest

from quorate.check.explore import Cluster, Name, Scope, Still, always, explore, replay, sometimes
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


class Whole(Cluster):
    """Nodes with names that could be others', and nothing is reduced: what the reduction is compared with."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.renames = False

    def _named(self, *args, **options):
        self.renames = True
        try:
            return super()._named(*args, **options)
        finally:
            self.renames = False

    def key(self, state):
        return self.renamed_key(state, 0)


def named(kind, node_count, *, is_called, quiet=(), unordered=("voters", "learners", "outgoing"), **scope):
    """Return Raft of which all nodes are alike but for those that are called, and those that are quiet."""
    nodes = tuple(NodeId(Name(place)) for place in range(1, node_count + 1))

    def make(node, records):
        config = RaftConfig(
            node=node, configuration=Configuration(nodes), pre_vote=False, check_quorum=False, notify_commit=False
        )
        return Raft(config, records, Still())

    rest = [node for node in nodes if not (is_called and node == 1)]
    alike = [[node for node in rest if (node in quiet) is flag] for flag in (True, False)]
    calls = ((nodes[0], Propose((b"x",), 1)),) if is_called else ()
    limits = Scope(nodes=nodes, calls=calls, timers=(("election", 1),), quiet=quiet, is_fifo=True, **scope)
    return kind(make, limits, ignore=IGNORED, alike=[group for group in alike if group], unordered=unordered)


def orbits(whole):
    """Visit all states; return them by their least renaming, after a look whether each renaming is a state as well."""
    work, seen = list(whole.initial()), {}
    for state in work:
        seen[whole.key(state)] = state
    while work:
        state = work.pop()
        for choice in whole.choices(state):
            after = whole.take(state, choice)
            if whole.key(after) not in seen:
                seen[whole.key(after)] = after
                work.append(after)
    classes = {}
    for key, state in seen.items():
        renamed = [whole.renamed_key(state, number) for number in range(len(whole.renamings))]
        assert set(renamed) <= set(seen), "a renaming of a reachable state is reachable"
        classes.setdefault(min(renamed), []).append(key)
    return seen, classes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("node_count", "options", "whole_count", "state_count"),
    [
        (3, {"is_called": True, "quiet": (2, 3)}, 448, 239),
        (2, {"is_called": False}, 62, 33),
        (2, {"is_called": False, "crash_count": 1}, 546, 275),
    ],
    ids=str,
)
def test_symmetry_leaves_one_state_of_each_class_of_renamings(node_count, options, whole_count, state_count):
    """Brute force: all states, all their renamings; equal classes go to equal classes, and their number is what is left."""
    whole = named(Whole, node_count, **options)
    seen, classes = orbits(whole)
    for members in classes.values():
        nexts = []
        for key in members:
            after = [whole.take(seen[key], choice) for choice in whole.choices(seen[key])]
            renamings = range(len(whole.renamings))
            nexts.append({min(whole.renamed_key(state, number) for number in renamings) for state in after})
        assert all(one == nexts[0] for one in nexts), "states that are taken for one behave alike"
    reduced = explore(named(Cluster, node_count, **options))
    assert (len(seen), len(classes), reduced.state_count) == (whole_count, state_count, state_count)
