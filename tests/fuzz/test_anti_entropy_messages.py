"""Whatever a peer sends is data: any message, from anybody, in any order, never raises and breaks no invariant."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import (
    HASH_COUNT,
    Called,
    Deliver,
    Instant,
    Malformed,
    NodeId,
    Received,
    SetTimer,
    Started,
    TimerFired,
    milliseconds,
)
from quorate.protocols.anti_entropy import (
    MESSAGES,
    Answer,
    AntiEntropy,
    AntiEntropyConfig,
    AntiEntropyMessage,
    Ask,
    Changed,
    Decline,
    Divergent,
    Listing,
    Names,
    Reshape,
    SharedRange,
    Sums,
    digest_of,
)

hashes = st.one_of(st.integers(0, 40), st.integers(0, HASH_COUNT - 1), st.just(HASH_COUNT - 1))
digests = st.one_of(st.integers(0, 17).map(lambda count: bytes(8 * count)), st.binary(max_size=20))
numbers = st.one_of(st.integers(0, 3), st.integers(0, 2**62))
sums = st.lists(st.builds(Sums, hashes, hashes, digests), max_size=4).map(tuple)
listings = st.lists(st.builds(Listing, hashes, hashes, digests), max_size=3).map(tuple)
names = st.builds(
    Names, st.lists(st.tuples(st.binary(max_size=3), hashes), max_size=3).map(tuple), digests, st.integers(0, 2)
)
messages: st.SearchStrategy[AntiEntropyMessage] = st.one_of(
    st.builds(Ask, st.integers(0, 2), numbers, numbers, sums, listings),
    st.builds(
        Answer, numbers, numbers, st.lists(numbers, max_size=3).map(tuple), st.lists(names, max_size=3).map(tuple)
    ),
    st.builds(Decline, numbers, numbers),
)
moves = st.one_of(st.tuples(st.integers(1, 4).map(NodeId), messages), st.integers(0, 5))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(schedule=st.lists(moves, max_size=30), aim=st.booleans())
def test_no_message_raises(schedule: list, aim: bool) -> None:
    """From peers, strangers and itself; with `aim`, answers bear the numbers of the exchange that is under way."""
    machine = AntiEntropy(AntiEntropyConfig(node=NodeId(1)), (), random.Random(1))
    timers = [effect.timer for effect in machine.step(Started(), now=Instant(0)) if isinstance(effect, SetTimer)]
    cells = tuple((b"%d" % number, digest_of(b"%d" % number, b"v")) for number in range(50))
    machine.step(Called(Changed(cells)), now=Instant(0))
    shared = SharedRange(0, HASH_COUNT, (NodeId(2), NodeId(3)))
    machine.step(Called(Reshape(1, (shared,))), now=Instant(0))
    for move in schedule:
        now = Instant(machine.now + milliseconds(400))
        if isinstance(move, int):
            event = TimerFired(timers[move % len(timers)])
        else:
            sender, message = move
            exchange = machine.exchanges.get(sender)
            if aim and exchange is not None and isinstance(message, Answer):
                count = len(exchange.summed)
                places = (*message.differing, *[1] * count)[:count]
                message = Answer(exchange.number, exchange.step, places, message.names[: len(exchange.listed)])
            event = Received(sender, message)
        effects = machine.step(event, now=now)
        timers += [effect.timer for effect in effects if isinstance(effect, SetTimer)]
        for effect in effects:
            if isinstance(effect, Deliver) and isinstance(effect.output, Divergent):
                assert effect.output.peer in {2, 3}
                assert effect.output.keys
        assert set(machine.exchanges) <= {2, 3}
        assert machine.index.key_count == 50


@settings(max_examples=150, deadline=None, derandomize=True)
@given(message=messages)
def test_every_message_survives_its_encoding(message: AntiEntropyMessage) -> None:
    assert MESSAGES.decode(MESSAGES.encode(message)) == message


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_else(data: bytes) -> None:
    try:
        message = MESSAGES.decode(data)
    except Malformed:
        return
    assert isinstance(message, AntiEntropyMessage)
