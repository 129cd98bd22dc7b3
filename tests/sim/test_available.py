"""Whole nodes of a leaderless keyspace in the simulated world: membership, replication and anti-entropy as one machine."""

import msgspec
import pytest

from quorate.kernel import Codec, NodeId, Output, marks, milliseconds, seconds
from quorate.protocols.leaderless import (
    Add,
    Answered,
    AnyChange,
    Batch,
    Count,
    Delete,
    Failed,
    LeaderlessConfig,
    PeerDown,
    PeerUp,
    Put,
    Reconfigure,
    Request,
    SetFields,
    Settled,
    Tick,
    canonical,
    rule_named,
    topology_of,
)
from quorate.replication import Available, AvailableConfig, AvailableMessage, shared_ranges
from quorate.sim import Atlas, CoreCluster, CoreHost, FaultSchedule, LinkPolicy, Nemesis, World

WALL_NS = 1_700_000_000_000_000_000


class Metered(Codec):  # type: ignore[type-arg]
    """The messages of a keyspace, each with its size noted."""

    def __init__(self, sizes: dict[str, list[int]]) -> None:
        super().__init__(AvailableMessage)
        self.sizes = sizes
        plain = self.encode

        def encode(message: object) -> bytes:
            data = plain(message)
            sizes.setdefault(type(message).__name__, []).append(len(data))
            return data

        self.encode = encode


class Keyspace:
    """Nodes 1 to n, a clock that ticks, and clients that ask."""

    def __init__(
        self,
        count: int = 5,
        *,
        seed: int = 1,
        rule: str = "crdt",
        swim: str | None = None,
        link: LinkPolicy | None = None,
        entropy: bool = True,
        member_count: int = 0,
        **fields: object,
    ) -> None:
        self.world = World(seed, link=link or LinkPolicy())
        nodes = [NodeId(node) for node in range(1, count + 1)]
        topology = topology_of(nodes[: member_count or count], replica_count=min(3, count))
        self.settled: list[tuple[int, int]] = []
        # Kind of message → bytes of each.
        self.sizes: dict[str, list[int]] = {}
        self.answers: dict[int, Answered | Failed] = {}
        self.token = 0
        self.rule = rule_named(rule)

        def make(node: NodeId, records: list, rng) -> Available:
            leaderless = LeaderlessConfig(node=node, topology=topology, **fields)
            config = AvailableConfig.standard(leaderless, swim=swim)
            if not entropy:
                config = AvailableConfig(leaderless=leaderless, swim=swim)
            return Available(config, records, rng, rule=self.rule)

        self.core = CoreCluster(
            self.world,
            make,
            nodes,
            codec=Metered(self.sizes),
            on_deliver=self.note,
            compact=canonical,
            compact_above=200,
        )
        self.core.start()
        self.tick()

    def note(self, host: CoreHost, output: Output) -> None:
        if isinstance(output, Answered | Failed):
            assert output.token not in self.answers, "one answer a request"
            self.answers[output.token] = output
        elif isinstance(output, Settled):
            self.settled.append((int(host.node), output.version))

    @property
    def wall_ns(self) -> int:
        return WALL_NS + self.world.now

    def host(self, node: int) -> CoreHost:
        return self.core.hosts[NodeId(node)]

    def machine(self, node: int) -> Available:
        machine = self.host(node).machine
        assert isinstance(machine, Available)
        return machine

    def tick(self) -> None:
        for host in self.core.hosts.values():
            host.call(Tick(self.wall_ns))

    def run(self, span: float) -> None:
        for _ in range(int(span * 2)):
            self.world.run_for(milliseconds(500))
            self.tick()

    def ask(self, node: int, key: bytes, change: AnyChange | None = None, level: str = "") -> int:
        self.token += 1
        request = Request(self.token, key, change, level)
        self.host(node).call(Batch((request,), wall_ns=self.wall_ns))
        return self.token

    def change(self, node: int, key: bytes, change: AnyChange, level: str = "ONE") -> Answered | Failed:
        token = self.ask(node, key, change, level)
        self.world.run_for(milliseconds(100))
        return self.answers[token]

    def cut(self, *groups: tuple[int, ...]) -> None:
        self.world.partitions.split([[self.host(node).number for node in group] for group in groups])

    def differing(self) -> dict[bytes, list[int]]:
        """Return the keys of which some owners hold different bytes, with the owners."""
        found: dict[bytes, list[int]] = {}
        keys = dict.fromkeys(
            key for host in self.core.hosts.values() for key in self.machine(host.node).leaderless.cells
        )
        for key in sorted(keys):
            owners = self.machine(1).leaderless.router.route(key).nodes
            cells = {self.machine(owner).leaderless.cells.get(key, b"") for owner in owners}
            if len(cells) > 1:
                found[key] = [int(owner) for owner in owners]
        return found


