"""Whatever a peer sends is data: any message, from anybody, in any order, never raises and breaks no invariant."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import Instant, Malformed, NodeId, Received, SetTimer, Started, TimerFired, milliseconds
from quorate.protocols.swim import (
    ALIVE,
    MESSAGES,
    Ack,
    Gossip,
    Known,
    Member,
    Nack,
    Ping,
    PingRequest,
    Swim,
    SwimConfig,
    SwimMessage,
    SyncRequest,
    SyncState,
)

numbers = st.one_of(st.integers(0, 6), st.integers(0, 2**62))
members = st.builds(
    Member,
    st.integers(1, 7),
    st.one_of(st.integers(0, 4), st.integers(0, 1 << 48)),
    st.integers(0, 3),
    st.binary(max_size=3),
    st.integers(0, 7),
)
rumours = st.lists(members, max_size=4).map(tuple)
messages: st.SearchStrategy[SwimMessage] = st.one_of(
    st.builds(Ping, numbers, rumours),
    st.builds(Ack, numbers, rumours),
    st.builds(PingRequest, numbers, st.integers(1, 7), rumours),
    st.builds(Nack, numbers),
    st.builds(Gossip, rumours),
    st.builds(SyncRequest, numbers, members, st.booleans()),
    st.builds(SyncState, rumours, st.booleans()),
)
moves = st.one_of(
    st.tuples(st.integers(1, 8).map(NodeId), messages),
    st.tuples(st.just(NodeId(0)), st.integers(0, 5)),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(schedule=st.lists(moves, max_size=40), lifeguard=st.booleans())
def test_no_message_raises(schedule: list, lifeguard: bool) -> None:
    """Arbitrary messages from members, strangers and from itself, with whatever timers it set between them."""
    config = SwimConfig(node=NodeId(1), known=Known(Member(node, 0, ALIVE) for node in range(1, 5)), member_count_max=6)
    machine = Swim(config if lifeguard else config.without_lifeguard(), (), random.Random(1))
    timers = [effect.timer for effect in machine.step(Started(), now=Instant(0)) if isinstance(effect, SetTimer)]
    for sender, move in schedule:
        now = Instant(machine.now + milliseconds(400))
        event = TimerFired(timers[move % len(timers)]) if isinstance(move, int) else Received(sender, move)
        effects = machine.step(event, now=now)
        timers += [effect.timer for effect in effects if isinstance(effect, SetTimer)]
        assert machine.members.get(NodeId(1)) == machine.own
        assert machine.own.status == ALIVE
        assert machine.members.count <= 6
        suspects = [member.node for member in machine.members if member.status == 1]
        assert sorted(machine.suspicions) == sorted(suspects)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(message=messages)
def test_every_message_survives_its_encoding(message: SwimMessage) -> None:
    assert MESSAGES.decode(MESSAGES.encode(message)) == message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    try:
        message = MESSAGES.decode(data)
    except Malformed:
        return
    assert isinstance(message, SwimMessage)
