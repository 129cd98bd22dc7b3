"""Operational transformation: TP1 by exhaustion, inverses, composition, a server with clients, and the same as CRDT."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.crdt import (
    Delete,
    DeleteAt,
    Drop,
    Insert,
    InsertAt,
    JSONOperation,
    JupiterClient,
    JupiterServer,
    Mismatch,
    Put,
    Retain,
    Side,
    Text,
    TextOperation,
)
from quorate.kernel import Seeds, Undecodable, seal

CHECK = settings(max_examples=80, deadline=None, derandomize=True)


def all_operations(length: int) -> list[TextOperation]:
    """Every way to keep or delete each character, with "", "x" or "y" inserted before each and at the end."""
    found = []
    for kept in product((True, False), repeat=length):
        for words in product(("", "x", "y") if length < 2 else ("", "x"), repeat=length + 1):
            parts = [Insert(words[0])]
            for keep, word in zip(kept, words[1:], strict=True):
                parts += [Retain(1) if keep else Delete(1), Insert(word)]
            found.append(TextOperation(parts))
    return list(dict.fromkeys(found))


@pytest.mark.slow
@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_tp1_holds_for_every_pair_on_short_texts(length: int) -> None:
    text = "abc"[:length]
    operations = all_operations(length)
    for a, b in product(operations, repeat=2):
        left = b.transform(a, Side.SECOND).apply(a.apply(text))
        assert left == a.transform(b, Side.FIRST).apply(b.apply(text)), (a, b)


def converges(a: TextOperation, b: TextOperation, c: TextOperation) -> bool:
    """TP2: c over a then b', and over b then a', is one operation. Sides: a before b before c."""
    b_after, a_after = b.transform(a, Side.SECOND), a.transform(b, Side.FIRST)
    over_a = c.transform(a, Side.SECOND).transform(b_after, Side.SECOND)
    return over_a == c.transform(b, Side.SECOND).transform(a_after, Side.SECOND)


@pytest.mark.slow
def test_tp2_holds_without_insertions_and_fails_where_insertions_meet_over_a_deletion() -> None:
    """The stated limit: every triple on two characters; the failures all have two insertions and a deletion."""
    operations = all_operations(2)
    failures = [t for t in product(operations, repeat=3) if not converges(*t)]

    assert failures
    assert all(converges(*t) for t in product(all_operations(1)[:4], repeat=3))

    def has(operation: TextOperation, kind: type) -> bool:
        return any(isinstance(component, kind) for component in operation.components)

    for triple in failures:
        assert sum(has(operation, Insert) for operation in triple) >= 2
        assert any(has(operation, Delete) for operation in triple)


@pytest.mark.slow
def test_inverse_and_composition_on_short_texts() -> None:
    for a in all_operations(2):
        changed = a.apply("ab")
        assert a.invert("ab").apply(changed) == "ab"
        assert TextOperation.from_bytes(a.to_bytes()) == a
        if a.target_length <= 2:
            for b in all_operations(a.target_length):
                assert a.compose(b).apply("ab") == b.apply(changed)


def json_steps() -> list[JSONOperation]:
    """Every step at every path of the small document below."""
    found: list[JSONOperation] = []
    for value in ("v", "w"):
        found += [
            JSONOperation([Put(path, value)]) for path in [("k",), ("n",), ("l",), ("l", 0), ("l", 1), ("o", "k")]
        ]
        found += [JSONOperation([InsertAt(("l", index), value)]) for index in range(3)]
        found += [JSONOperation([InsertAt(("l", 1, index), value)]) for index in range(3)]
    found += [JSONOperation([Drop(path)]) for path in [("k",), ("l",), ("o",), ("o", "k")]]
    found += [JSONOperation([DeleteAt(path)]) for path in [("l", 0), ("l", 1), ("l", 1, 0), ("l", 1, 1)]]
    return [*found, JSONOperation([Put(("l", 1, 0), "deep")]), JSONOperation()]


DOCUMENT = {"k": 1, "l": ["a", ["b", "c"]], "o": {"k": 2}}


def test_tp1_holds_for_every_pair_of_json_steps() -> None:
    for a, b in product(json_steps(), repeat=2):
        left = b.transform(a, Side.SECOND).apply(a.apply(DOCUMENT))
        assert left == a.transform(b, Side.FIRST).apply(b.apply(DOCUMENT)), (a, b)


@pytest.mark.slow
def test_tp1_holds_for_pairs_of_json_operations_of_two_steps() -> None:
    steps = json_steps()
    doubles = []
    for a, b in product(steps[::2], steps[::3]):
        try:
            a.compose(b).apply(DOCUMENT)
        except Mismatch:
            continue
        doubles.append(a.compose(b))
    for a, b in product(doubles[::3], doubles[::4]):
        left = b.transform(a, Side.SECOND).apply(a.apply(DOCUMENT))
        assert left == a.transform(b, Side.FIRST).apply(b.apply(DOCUMENT)), (a, b)


def test_json_operations_invert_and_survive_bytes() -> None:
    for a in json_steps():
        assert a.invert(DOCUMENT).apply(a.apply(DOCUMENT)) == DOCUMENT
        assert JSONOperation.from_bytes(a.to_bytes()) == a


def settle(server: JupiterServer, clients: list[JupiterClient], inbox: list, queues: dict) -> None:
    """Deliver everything."""
    while inbox or any(queues.values()):
        if inbox:
            ordered = server.submit(inbox.pop(0))
            for queue in queues.values():
                queue.append(ordered)
        for client in clients:
            while queues[client.client]:
                more = client.receive(queues[client.client].pop(0))
                inbox += [more] if more else []


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["edit", "edit", "undo", "redo", "server", "hear", "hear"]),
        st.integers(0, 9),
    ),
    max_size=40,
)


@CHECK
@given(STEPS)
def test_jupiter_clients_converge_with_undo_and_any_delay(steps: list) -> None:
    server = JupiterServer("start", TextOperation)
    clients = [JupiterClient(number, "start") for number in range(3)]
    inbox: list = []
    queues: dict = {number: [] for number in range(3)}
    for number, what, where in steps:
        client = clients[number]
        sent = None
        if what == "edit":
            length = len(client.document)
            place = where % (length + 1)
            sent = client.edit(
                TextOperation.edit(length, place, delete=min(where % 3, length - place), insert="xy"[: where % 2 + 1])
            )
        elif what == "undo":
            sent = client.undo()
        elif what == "redo":
            sent = client.redo()
        elif what == "server" and inbox:
            ordered = server.submit(inbox.pop(0))
            for queue in queues.values():
                queue.append(ordered)
        elif what == "hear" and queues[number]:
            sent = client.receive(queues[number].pop(0))
        inbox += [sent] if sent else []
    settle(server, clients, inbox, queues)
    assert all(client.document == server.document and client.is_settled for client in clients)


def test_undo_takes_back_ones_own_and_leaves_the_others() -> None:
    """An edit between is kept, and redo brings one's own back."""
    server = JupiterServer("", TextOperation)
    ada, bob = JupiterClient(1, ""), JupiterClient(2, "")
    queues: dict = {1: [], 2: []}
    settle(server, [ada, bob], [ada.edit(TextOperation.edit(0, 0, insert="hello"))], queues)
    settle(server, [ada, bob], [bob.edit(TextOperation.edit(5, 2, insert="--"))], queues)
    settle(server, [ada, bob], [ada.undo()], queues)
    assert server.document == ada.document == bob.document == "--"
    settle(server, [ada, bob], [ada.redo()], queues)
    assert "--" in server.document and server.document.replace("--", "") == "hello"
    assert ada.document == bob.document == server.document