def no_hints(**fields: object) -> dict[str, object]:
    """Nothing but anti-entropy brings what was missed."""
    return {"hint_count_max": 0, "read_repair": "none", "sloppy": False, **fields}


def diverge(keyspace: Keyspace, count: int = 60) -> None:
    """Write through both sides of a partition, and delete some of it."""
    keyspace.cut((1, 2), (3, 4, 5))
    for number in range(count):
        node = 1 + number % 5
        keyspace.ask(node, b"text:%d" % (number % 20), Put(b"by %d" % number), "ONE")
        keyspace.ask(node, b"count:%d" % (number % 7), Count(number), "ONE")
        keyspace.ask(node, b"set:%d" % (number % 5), Add((b"%d" % number,)), "ONE")
        keyspace.ask(node, b"hash:%d" % (number % 3), SetFields(((b"f%d" % number, b"v"),)), "ONE")
        if number % 9 == 0:
            keyspace.ask(node, b"text:%d" % (number % 4), Delete(), "ONE")
        keyspace.world.run_for(milliseconds(20))
    keyspace.run(3)


@pytest.mark.slow
def test_anti_entropy_alone_makes_replicas_equal_after_a_partition() -> None:
    """No hints, no read repair, nobody reads."""
    keyspace = Keyspace(**no_hints())
    diverge(keyspace)
    assert len(keyspace.differing()) > 20
    keyspace.world.partitions.heal()
    keyspace.run(25)
    assert keyspace.differing() == {}
    shown = keyspace.rule.seen(keyspace.machine(1).leaderless._view(b"count:0"))
    assert shown.kind in {"counter", "none"}
    assert sum(keyspace.machine(node).counters()["entropy_divergent"] for node in range(1, 6)) > 20


@pytest.mark.slow
def test_without_anti_entropy_they_stay_different() -> None:
    """The test above can fail."""
    keyspace = Keyspace(entropy=False, **no_hints())
    diverge(keyspace)
    keyspace.world.partitions.heal()
    keyspace.run(25)
    assert len(keyspace.differing()) > 20


@pytest.mark.slow
def test_a_node_that_was_down_gets_what_it_missed() -> None:
    """And one that lost its disk gets all that it owns."""
    keyspace = Keyspace(**no_hints())
    keyspace.run(2)
    for number in range(30):
        assert isinstance(keyspace.change(1 + number % 5, b"k%d" % number, Put(b"v"), "QUORUM"), Answered)
    keyspace.host(4).power_cut()
    keyspace.host(5).power_cut()
    keyspace.host(5).durable = []
    for number in range(20, 40):
        keyspace.ask(1 + number % 3, b"k%d" % number, Put(b"w"), "ONE")
    keyspace.run(3)
    keyspace.core.start()
    keyspace.run(25)
    assert keyspace.differing() == {}
    assert len(keyspace.machine(5).leaderless.cells) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_any_faults_leave_replicas_that_are_equal_when_they_end(seed: int) -> None:
    """Loss, repetition, crashes, power cuts, pauses, partitions, skew; hints and membership on; then equal bytes."""
    keyspace = Keyspace(
        seed=seed, swim="local", link=LinkPolicy(lose=0.03, repeat=0.03, reorder=0.1), request_timeout=seconds(1)
    )
    targets = {int(node): host for node, host in keyspace.core.hosts.items()}
    nemesis = Nemesis(keyspace.world, targets, atlas=Atlas(down_max=2))
    plan = FaultSchedule.drawn(keyspace.world.choices.stream("plan"), [1, 2, 3, 4, 5], seconds(20))
    nemesis.follow(plan.items)
    choose = keyspace.world.choices.stream("clients")
    for number in range(200):
        node, key = choose.between(1, 5), choose.between(0, 12)
        changes = (
            Put(b"%d" % number),
            Count(1),
            Add((b"%d" % number,)),
            SetFields(((b"f", b"%d" % number),)),
            Delete(),
        )
        kind = choose.between(0, 9) % 5
        name = b"%d:%d" % (kind if kind < 4 else choose.between(0, 3), key)
        keyspace.ask(node, name, changes[kind], ("ONE", "QUORUM")[number % 2])
        keyspace.world.run_for(milliseconds(100))
        if number % 5 == 0:
            keyspace.tick()
    nemesis.mend()
    keyspace.core.start()
    keyspace.run(40)
    assert keyspace.differing() == {}
    assert any(isinstance(answer, Answered) for answer in keyspace.answers.values())


