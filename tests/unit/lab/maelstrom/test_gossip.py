"""Nodes that agree in the end: whatever is lost, repeated or forgotten by a death, all that was acknowledged gets there."""

import random

import pytest

from quorate.kernel import MILLISECOND, Instant
from quorate.lab.maelstrom import GOSSIP_WORKLOADS, Disk, GossipNode, Message

NAMES = ["n1", "n2", "n3"]
ROUND_NS = 50 * MILLISECOND


class Net:
    """Nodes, messages between them, and an answer to each request."""

    def __init__(
        self, workload: str, *, seed: int = 1, loss: float = 0.0, repeat: float = 0.0, lateness: float = 0.0
    ) -> None:
        self.workload = workload
        self.rng = random.Random(seed)
        self.loss, self.repeat, self.lateness = loss, repeat, lateness
        self.now = Instant(0)
        self.disks = {name: Disk() for name in NAMES}
        self.nodes: dict[str, GossipNode] = {}
        self.flying: list[Message] = []
        self.sent_count = 0
        for name in NAMES:
            self.restart(name)

    def restart(self, name: str) -> None:
        disk = self.disks[name]
        self.nodes[name] = GossipNode(name, NAMES, self.workload, rng=random.Random(self.rng.random()), disk=disk)
        self.send(self.nodes[name].start(self.now))

    def send(self, messages: list[Message]) -> None:
        for message in messages:
            self.sent_count += 1
            if self.rng.random() >= self.loss:
                self.flying += [message] * (1 + (self.rng.random() < self.repeat))

    def round(self) -> None:
        self.now = Instant(self.now + ROUND_NS)
        for node in self.nodes.values():
            self.send(node.wake(self.now))
        late: list[Message] = []
        while self.flying:
            message = self.flying.pop(self.rng.randrange(len(self.flying)))
            if self.rng.random() < self.lateness:
                late.append(message)  # clients may change something before it arrives
            else:
                self.send(self.nodes[message.dest].receive(message, self.now))
        self.flying = late

    def ask(self, name: str, **body: object) -> dict[str, object]:
        (answer,) = self.nodes[name].receive(Message("c1", name, {**body, "msg_id": 1}), self.now)
        assert answer.dest == "c1"
        return answer.body

    def change(self, name: str, number: int) -> None:
        field = {"broadcast": "message", "g-set": "element"}.get(self.workload, "delta")
        kind = "broadcast" if self.workload == "broadcast" else "add"
        assert self.ask(name, type=kind, **{field: number})["type"] == f"{kind}_ok"

    def read(self, name: str) -> object:
        answer = self.ask(name, type="read")
        return answer["messages" if self.workload == "broadcast" else "value"]


@pytest.mark.parametrize("workload", GOSSIP_WORKLOADS)
@pytest.mark.parametrize("seed", range(8))
def test_all_nodes_come_to_the_same_though_messages_are_lost_and_nodes_die(workload: str, seed: int) -> None:
    net = Net(workload, seed=seed, loss=0.2, repeat=0.3, lateness=0.5)
    told = []
    for number in range(1, 31):
        amount = -number if workload == "pn-counter" and number % 3 == 0 else number
        net.change(net.rng.choice(NAMES), amount)
        told.append(amount)
        if number % 7 == 0:
            net.restart(net.rng.choice(NAMES))
        if number % 2:
            net.round()
    net.loss = net.lateness = 0.0
    for _ in range(12):
        net.round()
    wanted = sum(told) if "counter" in workload else sorted(told)
    assert [net.read(name) for name in NAMES] == [wanted] * 3


def test_a_node_that_is_alone_answers_at_once() -> None:
    net = Net("g-set", loss=1.0)
    net.change("n1", 7)
    assert net.read("n1") == [7]
    assert net.read("n2") == []


def test_nothing_is_said_when_everybody_has_everything() -> None:
    net = Net("g-counter")
    net.change("n1", 5)
    for _ in range(4):
        net.round()
    before = net.sent_count
    for _ in range(20):
        net.round()
    assert net.sent_count == before


def test_what_was_acknowledged_is_on_the_disk_before() -> None:
    net = Net("g-counter", loss=1.0)
    net.change("n1", 5)
    assert net.disks["n1"].records
    net.restart("n1")
    assert net.read("n1") == 5
    # Each life counts under a name of its own: the new one does not write over what the old one counted.
    net.change("n1", 2)
    assert net.read("n1") == 7


@pytest.mark.parametrize(
    ("workload", "body", "code"),
    [
        ("g-counter", {"type": "add", "delta": -1}, 12),
        ("g-counter", {"type": "add", "delta": True}, 12),
        ("pn-counter", {"type": "add", "delta": 1 << 80}, 12),
        ("pn-counter", {"type": "add"}, 12),
        ("g-set", {"type": "add", "element": [1]}, 12),
        ("g-set", {"type": "add", "element": 1.5}, 12),
        ("broadcast", {"type": "broadcast", "message": {"a": 1}}, 12),
        ("broadcast", {"type": "add", "element": 1}, 10),
        ("g-set", {"type": "burn"}, 10),
    ],
)
def test_requests_that_make_no_sense_are_refused_with_maelstroms_numbers(
    workload: str, body: dict[str, object], code: int
) -> None:
    assert Net(workload).ask("n1", **body)["code"] == code


@pytest.mark.parametrize(
    "body",
    [
        {"type": "gossip"}, {"type": "gossip", "data": 7}, {"type": "gossip", "data": "%%%"},
        {"type": "gossip", "data": "AAAA", "number": "x"}, {"type": "gossip_ok"}, {"type": "gossip_ok", "number": 1},
        {"type": "read", "in_reply_to": 3},
    ],
)  # fmt: skip
def test_messages_of_peers_that_make_no_sense_are_ignored(body: dict[str, object]) -> None:
    net = Net("g-set")
    assert net.nodes["n1"].receive(Message("n2", "n1", dict(body)), net.now) == []
    assert net.nodes["n1"].receive(Message("n9", "n1", dict(body)), net.now) == []
