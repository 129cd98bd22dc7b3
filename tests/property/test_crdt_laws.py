"""Every replicated type keeps the laws of the join and of deltas."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from quorate.clocks import HybridStamp
from quorate.crdt import (
    BoundedCounter,
    DisableWinsFlag,
    EmbeddedCounter,
    EnableWinsFlag,
    GCounter,
    GSet,
    LWWMap,
    LWWRegister,
    MultiValueRegister,
    NotEnoughRights,
    NotPresent,
    ORMap,
    ORSet,
    PNCounter,
    RWSet,
    TwoPhaseSet,
)
from quorate.crdt.laws import Laws

ELEMENT = st.sampled_from(["a", "b", 1, b"a"])
STAMP = st.builds(HybridStamp, st.integers(0, 3), st.integers(0, 1), st.integers(0, 2))
VALUE = st.sampled_from([None, 1, "x", [1, {"k": b"v"}]])
AMOUNT = st.integers(-3, 3).filter(bool)
STEP = st.tuples(st.booleans(), ELEMENT)


def tolerant(change: Callable) -> Callable:
    """What a replica may refuse is no change."""

    def done(replica: object, argument: object) -> object:
        try:
            return change(replica, argument)
        except (NotPresent, NotEnoughRights):
            return None

    return done


def count(counter: PNCounter, amount: int) -> object:
    return counter.increment(amount) if amount > 0 else counter.decrement(-amount)


def bounded(counter: BoundedCounter, argument: tuple[int, int]) -> object:
    amount, to = argument
    if amount > 0 and to != counter.actor:
        return counter.transfer(amount, to=to)
    return counter.increment(amount) if amount > 0 else counter.decrement(-amount)


def toggle(replica: ORSet, argument: tuple[bool, str]) -> object:
    add, element = argument
    return replica.add(element) if add else replica.remove(element)


def remove_by_context(replica: ORSet, argument: tuple[bool, str]) -> object:
    add, element = argument
    return replica.add(element) if add else replica.remove(element, context=replica.context)


def switch(flag: EnableWinsFlag, on: bool) -> object:
    return flag.enable() if on else flag.disable()


def edit(found: ORMap, argument: tuple[int, bool, str]) -> object:
    what, add, element = argument
    match what:
        case 0:
            return found.edit("f", ORSet, lambda inner: tolerant(toggle)(inner, (add, element)))
        case 1:
            return found.edit("f", EmbeddedCounter, lambda inner: inner.increment() if add else inner.decrement())
        case 2:
            return found.edit(
                "m", ORMap, lambda inner: inner.edit(element, MultiValueRegister, lambda r: r.set(element))
            )
        case 3:
            return found.edit("g", EnableWinsFlag, lambda inner: switch(inner, add))
        case 4:
            return found.remove("f", ORSet if add else EmbeddedCounter)
        case _:
            return found.remove("m", ORMap, context=found.context if add else None)


LAWS = {
    "g-counter": Laws(lambda a: GCounter(actor=a), lambda c, n: c.increment(n), st.integers(1, 9)),
    "pn-counter": Laws(lambda a: PNCounter(actor=a), count, AMOUNT),
    "bounded-counter": Laws(lambda a: BoundedCounter(actor=a), tolerant(bounded), st.tuples(AMOUNT, st.integers(0, 2))),
    "embedded-counter": Laws(lambda a: EmbeddedCounter(actor=a), count, AMOUNT),
    "lww-register": Laws(lambda a: LWWRegister(), lambda r, v: r.set(*v), st.tuples(VALUE, STAMP)),
    "mv-register": Laws(lambda a: MultiValueRegister(actor=a), lambda r, v: r.set(v), st.integers(0, 3)),
    "g-set": Laws(lambda a: GSet(), lambda s, e: s.add(e), ELEMENT),
    "2p-set": Laws(lambda a: TwoPhaseSet(), tolerant(toggle), STEP),
    "or-set": Laws(lambda a: ORSet(actor=a), tolerant(toggle), STEP),
    "or-set with contexts": Laws(lambda a: ORSet(actor=a), remove_by_context, STEP),
    "rw-set": Laws(lambda a: RWSet(actor=a), toggle, STEP),
    "lww-map": Laws(
        lambda a: LWWMap(),
        lambda m, s: m.set(s[1], s[0], s[2]) if s[0] else m.remove(s[1], s[2]),
        st.tuples(VALUE, ELEMENT, STAMP),
    ),
    "or-map": Laws(
        lambda a: ORMap(actor=a), tolerant(edit), st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from("ab"))
    ),
    "enable-wins-flag": Laws(lambda a: EnableWinsFlag(actor=a), switch, st.booleans()),
    "disable-wins-flag": Laws(lambda a: DisableWinsFlag(actor=a), switch, st.booleans()),
}
every_type = pytest.mark.parametrize("name", LAWS)


@pytest.mark.slow
@every_type
def test_merge_is_a_join(name: str) -> None:
    LAWS[name].check_join()


@pytest.mark.slow
@every_type
def test_changes_are_inflationary(name: str) -> None:
    LAWS[name].check_inflation()


@pytest.mark.slow
@every_type
def test_deltas_are_the_changes(name: str) -> None:
    LAWS[name].check_deltas()


@pytest.mark.slow
@every_type
def test_replicas_converge_under_any_delivery(name: str) -> None:
    LAWS[name].check_delivery()


@every_type
def test_bytes_and_pickles_give_back_the_state(name: str) -> None:
    LAWS[name].check_bytes()
