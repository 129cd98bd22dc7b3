"""Whatever a peer sends is data: any message, from anybody, in any order, never raises."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import Instant, LogIndex, Malformed, NodeId, Persisted, Received, Started, TimerFired, milliseconds
from quorate.protocols.raft import (
    CONFIGURATIONS,
    MESSAGES,
    RECORDS,
    AppendEntries,
    AppendResult,
    Configuration,
    Entry,
    Raft,
    RaftConfig,
    RaftMessage,
    ReadIndexRequest,
    ReadIndexResponse,
    RequestVote,
    TimeoutNow,
    VoteResult,
)

FOUNDERS = Configuration((NodeId(1), NodeId(2), NodeId(3)))

# Small numbers meet often, huge ones find what was not bounded.
numbers = st.one_of(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**62))
nodes = st.integers(1, 5).map(NodeId)
configurations = st.builds(
    lambda voters, learners, outgoing: CONFIGURATIONS.encode(
        Configuration(tuple(voters), tuple(learners), tuple(outgoing))
    ),
    st.lists(nodes, max_size=4),
    st.lists(nodes, max_size=2),
    st.lists(nodes, max_size=2),
)
entries = st.builds(
    Entry, numbers.map(LogIndex), numbers, st.integers(0, 2), st.one_of(st.binary(max_size=3), configurations)
)


@st.composite
def plausible_appends(draw: st.DrawFn) -> AppendEntries:
    """Entries that join each other, so that the fuzzer gets past the first check."""
    term, prev_index = draw(st.integers(1, 6)), draw(st.integers(0, 5))
    prev_term = draw(st.integers(0, term)) if prev_index else 0
    held, last = [], prev_term
    for place in range(draw(st.integers(0, 4))):
        last = draw(st.integers(last, term))
        kind = draw(st.integers(0, 2))
        payload = draw(configurations) if kind == 2 else b"x"
        held.append(Entry(LogIndex(prev_index + 1 + place), last, kind, payload))
    return AppendEntries(term, LogIndex(prev_index), prev_term, tuple(held), draw(numbers.map(LogIndex)), draw(numbers))


messages: st.SearchStrategy[RaftMessage] = st.one_of(
    plausible_appends(),
    st.builds(RequestVote, numbers, numbers, numbers, st.booleans(), st.booleans()),
    st.builds(VoteResult, numbers, st.booleans(), st.booleans()),
    st.builds(AppendEntries, numbers, numbers, numbers, st.lists(entries, max_size=3).map(tuple), numbers, numbers),
    st.builds(AppendResult, numbers, st.booleans(), numbers, numbers, numbers, numbers, numbers),
    st.builds(TimeoutNow, numbers),
    st.builds(ReadIndexRequest, numbers, numbers),
    st.builds(ReadIndexResponse, numbers, numbers, numbers),
)
moves = st.one_of(
    st.tuples(st.just("message"), st.integers(0, 6).map(NodeId), messages),
    st.tuples(st.just("message"), st.integers(0, 6).map(NodeId), messages),
    st.tuples(st.just("timer"), st.sampled_from(["election", "heartbeat", "transfer", "nonsense"]), st.none()),
    st.tuples(st.just("persisted"), st.none(), st.none()),
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    schedule=st.lists(moves, max_size=40),
    are_elected=st.booleans(),
    pre_vote=st.booleans(),
    check_quorum=st.booleans(),
)
def test_no_message_raises(schedule: list, are_elected: bool, pre_vote: bool, check_quorum: bool) -> None:
    """Arbitrary messages from members, strangers and from itself, with timers and writes between them."""
    config = RaftConfig(node=NodeId(1), configuration=FOUNDERS, pre_vote=pre_vote, check_quorum=check_quorum)
    machine = Raft(config, (), random.Random(1))
    machine.step(Started(), now=Instant(0))
    if are_elected:
        machine.step(TimerFired("election"), now=Instant(milliseconds(1_000)))
        machine.step(Received(NodeId(2), VoteResult(1, granted=True, pre=True)), now=machine.now)
        machine.step(Persisted(machine._persist_count), now=machine.now)
        machine.step(Received(NodeId(2), VoteResult(1, granted=True)), now=machine.now)
        assert machine.role_name == "leader"
    for kind, subject, message in schedule:
        now = Instant(machine.now + milliseconds(150))
        if kind == "message":
            machine.step(Received(subject, message), now=now)
        elif kind == "timer":
            machine.step(TimerFired(subject), now=now)
        else:
            machine.step(Persisted(machine._persist_count), now=now)
        assert machine.delivered_index <= machine.commit_index <= machine.log.last_index


@settings(max_examples=150, deadline=None, derandomize=True)
@given(message=messages)
def test_every_message_survives_its_encoding(message: RaftMessage) -> None:
    assert MESSAGES.decode(MESSAGES.encode(message)) == message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    for codec in (MESSAGES, RECORDS, CONFIGURATIONS):
        try:
            value = codec.decode(data)
        except Malformed:
            continue
        assert codec.decode(codec.encode(value)) == value


@settings(max_examples=150, deadline=None, derandomize=True)
@given(message=messages, cut=st.integers(0, 30), flip=st.integers(0, 255))
def test_a_damaged_message_is_malformed_or_another_message(message: RaftMessage, cut: int, flip: int) -> None:
    data = bytearray(MESSAGES.encode(message))
    data[cut % len(data)] ^= flip
    try:
        decoded = MESSAGES.decode(bytes(data))
    except Malformed:
        return
    assert isinstance(decoded, msgspec.Struct)


@pytest.mark.parametrize("value", [-1, 2**63])
def test_numbers_out_of_range_are_refused_at_the_door(value: int) -> None:
    with pytest.raises(Malformed):
        MESSAGES.decode(MESSAGES.encode(TimeoutNow(value)))
