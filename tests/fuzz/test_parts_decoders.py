"""Garbage to every decoder of clocks, sketches and placement: a typed refusal, or a value that works."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate import clocks, placement, sketches
from quorate.kernel import Undecodable, seal, unseal

NODES = [placement.Node(n, weight=1.0, rack=f"r{n % 2}") for n in range(4)]
VECTOR = clocks.VersionVector({1: 2, 5: 1})


def _matrix() -> clocks.MatrixClock:
    clock = clocks.MatrixClock(actor=1, members=[1, 2])
    clock.tick()
    return clock


def _filled(sketch: sketches.GrowingFilter) -> sketches.GrowingFilter:
    sketch.add_many(range(9))
    return sketch


def _merkle() -> sketches.MerkleTree:
    tree = sketches.MerkleTree(depth=2)
    tree.put("a", b"1")
    return tree


VALUES = [
    clocks.LamportStamp(3, 1),
    clocks.HybridStamp(10**18, 3, 1),
    VECTOR,
    clocks.CausalContext(VECTOR, [clocks.Dot(1, 9)]),
    clocks.DottedVersion(clocks.Dot(1, 3), VECTOR),
    clocks.DottedVersionSet().put(b"a", actor=1, context=VECTOR).put(b"b", actor=2, context=clocks.VersionVector()),
    clocks.IntervalTreeStamp.seed().fork()[0].event().fork()[1].event(),
    _matrix(),
    placement.Ring(NODES, virtual_nodes=3),
    placement.FixedPartitions(NODES, partition_count=16),
    placement.Rendezvous(NODES),
    placement.Jump(NODES),
    placement.Modulo(NODES),
    placement.Maglev(NODES, slot_count=31),
    placement.BoundedLoad(NODES, partition_count=20),
    placement.AnchorHash(NODES, capacity=6),
    placement.RangePlacement(NODES).split(b"m"),
    placement.Directory(placement.Ring(NODES, virtual_nodes=2)).place(b"k", [1, 2]),
    _filled(sketches.BloomFilter(20)),
    _filled(sketches.BlockedBloomFilter(20)),
    _filled(sketches.CountingBloomFilter(20)),
    _filled(sketches.ScalableBloomFilter(4)),
    _filled(sketches.QuotientFilter(20)),
    _filled(sketches.CountingQuotientFilter(20)),
    _filled(sketches.CuckooFilter(20)),
    sketches.BinaryFuseFilter(range(9)),
    sketches.HyperLogLog(precision=4),
    sketches.CountMin(error=0.5, chance=0.5),
    _merkle(),
    sketches.XorTree(depth=2),
    sketches.InvertibleTable(8),
]
every_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
CHECK = settings(max_examples=60, deadline=None, derandomize=True)
PLAIN = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=4) | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def check_decoding(value: object, data: bytes) -> None:
    """Decode; a value that is accepted must encode, decode and answer."""
    try:
        found = type(value).from_bytes(data)
    except Undecodable:
        return
    assert type(value).from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    if isinstance(found, placement.Placement):
        assert found.owners("some key")[0] in found.names
    if isinstance(found, sketches.Filter):
        assert found.contains_many(["a", "b"]).tolist() == ["a" in found, "b" in found]
    if isinstance(found, clocks.IntervalTreeStamp) and found.identity != 0:
        assert found.compare(found.event()) is clocks.Order.BEFORE


def kind_of(data: bytes) -> str:
    return data[3 : 3 + data[2]].decode()


@pytest.mark.slow
@every_value
@CHECK
@given(data=st.binary(max_size=80))
def test_noise_is_refused(value: object, data: bytes) -> None:
    check_decoding(value, data)
    kind = kind_of(value.to_bytes())
    check_decoding(value, seal(kind, 1, data))
    with pytest.raises(Undecodable):
        type(value).from_bytes(seal(kind, 2, unseal(kind, value.to_bytes())[1]))


@pytest.mark.slow
@every_value
@CHECK
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 3),
)
def test_damaged_payloads_under_a_good_seal_are_refused_or_work(value: object, changes: list, cut: int) -> None:
    sealed = value.to_bytes()
    kind = kind_of(sealed)
    payload = bytearray(unseal(kind, sealed)[1])
    for place, byte in changes:
        payload[place % len(payload)] = byte
    check_decoding(value, seal(kind, 1, bytes(payload[: len(payload) - cut])))


@pytest.mark.slow
@every_value
@CHECK
@given(form=PLAIN)
def test_well_formed_nonsense_is_refused(value: object, form: object) -> None:
    check_decoding(value, seal(kind_of(value.to_bytes()), 1, msgspec.msgpack.encode(form)))


@every_value
def test_every_prefix_and_every_flipped_bit_is_refused(value: object) -> None:
    sealed = value.to_bytes()
    for end in range(0, len(sealed), max(1, len(sealed) // 60)):
        with pytest.raises(Undecodable):
            type(value).from_bytes(sealed[:end])
    for bit in range(0, 8 * len(sealed), max(1, len(sealed) // 12)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Undecodable):
            type(value).from_bytes(bytes(changed))


@CHECK
@given(data=st.binary(min_size=40, max_size=60))
def test_datagrams_are_packets_or_refused(data: bytes) -> None:
    try:
        packet = clocks.NTPPacket.from_bytes(data)
    except Undecodable:
        return
    assert clocks.NTPPacket.from_bytes(packet.to_bytes()) == packet
    assert packet.root_distance_ns >= 0