@pytest.mark.slow
def test_swim_tells_the_others_who_is_down_and_up_again() -> None:
    """A crash becomes a peer that is down: hints at once, no comparison with it; its return brings both."""
    keyspace = Keyspace(swim="local")
    keyspace.run(3)
    assert keyspace.machine(1).counters()["members_alive"] == 5
    keyspace.host(5).crash()
    keyspace.run(20)
    for node in range(1, 5):
        machine = keyspace.machine(node)
        assert list(machine.leaderless.down) == [5]
        assert machine.anti_entropy is not None
        assert list(machine.anti_entropy.down) == [5]
    for number in range(40):
        keyspace.change(1 + number % 4, b"k%d" % number, Put(b"v"), "QUORUM")
    assert sum(keyspace.machine(node).counters()["hints"] for node in range(1, 5)) > 10
    keyspace.host(5).restart()
    keyspace.run(15)
    assert keyspace.differing() == {}
    for node in range(1, 6):
        assert keyspace.machine(node).counters()["peers_down"] == 0
        assert keyspace.machine(node).counters()["hints"] == 0
    counters = [keyspace.machine(node).counters() for node in range(1, 5)]
    assert sum(found["hinted"] for found in counters) >= sum(found["delivered"] for found in counters) > 10


def test_a_node_that_never_came_is_found_down() -> None:
    """All nodes of the topology are members from the start."""
    keyspace = Keyspace(3, swim="local")
    keyspace.host(3).crash()
    keyspace.run(15)
    assert list(keyspace.machine(1).leaderless.down) == [3]


def test_without_swim_the_host_says_who_is_down() -> None:
    keyspace = Keyspace(3)
    keyspace.host(1).call(PeerDown(NodeId(2)))
    machine = keyspace.machine(1)
    assert machine.anti_entropy is not None
    assert (list(machine.leaderless.down), list(machine.anti_entropy.down)) == ([2], [2])
    keyspace.host(1).call(PeerUp(NodeId(2)))
    assert (list(machine.leaderless.down), list(machine.anti_entropy.down)) == ([], [])


@pytest.mark.slow
def test_tombstones_go_when_all_owners_agree_and_nothing_comes_back() -> None:
    """Purge by repair: not while an owner is away, soon after it is back."""
    spans = {"hint_window": seconds(2), "request_timeout": seconds(1), "tombstone_grace": seconds(60)}
    keyspace = Keyspace(3, purge="repair", **no_hints(**spans))
    keyspace.run(2)
    for number in range(20):
        keyspace.change(1, b"k%d" % number, Put(b"v"), "ALL")
    keyspace.cut((1, 2), (3,))
    for number in range(10):
        keyspace.change(1, b"k%d" % number, Delete(), "QUORUM")
    keyspace.run(30)
    assert keyspace.machine(1).counters()["tombstones"] == 10
    keyspace.world.partitions.heal()
    with marks.expect("leaderless: a tombstone goes because another owner purged it"):
        keyspace.run(60)
    assert [keyspace.machine(node).counters()["tombstones"] for node in (1, 2, 3)] == [0, 0, 0]
    assert [keyspace.machine(node).counters()["keys"] for node in (1, 2, 3)] == [10, 10, 10]
    assert sum(keyspace.machine(node).counters()["purged"] for node in (1, 2, 3)) == 30
    assert sum(keyspace.machine(node).counters()["reconciled"] for node in (1, 2, 3)) >= 10


