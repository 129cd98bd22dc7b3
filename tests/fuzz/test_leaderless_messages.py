"""Whatever a peer or a client sends is data: any message, in any order, never raises and breaks no invariant."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.clocks import HybridStamp
from quorate.kernel import (
    Called,
    Duration,
    Instant,
    Malformed,
    NodeId,
    Persist,
    Persisted,
    Received,
    SetTimer,
    Started,
    TimerFired,
    milliseconds,
)
from quorate.protocols.leaderless import (
    LEVELS,
    MESSAGES,
    Add,
    Ask,
    Batch,
    Bundle,
    Count,
    Delete,
    Exchange,
    Fetch,
    Fetched,
    Forward,
    Forwarded,
    HandOver,
    Keep,
    Leaderless,
    LeaderlessConfig,
    PeerDown,
    PeerUp,
    Place,
    Plan,
    Put,
    Reconcile,
    Reconfigure,
    Request,
    SetFields,
    Stage,
    Tick,
    Told,
    ToldDigest,
    Topology,
    Write,
    Written,
    canonical,
    name_of,
    rule_named,
    topology_of,
)

WALL = 1_700_000_000_000_000_000
RULES = {name: rule_named(name) for name in ("lww", "siblings", "merge:lines")}


FIRST = topology_of([NodeId(node) for node in range(1, 6)])
SECOND = FIRST.with_nodes(added=[Place(NodeId(6))])
# The last two cannot be: too few nodes, a token that two nodes claim.
TOPOLOGIES = (
    FIRST,
    SECOND,
    FIRST.with_nodes(removed=[NodeId(1)]),
    SECOND.with_nodes(removed=[NodeId(2)]),
    Topology(2, FIRST.places[:1], {"": 3}),
    Topology(2, tuple(Place(NodeId(node), tokens=(5,)) for node in (1, 2, 3)), {"": 3}),
)


def cells_of(name: str) -> list[bytes]:
    rule = RULES[name]
    one = rule.change(b"", Put(b"a"), actor=1, stamp=HybridStamp(WALL, 0, 1), context=b"")
    two = rule.change(b"", Put(b"b"), actor=2, stamp=HybridStamp(WALL + 1, 0, 2), context=b"")
    gone = rule.change(one, Delete(), actor=1, stamp=HybridStamp(WALL + 2, 0, 1), context=b"")
    return [one, two, gone, rule.merge(one, two)]


nodes = st.integers(0, 7).map(NodeId)
keys = st.sampled_from([b"", b"k", b"key", b"x" * 300])
numbers = st.one_of(st.integers(0, 12), st.integers(0, 2**63 - 1))
cells = st.one_of(st.sampled_from([cell for name in RULES for cell in cells_of(name)]), st.binary(max_size=40))
changes = st.one_of(
    st.builds(Put, st.binary(max_size=3), st.binary(max_size=2)),
    st.builds(Delete),
    st.builds(Count, st.integers(-5, 5)),
    st.builds(Add, st.lists(st.binary(max_size=2), max_size=2).map(tuple)),
    st.builds(SetFields, st.just(((b"f", b"v"),))),
)
levels = st.sampled_from([*LEVELS, "", "2", "99", "nonsense"])
walls = st.one_of(st.integers(-5, 5).map(lambda n: WALL + n * 1_000_000_000), st.integers(-(2**62), 2**62))
parts = st.one_of(
    st.builds(Write, numbers, keys, cells),
    st.builds(Keep, numbers, nodes, keys, cells, walls),
    st.builds(HandOver, numbers, keys, cells, walls),
    st.builds(Written, st.lists(numbers, max_size=3).map(tuple)),
    st.builds(Ask, numbers, keys, st.booleans()),
    st.builds(Told, numbers, cells),
    st.builds(ToldDigest, numbers, numbers),
    st.builds(Forward, numbers, numbers, keys, changes, levels, st.binary(max_size=8), numbers),
    st.builds(Forwarded, numbers, cells, st.sampled_from(["", "WRONGLIFE", "ERR"]), st.just("s"), st.booleans()),
    st.builds(Exchange, st.lists(st.tuples(keys, cells), max_size=3).map(tuple), st.booleans()),
    st.builds(Plan, st.sampled_from(TOPOLOGIES), st.one_of(st.none(), st.sampled_from(TOPOLOGIES))),
    st.builds(Stage, st.sampled_from([1, *(name_of(each) for each in TOPOLOGIES)]), st.booleans(), st.booleans()),
    st.builds(Fetch, numbers, numbers, numbers, st.integers(-1, 9)),
    st.builds(Fetched, numbers, numbers, st.lists(st.tuples(keys, cells), max_size=3).map(tuple)),
)
bundles = st.builds(Bundle, st.integers(0, 5), numbers, st.lists(parts, max_size=3).map(tuple))
requests = st.builds(
    Request, numbers, keys, st.one_of(st.none(), changes), levels, st.binary(max_size=8), st.binary(max_size=8)
)
calls = st.one_of(
    st.builds(Batch, st.lists(requests, max_size=3).map(tuple), st.just(WALL)),
    st.builds(Tick, st.integers(0, 5).map(lambda n: WALL + n * 1_000_000_000_000)),
    st.builds(PeerUp, nodes),
    st.builds(PeerDown, nodes),
    st.builds(Reconcile, nodes, st.lists(keys, max_size=2).map(tuple)),
    st.builds(Reconfigure, st.sampled_from(TOPOLOGIES)),
)
moves = st.one_of(
    st.tuples(st.just("message"), nodes, bundles),
    st.tuples(st.just("call"), st.just(NodeId(0)), calls),
    st.tuples(st.just("timer"), st.just(NodeId(0)), st.integers(0, 3)),
    st.tuples(st.just("persisted"), st.just(NodeId(0)), st.just(0)),
)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    rule=st.sampled_from(sorted(RULES)), schedule=st.lists(moves, max_size=30), sloppy=st.booleans(), keep=st.booleans()
)
def test_no_message_raises(rule: str, schedule: list, sloppy: bool, keep: bool) -> None:
    """Members, strangers and itself say anything; numbers are made to meet those that it gave."""
    config = LeaderlessConfig(
        node=NodeId(1),
        topology=FIRST,
        sloppy=sloppy,
        key_bytes_max=200,
        read_repair="blocking" if keep else "background",
        hint_count_max=2,
    )
    machine = Leaderless(config, (), random.Random(1), rule=RULES[rule])
    machine._last_number = 0
    disk: list = []
    timers: list[str] = []
    persisted = 0
    for kind, sender, what in [("start", NodeId(0), None), ("call", NodeId(0), Tick(WALL)), *schedule]:
        now = Instant(machine.now + milliseconds(130))
        match kind:
            case "start":
                event = Started()
            case "message":
                event = Received(sender, what)
            case "call":
                event = Called(what)
            case "timer":
                if not timers:
                    continue
                event = TimerFired(timers[what % len(timers)])
            case _:
                persisted = machine.persist_count
                event = Persisted(persisted)
        for effect in machine.step(event, now=now):
            if isinstance(effect, SetTimer):
                timers.append(effect.timer)
            elif isinstance(effect, Persist):
                disk += effect.records
        while machine._leftovers:
            machine._drop_some()
            machine._flush()
            disk += [record for effect in machine._effects if isinstance(effect, Persist) for record in effect.records]
            machine._effects.clear()
    again = Leaderless(config, disk, random.Random(2), rule=RULES[rule])
    assert again.cells == machine.cells
    assert (again.phase, again.has_gathered) == (machine.phase, machine.has_gathered)
    assert {owner: {key: hint.cell for key, hint in kept.items()} for owner, kept in again.hints.items() if kept} == {
        owner: {key: hint.cell for key, hint in kept.items()} for owner, kept in machine.hints.items() if kept
    }
    assert list(canonical(canonical(disk))) == canonical(disk)
    shorter = Leaderless(config, canonical(disk), random.Random(2), rule=RULES[rule])
    assert shorter.cells == again.cells
    for cell in machine.cells.values():
        assert RULES[rule].merge(cell, b"") == RULES[rule].merge(b"", cell) == cell


@settings(max_examples=150, deadline=None, derandomize=True)
@given(message=bundles)
def test_every_message_survives_its_encoding(message: Bundle) -> None:
    assert MESSAGES.decode(MESSAGES.encode(message)) == message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    try:
        message = MESSAGES.decode(data)
    except Malformed:
        return
    assert isinstance(message, Bundle)


def test_timeouts_of_requests_are_spans() -> None:
    assert Request(1, b"k").timeout == Duration(0)