@pytest.mark.slow
def test_one_editing_trace_gives_one_text_through_ot_and_crdt() -> None:
    """Two authors alternate in blocks; both ways end in the same text, and each way's replicas agree."""
    rng = Seeds(5).stream("trace")
    server = JupiterServer("", TextOperation)
    clients = [JupiterClient(1, ""), JupiterClient(2, "")]
    texts = [Text(actor=1), Text(actor=2)]
    for block in range(40):
        me = block % 2
        for _ in range(5):
            length = len(texts[me])
            where = rng.randrange(length + 1)
            delete = min(rng.randrange(3), length - where)
            word = rng.choice(["", "a", "bc"])
            sent = clients[me].edit(TextOperation.edit(length, where, delete=delete, insert=word))
            settle(server, clients, [sent] if sent else [], {1: [], 2: []})
            deltas = [texts[me].insert(where, word), texts[me].delete(where + len(word), delete)]
            for delta in deltas:
                texts[1 - me].apply(delta)
        assert texts[0].value == texts[1].value == server.document == clients[1].document


def test_operations_for_another_text_are_refused() -> None:
    short, long = TextOperation([Retain(1)]), TextOperation([Retain(2)])
    for refused in (
        lambda: short.apply("ab"),
        lambda: short.transform(long, Side.FIRST),
        lambda: short.compose(long),
        lambda: short.invert(""),
        lambda: TextOperation([Retain(-1)]),
        lambda: TextOperation.edit(3, 2, delete=2),
        lambda: JSONOperation([DeleteAt(("l", 7))]).apply(DOCUMENT),
        lambda: JSONOperation([Put((), 1)]),
    ):
        with pytest.raises(Mismatch):
            refused()
    with pytest.raises(Undecodable):
        TextOperation.from_bytes(seal("text-operation", 1, b"\x93\x00\x01\x01"))
