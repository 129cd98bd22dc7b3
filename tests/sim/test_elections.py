"""Bully and ring in the simulated world: who leads, what a partition does, and what each cure cures."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import (
    Instant,
    Message,
    NodeId,
    Output,
    Received,
    SetTimer,
    Started,
    TimerFired,
    marks,
    milliseconds,
    seconds,
)
from quorate.protocols.election import (
    BULLY_MESSAGES,
    RING_MESSAGES,
    Answer,
    Bully,
    Circulate,
    CirculateResult,
    Elected,
    Election,
    ElectionConfig,
    Elector,
    FencedResource,
    Lead,
    LeaderChanged,
    LeadResult,
    Ring,
    Token,
    leaders,
)
from quorate.sim import Atlas, CoreCluster, CoreHost, FaultSchedule, LinkPolicy, Nemesis, World

KINDS: dict[str, tuple[type[Elector], object]] = {"bully": (Bully, BULLY_MESSAGES), "ring": (Ring, RING_MESSAGES)}


class Cluster:
    def __init__(self, kind: str, count: int = 5, *, quorum: bool = False, seed: int = 1, lose: float = 0.0) -> None:
        self.world = World(seed, link=LinkPolicy(lose=lose))
        machine, codec = KINDS[kind]
        nodes = tuple(NodeId(node) for node in range(1, count + 1))

        def make(node: NodeId, records: list, rng) -> Elector:
            return machine(ElectionConfig(node=node, nodes=nodes, quorum=quorum), records, rng)

        # Every leadership there ever was: (token, leader).
        self.led: list[tuple[Token, NodeId]] = []
        self.core = CoreCluster(self.world, make, nodes, codec=codec, on_deliver=self.note)  # type: ignore[arg-type]
        self.core.start()

    def note(self, host: CoreHost, output: Output) -> None:
        if isinstance(output, LeaderChanged) and output.is_self:
            self.led.append((output.token, host.node))

    def host(self, node: int) -> CoreHost:
        return self.core.hosts[NodeId(node)]

    def machine(self, node: int) -> Elector:
        machine = self.host(node).machine
        assert isinstance(machine, Elector)
        return machine

    @property
    def running(self) -> list[Elector]:
        return [self.machine(node) for node, host in self.core.hosts.items() if host.is_running]

    def leaders(self) -> list[int]:
        return [int(node) for node in leaders(self.running)]

    def split(self, *groups: tuple[int, ...]) -> None:
        self.world.partitions.split([[self.host(node).number for node in group] for group in groups])

    def run(self, span: float) -> None:
        self.core.run_for(seconds(span))

    def agrees_on(self, node: int) -> bool:
        return self.leaders() == [node] and all(machine.leader == node for machine in self.running)


@pytest.mark.parametrize("quorum", [False, True])
@pytest.mark.parametrize("kind", KINDS)
class TestWithoutPartition:
    def test_the_highest_leads_and_all_know_it(self, kind: str, quorum: bool) -> None:
        cluster = Cluster(kind, quorum=quorum)
        cluster.run(5)
        assert cluster.agrees_on(5)

    def test_when_it_crashes_the_next_leads_within_seconds(self, kind: str, quorum: bool) -> None:
        cluster = Cluster(kind, quorum=quorum)
        cluster.run(5)
        cluster.host(5).crash()
        cluster.run(4)
        assert cluster.agrees_on(4)
        tokens = [token for token, _ in cluster.led]
        assert tokens == sorted(tokens)


def test_the_bully_takes_over_when_it_comes_back_and_the_ring_does_not() -> None:
    found = {}
    for kind in KINDS:
        cluster = Cluster(kind)
        cluster.run(5)
        cluster.host(5).crash()
        cluster.run(4)
        with marks.expect("election: a better node took over") if kind == "bully" else marks.expect("seen"):
            marks.hit("seen")
            cluster.host(5).restart()
            cluster.run(5)
        found[kind] = cluster.leaders()
    assert found == {"bully": [5], "ring": [4]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_partition_gives_a_plain_election_two_leaders(kind: str) -> None:
    """Shown, not hidden: each side has a highest node and nothing tells it that there is another side."""
    cluster = Cluster(kind)
    cluster.run(5)
    cluster.split((1, 2, 3), (4, 5))
    cluster.run(5)
    assert cluster.leaders() == [3, 5]
    cluster.world.partitions.heal()
    cluster.run(8)
    assert len(cluster.leaders()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_two_leaders_spoil_a_resource_that_does_not_look_at_tokens_and_not_one_that_does(kind: str) -> None:
    """The resource is reachable from both sides; leaders write in turn."""
    cluster = Cluster(kind)
    cluster.run(5)
    cluster.split((1, 2, 3), (4, 5))
    cluster.run(5)
    fenced, unfenced = FencedResource(), []
    for _ in range(5):
        for machine in cluster.running:
            if machine.role_name == "leader":
                unfenced.append(machine.node)
                fenced.write(machine.token, b"x")
    assert len([1 for one, two in itertools.pairwise(unfenced) if one != two]) == 9
    owners = [token.node for token, _ in fenced.writes]
    assert len([1 for one, two in itertools.pairwise(owners) if one != two]) <= 1
    assert fenced.refused_count >= 4


@pytest.mark.parametrize("kind", KINDS)
def test_with_quorum_the_smaller_side_has_no_leader(kind: str) -> None:
    cluster = Cluster(kind, quorum=True)
    cluster.run(5)
    with marks.expect("election: a leader without a majority gave up"):
        cluster.split((1, 2, 3), (4, 5))
        cluster.run(5)
    assert cluster.leaders() == [3]
    with marks.expect("election: a leader heard of a newer token"):
        cluster.world.partitions.heal()
        cluster.run(8)
        cluster.machine(5).step(Received(NodeId(1), Lead(Token(0, 1))), now=cluster.machine(5).now)
        former = cluster.running[[machine.role_name for machine in cluster.running].index("leader")]
        former.step(Received(NodeId(2), LeadResult(Token(former.token.count + 1, 2))), now=former.now)
    assert former.role_name == "follower"


def test_a_ring_with_quorum_elects_nobody_from_a_short_list() -> None:
    cluster = Cluster("ring", quorum=True)
    cluster.split((1, 2, 3), (4, 5))
    with (
        marks.expect("election: a short list elected nobody"),
        marks.expect("election: a lower initiator's list died out"),
    ):
        cluster.run(10)
    assert cluster.leaders() == [3]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_any_faults_leave_one_leader_and_no_token_was_ever_given_twice(kind: str, seed: int) -> None:
    """With quorum: one leader per count, over crashes, power cuts, pauses, loss and partitions; then one leader."""
    cluster = Cluster(kind, quorum=True, seed=seed, lose=0.05)
    targets = {int(node): host for node, host in cluster.core.hosts.items()}
    nemesis = Nemesis(cluster.world, targets, atlas=Atlas(down_max=2))
    nemesis.follow(FaultSchedule.drawn(cluster.world.choices.stream("plan"), list(range(1, 6)), seconds(60)).items)
    cluster.run(60)
    nemesis.mend()
    assert cluster.core.run_until(
        lambda: len(cluster.leaders()) == 1 and cluster.agrees_on(cluster.leaders()[0]),
        timeout=seconds(60),
        period=milliseconds(200),
    )
    by_count: dict[int, set[NodeId]] = {}
    for token, leader in cluster.led:
        assert token.node == leader
        by_count.setdefault(token.count, set()).add(leader)
    assert all(len(nodes) == 1 for nodes in by_count.values())


tokens = st.builds(Token, st.integers(0, 5), st.integers(0, 6))
lists = st.lists(st.integers(1, 6), max_size=6).map(tuple)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Lead, tokens),
    st.builds(LeadResult, tokens),
    st.just(Election()),
    st.just(Answer()),
    st.builds(Circulate, st.integers(1, 7), lists),
    st.builds(CirculateResult, st.integers(1, 7)),
    st.builds(Elected, lists),
    st.just(Message()),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(list(KINDS)),
    quorum=st.booleans(),
    schedule=st.lists(st.tuples(st.integers(0, 7), st.one_of(messages, st.integers(0, 9))), max_size=40),
)
def test_no_message_raises(kind: str, quorum: bool, schedule: list) -> None:
    """Arbitrary messages from members and strangers, of either election, with its timers between them."""
    config = ElectionConfig(node=NodeId(3), nodes=tuple(NodeId(node) for node in range(1, 6)), quorum=quorum)
    machine = KINDS[kind][0](config, (), random.Random(1))
    timers = [effect.timer for effect in machine.step(Started(), now=Instant(0)) if isinstance(effect, SetTimer)]
    for sender, move in schedule:
        now = Instant(machine.now + milliseconds(150))
        before = machine.token
        event = TimerFired(timers[move % len(timers)]) if isinstance(move, int) else Received(NodeId(sender), move)
        timers += [effect.timer for effect in machine.step(event, now=now) if isinstance(effect, SetTimer)]
        assert before <= machine.token
        assert (machine.leader == machine.node) == (machine.role_name == "leader")


def test_strangers_and_endless_lists_are_ignored() -> None:
    cluster = Cluster("ring")
    with marks.expect("election: ignored a stranger"):
        cluster.machine(1).step(Received(NodeId(99), Lead(Token(9, 99))), now=cluster.host(1).now())
    with marks.expect("election: a list that would go round for ever was dropped"):
        cluster.machine(2).step(Received(NodeId(1), Circulate(77, (1, 2))), now=cluster.host(2).now())
    assert cluster.machine(1).token == Token()
