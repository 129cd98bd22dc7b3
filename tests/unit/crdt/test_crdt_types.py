"""What each replicated type promises beyond the laws: who wins, what is refused, what is given up."""

import pytest

from quorate.clocks import BadActor, HybridStamp
from quorate.crdt import (
    BadAmount,
    BadElement,
    BadPosition,
    BadValue,
    BoundedCounter,
    CausalBroadcast,
    DeltaBuffer,
    DisableWinsFlag,
    EmbeddedCounter,
    GCounter,
    LWWMap,
    MultiValueRegister,
    NoActor,
    NotEnoughRights,
    NotNestable,
    NotPresent,
    Operation,
    ORMap,
    ORSet,
    PNCounter,
    RWSet,
    Text,
    WrongCRDT,
)
from quorate.kernel import BadPayload, errors


def test_a_bounded_counter_never_falls_below_zero_and_refuses_without_rights() -> None:
    here, there = BoundedCounter(actor=1), BoundedCounter(actor=2)
    here.increment(5)
    there.merge(here)
    with pytest.raises(NotEnoughRights):
        there.decrement()
    there.apply(here.transfer(3, to=2))
    there.decrement(3)
    here.decrement(2)
    here.merge(there)
    assert here.value == 0 and here.rights(1) == here.rights(2) == 0
    with pytest.raises(NotEnoughRights):
        here.decrement()
    with pytest.raises(BadActor):
        here.transfer(1, to=1)


def test_a_removal_with_a_context_spares_what_the_client_never_saw() -> None:
    """Riak's rule: the client removes what it read, not what arrived since."""
    server = ORSet(actor=1)
    server.add("milk")
    seen = server.context
    server.add("milk")
    server.remove("milk", context=seen)
    assert "milk" in server


def test_a_removal_of_what_has_not_arrived_is_deferred() -> None:
    ahead, behind = ORSet(actor=1), ORSet(actor=2)
    added = ahead.add("milk")
    behind.remove("milk", context=ahead.context)
    assert behind.deferred_count == 1
    behind.apply(added)
    assert "milk" not in behind and behind.deferred_count == 0
    with pytest.raises(NotPresent):
        behind.remove("milk")


def test_a_set_keeps_no_tombstones() -> None:
    basket, empty = ORSet(actor=1), ORSet(actor=1)
    for number in range(300):
        basket.add(number)
        basket.remove(number)
    empty.add(0)
    assert len(basket.to_bytes()) < len(empty.to_bytes()) + 5


def test_collected_marks_change_nothing_that_can_be_seen() -> None:
    here, there = RWSet(actor=1), RWSet(actor=2)
    channels = {1: CausalBroadcast(actor=1, members=[1, 2]), 2: CausalBroadcast(actor=2, members=[1, 2])}

    def carry(replica: RWSet, delta: RWSet, sender: int) -> None:
        for operation in channels[3 - sender].receive(channels[sender].send(delta.to_bytes())):
            replica.apply(RWSet.from_bytes(operation.payload))

    carry(there, here.add("eve"), 1)
    late = there.add("eve")
    carry(there, here.remove("eve"), 1)
    carry(here, late, 2)
    assert "eve" not in here and here.mark_count == there.mark_count == 1
    channels[1].hear(2, channels[2].delivered)
    here.collect(channels[1].stable())
    assert here.mark_count == 0 and "eve" not in here
    there.merge(here)
    assert here == there
    here.add("eve")
    assert here.value == ["eve"]


def test_a_removed_field_keeps_what_happened_meanwhile_and_nothing_else() -> None:
    """Reset-remove."""
    here = ORMap(actor=1)
    here.edit("cart", ORSet, lambda cart: cart.add("milk"))
    there = here.copy(actor=2)
    here.remove("cart", ORSet)
    there.edit("cart", ORSet, lambda cart: cart.add("bread"))
    here.merge(there)
    assert here.get("cart", ORSet).value == ["bread"]


def test_an_embedded_counter_does_not_fully_reset_under_a_concurrent_increment() -> None:
    """The documented anomaly: removed at 5 and increased by 1 meanwhile, it shows 6."""
    here = ORMap(actor=1)
    here.edit("n", EmbeddedCounter, lambda n: n.increment(5))
    there = here.copy(actor=2)
    there.remove("n", EmbeddedCounter)
    here.edit("n", EmbeddedCounter, lambda n: n.increment(1))
    here.merge(there)
    assert here.get("n", EmbeddedCounter).value == 6
    there.merge(here)
    there.remove("n", EmbeddedCounter)
    assert there.get("n", EmbeddedCounter).value == 0 and len(there) == 0