def test_a_node_that_is_alone_agrees_with_itself() -> None:
    """One copy of everything: tombstones go by age, nobody has to be asked."""
    spans = {"hint_window": seconds(1), "request_timeout": seconds(1), "tombstone_grace": seconds(60)}
    keyspace = Keyspace(1, purge="repair", **spans)
    keyspace.run(1)
    keyspace.change(1, b"k", Put(b"v"))
    keyspace.change(1, b"k", Delete())
    assert keyspace.machine(1).counters()["tombstones"] == 1
    keyspace.run(5)
    assert keyspace.machine(1).counters()["tombstones"] == 0


def test_a_clock_that_goes_back_begins_agreements_anew() -> None:
    """Else what arrives from now on would count as older than what was agreed."""
    keyspace = Keyspace(3)
    keyspace.run(2)
    with marks.expect("available: the clock went back, so agreements begin anew"):
        keyspace.host(1).call(Tick(WALL_NS - 10))


def test_the_same_seed_gives_the_same_run() -> None:
    hashes = []
    for _ in range(2):
        keyspace = Keyspace(3, swim="local", link=LinkPolicy(lose=0.05))
        for number in range(10):
            keyspace.ask(1 + number % 3, b"k%d" % number, Count(1), "QUORUM")
        keyspace.run(5)
        hashes.append(keyspace.world.trace_hash)
    assert hashes[0] == hashes[1]


@pytest.mark.slow
def test_a_node_that_joins_is_compared_with_once_all_have_settled() -> None:
    """While ranges move, nodes compare by the topology that they settled in, so nobody repairs what is being streamed."""
    keyspace = Keyspace(5, member_count=4, swim="local")
    keyspace.run(2)
    for number in range(60):
        assert isinstance(keyspace.change(1 + number % 4, b"k%d" % number, Put(b"v"), "QUORUM"), Answered)
    for node in range(1, 6):
        entropy = keyspace.machine(node).anti_entropy
        assert entropy is not None
        assert entropy.version == 1
    larger = msgspec.structs.replace(topology_of([NodeId(node) for node in range(1, 6)], replica_count=3), version=2)
    keyspace.host(1).call(Reconfigure(larger))
    keyspace.run(20)
    assert sorted(keyspace.settled) == [(node, 2) for node in range(1, 6)]
    for node in range(1, 6):
        entropy = keyspace.machine(node).anti_entropy
        assert entropy is not None
        assert entropy.version == 2
        assert entropy.ranges == shared_ranges(larger, NodeId(node))
    keyspace.run(15)
    assert keyspace.differing() == {}
    assert keyspace.machine(5).counters()["keys"] > 10
    assert keyspace.machine(5).counters()["entropy_agreed"] > 0


@pytest.mark.slow
def test_messages_are_small_when_nothing_happens_and_bounded_when_much_does() -> None:
    """Five quiet nodes pay 155 bytes a second each for comparing; a lost disk comes back in messages below 300 KB."""
    keyspace = Keyspace(5, **no_hints())
    keyspace.run(2)
    for number in range(2_000):
        keyspace.ask(1 + number % 5, b"key:%d" % number, Put(b"v" * 50), "ONE")
    keyspace.run(30)
    keyspace.sizes.clear()
    keyspace.run(20)
    quiet = {kind: sum(sizes) / 20 / 5 for kind, sizes in keyspace.sizes.items()}
    assert set(quiet) == {"Ask", "Answer"}
    assert sum(quiet.values()) < 200
    keyspace.host(3).power_cut()
    keyspace.host(3).durable = []
    keyspace.core.start()
    keyspace.sizes.clear()
    keyspace.run(30)
    assert keyspace.differing() == {}
    assert keyspace.machine(3).counters()["keys"] > 1_000
    assert max(max(sizes) for sizes in keyspace.sizes.values()) < 300_000
    # Each cell crosses about once from each of two owners, not again and again.
    assert sum(keyspace.sizes["Bundle"]) < 5 * 2_000 * 100
