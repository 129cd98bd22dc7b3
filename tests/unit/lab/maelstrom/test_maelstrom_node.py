"""Nodes without processes: a small network in this file moves their messages, in an order drawn from a seed."""

import io
import json
import random

import pytest

from quorate.kernel import Instant, errors, milliseconds
from quorate.lab.maelstrom import BadMessage, Disk, Message, PlainNode, RaftNode, RecordFile, decode, encode, serve
from quorate.lab.maelstrom.machines import machine_of
from quorate.protocols.raft import HardState

NAMES = ("n1", "n2", "n3")


class Net:
    """Three nodes, time in steps of ten milliseconds, and a client that keeps its answers."""

    def __init__(self, workload, seed=1, disks=None, repeat=False):
        self.rng = random.Random(seed)
        self.now = Instant(0)
        self.repeat = repeat
        self.workload = workload
        self.disks = disks or {name: Disk() for name in NAMES}
        self.nodes = {}
        self.flying = []
        self.answers = {}
        self.count = 0
        for name in NAMES:
            self.begin(name)

    def begin(self, name):
        rng = random.Random(self.rng.random())
        self.nodes[name] = RaftNode(name, NAMES, self.workload, rng=rng, disk=self.disks[name])
        self.flying += self.nodes[name].start(self.now)

    def run(self, rounds=300):
        for _ in range(rounds):
            self.now = Instant(self.now + milliseconds(10))
            for node in self.nodes.values():
                self.flying += node.wake(self.now)
            batch, self.flying = self.flying, []
            self.rng.shuffle(batch)
            for message in batch:
                copies = 2 if self.repeat and message.dest in NAMES and message.src in NAMES else 1
                for _ in range(copies):
                    self.deliver(message)

    def deliver(self, message):
        # What is sent and received must survive being a line of JSON.
        message = decode(encode(message))
        if message.dest in self.nodes:
            self.flying += self.nodes[message.dest].receive(message, self.now)
        elif message.dest.startswith("c"):
            self.answers[message.body["in_reply_to"]] = message.body

    def ask(self, node, body):
        self.count += 1
        self.flying.append(Message("c1", node, {**body, "msg_id": self.count}))
        self.run(60)
        return self.answers.get(self.count)

    def leader(self):
        return next(name for name, node in self.nodes.items() if node.machine.role_name == "leader")


@pytest.fixture
def record_file():
    """Opens files of records, and closes them in the end."""
    opened = []

    def record_file(path):
        opened.append(RecordFile(path))
        return opened[-1]

    yield record_file
    for file in opened:
        file.close()


@pytest.fixture
def net():
    made = Net("lin-kv")
    made.run()
    return made


def test_every_node_serves_reads_and_writes(net):
    """A follower forwards writes and asks for an index to read at."""
    for place, node in enumerate(NAMES):
        assert net.ask(node, {"type": "write", "key": "x", "value": place})["type"] == "write_ok"
        for other in NAMES:
            assert net.ask(other, {"type": "read", "key": "x"})["value"] == place


def test_errors_have_maelstroms_numbers(net):
    assert net.ask("n1", {"type": "read", "key": 9})["code"] == 20
    net.ask("n2", {"type": "write", "key": 9, "value": 1})
    assert net.ask("n3", {"type": "cas", "key": 9, "from": 2, "to": 3})["code"] == 22
    assert net.ask("n3", {"type": "cas", "key": 9, "from": 1, "to": 3})["type"] == "cas_ok"
    assert net.ask("n1", {"type": "fly"})["code"] == 10
    assert net.ask("n1", {"type": "write", "key": 9})["code"] == 12


def test_nothing_is_promised_before_a_leader_is_known():
    """The refusal is definite: nothing was done."""
    net = Net("lin-kv")
    node = net.nodes["n1"]
    out = node.receive(Message("c1", "n1", {"type": "write", "key": 1, "value": 1, "msg_id": 7}), Instant(1))
    assert [message.body["code"] for message in out if message.dest == "c1"] == [11]


def test_a_repeated_forward_is_done_once():
    """The network may repeat what nodes say to each other."""
    net = Net("g-counter", repeat=True)
    net.run()
    for node in NAMES:
        assert net.ask(node, {"type": "add", "delta": 1})["type"] == "add_ok"
    assert net.ask("n1", {"type": "read"})["value"] == 3


def test_a_node_that_comes_back_has_kept_its_promises(net):
    """All are killed at once; what was acknowledged is read from their records."""
    net.ask("n1", {"type": "write", "key": "x", "value": 5})
    again = Net("lin-kv", seed=2, disks=net.disks)
    again.run()
    assert again.ask("n2", {"type": "read", "key": "x"})["value"] == 5


def test_a_new_leader_is_found(net):
    lost = net.leader()
    del net.nodes[lost]
    net.run(400)
    left = next(iter(net.nodes))
    assert net.ask(left, {"type": "write", "key": 1, "value": 1})["type"] == "write_ok"