def test_a_failed_edit_leaves_the_map_as_it_was() -> None:
    found = ORMap(actor=1)
    found.edit("s", ORSet, lambda s: s.add("a"))
    before = found.to_bytes()
    with pytest.raises(NotPresent):
        found.edit("s", ORSet, lambda s: (s.add("b"), s.remove("c")))
    with pytest.raises(NotNestable):
        found.edit("s", ORSet, lambda s: s.remove("c", context=ORSet(actor=9).add("c").context))
    with pytest.raises(NotNestable):
        found.get("t", Text)  # type: ignore[type-var]
    assert found.to_bytes() == before


def test_disable_wins() -> None:
    here, there = DisableWinsFlag(actor=1), DisableWinsFlag(actor=2)
    there.apply(here.disable())
    on, off = here.enable(), there.disable()
    here.apply(off)
    there.apply(on)
    assert here == there and not here.value


def test_removals_of_a_last_writer_map_can_be_collected() -> None:
    found = LWWMap()
    found.set("k", 1, HybridStamp(1, 0, 1))
    found.remove("k", HybridStamp(2, 0, 1))
    assert found.collect(HybridStamp(1, 0, 1)) == 0
    assert found.collect(HybridStamp(2, 0, 1)) == 1 and len(found) == 0


def test_a_buffer_sends_what_a_peer_lacks_and_the_state_when_it_forgot() -> None:
    here, there, other = (GCounter(actor=number) for number in (1, 2, 3))
    buffer = DeltaBuffer(here, peers=[2, 3], delta_count_max=4)
    for _ in range(3):
        buffer.record(here.increment())
    interval = buffer.interval_for(2)
    assert interval is not None and not interval.is_full
    there.merge(interval.content)
    buffer.acknowledge(2, interval.next_sequence)
    assert there == here and buffer.interval_for(2) is None and buffer.delta_count == 3
    for _ in range(3):
        buffer.record(here.increment())
    full = buffer.interval_for(3)
    assert full is not None and full.is_full
    other.merge(full.content)
    assert other == here


def test_a_broadcast_delivers_once_in_causal_order_and_knows_what_is_stable() -> None:
    a, b, c = (CausalBroadcast(actor=n, members=[1, 2, 3], waiting_count_max=2) for n in (1, 2, 3))
    first = a.send(b"1")
    b.receive(first)
    second = b.send(b"2")
    assert c.receive(second) == [] and c.waiting_count == 1
    assert [o.payload for o in c.receive(first)] == [b"1", b"2"] and c.receive(first) == []
    assert c.stable()[1] == 1 and a.stable()[1] == 0
    a.receive(second)
    a.hear(3, c.delivered)
    assert a.stable()[1] == 1 and a.stable()[2] == 1
    c.receive(a.send(b"lost"))
    later = [b.send(bytes([n])) for n in range(4)]
    for operation in later[1:3]:
        a.receive(operation)
    with pytest.raises(errors.Overloaded):
        a.receive(later[3])
    with pytest.raises(BadPayload):
        Operation.from_bytes(Operation(later[2].dot, a.delivered, b"").to_bytes())


def test_misuse_is_refused_with_a_type_and_changes_nothing() -> None:
    for refused, error in (
        (lambda: GCounter().increment(), NoActor),
        (lambda: GCounter(actor=-1), BadActor),
        (lambda: GCounter(actor=True), BadActor),
        (lambda: GCounter(actor=1).increment(0), BadAmount),
        (lambda: PNCounter(actor=1).decrement(2**63), BadAmount),
        (lambda: ORSet(actor=1).add(1.5), BadElement),
        (lambda: ORSet(actor=1).add("\ud800"), BadElement),
        (lambda: ORSet(actor=1).add(2**64), BadElement),
        (lambda: MultiValueRegister(actor=1).set(object()), BadValue),
        (lambda: MultiValueRegister(actor=1).set({1: 2}), BadValue),
        (lambda: ORSet(actor=1).merge(RWSet(actor=1)), WrongCRDT),
        (lambda: GCounter(actor=1).merge(PNCounter()), WrongCRDT),
        (lambda: Text(actor=1).merge(ORSet()), WrongCRDT),
        (lambda: Text(actor=1).insert(1, "a"), BadPosition),
        (lambda: Text(actor=1).delete(0), BadPosition),
        (lambda: Text(actor=1).insert(0, "\udc00"), BadValue),
        (lambda: Text().insert(0, "a"), NoActor),
    ):
        with pytest.raises(error):
            refused()
