"""Garbage to every decoder of replicated types: a typed refusal, or a value that works."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate import crdt
from quorate.clocks import Dot, HybridStamp, VersionVector
from quorate.kernel import Undecodable, seal, unseal


def _made() -> list:
    stamp = HybridStamp(5, 0, 1)
    g, pn, bounded = crdt.GCounter(actor=1), crdt.PNCounter(actor=1), crdt.BoundedCounter(actor=1)
    g.increment()
    pn.decrement()
    bounded.increment(5)
    bounded.transfer(2, to=3)
    register, keys = crdt.LWWRegister(), crdt.LWWMap()
    register.set({"a": [1]}, stamp)
    keys.set("a", 1, stamp)
    keys.remove(b"b", stamp)
    grow, two = crdt.GSet(), crdt.TwoPhaseSet()
    for found in (grow, two):
        found.add("a")
        found.add(3)
    two.remove(3)
    either, flag, off = crdt.ORSet(actor=1), crdt.EnableWinsFlag(actor=1), crdt.DisableWinsFlag(actor=1)
    either.add("a")
    either.remove("b", context=crdt.ORSet(actor=2).add("b").context)
    flag.enable()
    off.disable()
    rw, mv, counter, nested = (
        kind(actor=1) for kind in (crdt.RWSet, crdt.MultiValueRegister, crdt.EmbeddedCounter, crdt.ORMap)
    )
    rw.add("a")
    rw.remove("b")
    mv.set([None, 1.5])
    counter.decrement(3)
    nested.edit("m", crdt.ORMap, lambda inner: inner.edit(1, crdt.ORSet, lambda found: found.add(b"x")))
    text, items, document = crdt.Text(actor=1), crdt.ReplicatedList(actor=1), crdt.Document(actor=1)
    text.insert(0, "hello")
    text.insert(2, "né")
    text.delete(1, 2)
    other = text.copy(actor=2)
    late = [other.insert(1, "x"), other.insert(0, "late")][1]
    text.apply(late)
    items.insert(0, [1, {"a": b"b"}])
    document.set(("a",), [{"b": 1}, "c"])
    operation = crdt.Operation(Dot(1, 2), VersionVector({1: 1, 2: 3}), b"payload")
    change = crdt.TextOperation([crdt.Retain(2), crdt.Insert("x"), crdt.Delete(1)])
    steps = crdt.JSONOperation([crdt.Put(("a", 1), {"b": 1}), crdt.Drop(("a",))])
    return [
        g, pn, bounded, register, keys, grow, two, either, flag, off, rw, mv, counter, nested, text, items, document,
        operation, change, steps,
    ]  # fmt: skip


VALUES = _made()
every_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
CHECK = settings(max_examples=50, deadline=None, derandomize=True)
PLAIN = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=4) | st.text(max_size=3) | st.floats(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=12,
)


def check_decoding(value: object, data: bytes) -> None:
    """Decode; a value that is accepted must encode, decode, merge and be read."""
    try:
        found = type(value).from_bytes(data)
    except Undecodable:
        return
    assert type(value).from_bytes(found.to_bytes()).to_bytes() == found.to_bytes()
    if isinstance(found, crdt.CRDT):
        _ = found.value
        joined = value.copy()
        joined.merge(found)
        _ = joined.value


def kind_of(data: bytes) -> str:
    return data[3 : 3 + data[2]].decode()


@pytest.mark.slow
@every_value
@CHECK
@given(data=st.binary(max_size=80), form=PLAIN)
def test_noise_and_nonsense_are_refused(value: object, data: bytes, form: object) -> None:
    kind = kind_of(value.to_bytes())
    check_decoding(value, data)
    check_decoding(value, seal(kind, 1, data))
    check_decoding(value, seal(kind, 1, msgspec.msgpack.encode(form)))


@pytest.mark.slow
@every_value
@CHECK
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 3),
)
def test_damaged_payloads_under_a_good_seal_are_refused_or_work(value: object, changes: list, cut: int) -> None:
    sealed = value.to_bytes()
    payload = bytearray(unseal(kind_of(sealed), sealed)[1])
    for place, byte in changes:
        payload[place % len(payload)] = byte
    check_decoding(value, seal(kind_of(sealed), 1, bytes(payload[: len(payload) - cut])))


@every_value
def test_prefixes_flipped_bits_other_kinds_and_newer_versions_are_refused(value: object) -> None:
    sealed = value.to_bytes()
    kind = kind_of(sealed)
    bad = [sealed[:end] for end in range(0, len(sealed), max(1, len(sealed) // 30))]
    bad += [seal("stranger", 1, unseal(kind, sealed)[1]), seal(kind, 2, unseal(kind, sealed)[1])]
    for bit in range(0, 8 * len(sealed), max(1, len(sealed) // 8)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        bad.append(bytes(changed))
    for data in bad:
        with pytest.raises(Undecodable):
            type(value).from_bytes(data)


@CHECK
@given(form=PLAIN, data=st.binary(max_size=30))
def test_text_deltas_are_deltas_or_refused(form: object, data: bytes) -> None:
    for payload in (data, msgspec.msgpack.encode(form)):
        with pytest.raises(Undecodable):
            crdt.Text.unpack_delta(seal("text-delta", 1, payload))