def test_what_makes_no_sense_is_ignored(net):
    for body in ({"type": "raft", "data": "???"}, {"type": "raft"}, {"type": "forward"}, {"type": "forwarded"}):
        net.flying.append(Message("n2", "n1", body))
        net.flying.append(Message("stranger", "n1", body))
    net.run(20)
    assert net.ask("n1", {"type": "write", "key": 1, "value": 1})["type"] == "write_ok"


@pytest.mark.parametrize(
    ("workload", "asks"),
    [
        ("g-set", [({"type": "add", "element": 3}, {}), ({"type": "read"}, {"value": [3]})]),
        ("broadcast", [({"type": "broadcast", "message": 3}, {}), ({"type": "read"}, {"messages": [3]})]),
        ("pn-counter", [({"type": "add", "delta": -3}, {}), ({"type": "read"}, {"value": -3})]),
        ("g-counter", [({"type": "add", "delta": -3}, {"code": 12}), ({"type": "read"}, {"value": 0})]),
        (
            "txn-list-append",
            [
                (
                    {"type": "txn", "txn": [["append", 1, 2], ["r", 1, None]]},
                    {"txn": [["append", 1, 2], ["r", 1, [2]]]},
                ),
                ({"type": "txn", "txn": [["r", 1, None], ["r", 2, None]]}, {"txn": [["r", 1, [2]], ["r", 2, None]]}),
                ({"type": "txn", "txn": [["append", 1, 3], ["burn", 1, 3]]}, {"code": 12}),
                ({"type": "txn", "txn": [["r", 1, None]]}, {"txn": [["r", 1, [2]]]}),
            ],
        ),
        (
            "kafka",
            [
                ({"type": "send", "key": "k", "msg": 7}, {"offset": 0}),
                ({"type": "send", "key": "k", "msg": 8}, {"offset": 1}),
                ({"type": "poll", "offsets": {"k": 1, "j": 0}}, {"msgs": {"k": [[1, 8]], "j": []}}),
                ({"type": "commit_offsets", "offsets": {"k": 1}}, {}),
                ({"type": "list_committed_offsets", "keys": ["k", "j"]}, {"offsets": {"k": 1}}),
            ],
        ),
    ],
)
def test_each_workload_answers_as_it_should(workload, asks):
    state = machine_of(workload)
    for body, expected in asks:
        answer = state.apply(body)
        assert answer | expected == answer


def test_ids_of_two_lives_differ():
    first = PlainNode("n1", "unique-ids", random.Random(1))
    second = PlainNode("n1", "unique-ids", random.Random(2))
    ask = Message("c1", "n1", {"type": "generate", "msg_id": 1})
    ids = [node.receive(ask, Instant(0))[0].body["id"] for node in (first, first, second, second)]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"src":"a","dest":"b"}', b'{"src":"a","dest":"b","body":{}}', b"\xff"])
def test_lines_that_are_no_messages_are_refused(line):
    with pytest.raises(BadMessage):
        decode(line)


def test_records_survive_and_a_torn_end_is_cut(tmp_path, record_file):
    """The last write may have been torn; nobody was told that it is stable."""
    path = tmp_path / "n1.records"
    file = record_file(path)
    file.append([HardState(3, None), HardState(4, None)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    assert record_file(path).load() == [HardState(3, None)]
    assert len(path.read_bytes()) < len(whole) / 2 + 1
    path.write_bytes(whole)
    assert record_file(path).load() == [HardState(3, None), HardState(4, None)]


def test_a_damaged_record_stops_the_node(tmp_path, record_file):
    path = tmp_path / "n1.records"
    record_file(path).append([HardState(3, None), HardState(4, None)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2 - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(errors.Corrupt):
        record_file(path)


def test_a_node_serves_from_input_to_output():
    """A whole conversation of a one-node cluster: the input may be a file."""
    lines = [
        {"src": "c1", "dest": "n1", "body": {"type": "echo", "echo": "early", "msg_id": 1}},
        {"src": "c1", "dest": "n1", "body": {"type": "init", "node_id": "n1", "node_ids": ["n1"], "msg_id": 2}},
        {"src": "c1", "dest": "n1", "body": {"type": "echo", "echo": "hello", "msg_id": 3}},
    ]
    source = io.BytesIO(b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\n")
    target = io.BytesIO()
    serve("echo", source=source, target=target)
    bodies = [json.loads(line)["body"] for line in target.getvalue().splitlines()]
    assert [body["type"] for body in bodies] == ["error", "init_ok", "echo_ok"]
    assert bodies[2] == {"type": "echo_ok", "echo": "hello", "in_reply_to": 3}


@pytest.mark.parametrize(("workload", "design"), [("chess", "raft"), ("echo", "blockchain")])
def test_unknown_names_are_told(workload, design):
    with pytest.raises(errors.UsageError, match="there"):
        serve(workload, design=design, source=io.BytesIO(), target=io.BytesIO())
