"""Cycles of two or four that have names of their own.

fractured-read  saw one write of a transaction and missed another (read atomicity)
otv             the same, and missed it after having seen the first: an observed transaction vanishes
write-skew      two transactions that each overwrote what the other had read
long-fork       two readers that saw two writers in opposite orders

Source: Bailis et al. 2013 (OTV); Berenson et al. 1995 (write skew, A5B); Sovran et al. 2011 (long fork).
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from quorate.check.history import show
from quorate.check.txn.cycles import Cycle
from quorate.check.txn.graph import ANTI, RW, WR, WRP, Graph
from quorate.check.txn.transactions import Transaction

Shape = tuple[str, str, tuple[Transaction, ...]]
"""Name, explanation, the transactions."""

_FORK: Final = (WR, RW, WR, RW)


def find_shapes(
    graph: Graph, knotted: Sequence[int], cycles: Sequence[Cycle], transactions: Sequence[Transaction]
) -> Iterator[Shape]:
    """Yield shapes among the transactions that may be on a cycle. Complexity: O(their edges)."""
    for reader in knotted:
        for writer, bits in graph.edges[reader].items():
            back = graph.edges[writer].get(reader, 0)
            if bits & ANTI and back & (WR | WRP):
                yield from _fractured(graph, transactions[reader], transactions[writer])
            if bits & back & RW and reader < writer:
                pair = (transactions[reader], transactions[writer])
                yield "write-skew", f"T{reader} and T{writer} each overwrote what the other had read", pair
    for cycle in cycles:
        if cycle.kinds in {_FORK, (*_FORK[1:], WR)}:
            members = tuple(transactions[member] for member in cycle.members)
            numbers = sorted(cycle.members)
            yield (
                "long-fork",
                f"among T{numbers[0]} to T{numbers[-1]} two readers saw two writers in two orders",
                members,
            )


def _fractured(graph: Graph, reader: Transaction, writer: Transaction) -> Iterator[Shape]:
    words = f"T{reader.number} saw one write of T{writer.number} and missed another"
    yield "fractured-read", words, (writer, reader)
    saw, missed = _glances(reader, writer, is_item=bool(graph.edges[reader.number][writer.number] & RW))
    if saw and missed and saw[0] < missed[-1]:
        key = reader.steps[missed[-1]][1]
        words = f"T{reader.number} saw a write of T{writer.number}, and then missed its write of {show(key)}"
        yield "otv", words, (writer, reader)


def _glances(reader: Transaction, writer: Transaction, *, is_item: bool) -> tuple[list[int], list[int]]:
    """Return the places of the reader's steps that saw the writer, and of those that certainly missed it."""
    wrote: dict[Hashable, list[Hashable]] = {}
    for f, key, value in writer.steps:
        if f not in {"r", "rp"}:
            wrote.setdefault(key, []).append(value)
    saw: list[int] = []
    other: list[int] = []
    for place, (f, key, value) in enumerate(reader.steps):
        if f == "r" and key in wrote:
            is_list = _is_append(writer, key)
            is_seen = any(own in _items(value) for own in wrote[key]) if is_list else value == wrote[key][-1]
            (saw if is_seen else other).append(place)
    lists_missed = [place for place in other if _is_append(writer, reader.steps[place][1])]
    keys = dict.fromkeys(reader.steps[place][1] for place in other)
    if lists_missed or not is_item:
        return saw, lists_missed
    # A register that shows another value may be newer; if it is the only one, it is what was overwritten.
    return saw, other if len(keys) == 1 else [place for place in other if reader.steps[place][2] is None]


def _items(value: Hashable) -> tuple[Hashable, ...]:
    return value if isinstance(value, tuple) else ()


def _is_append(writer: Transaction, key: Hashable) -> bool:
    return any(f == "append" and name == key for f, name, _ in writer.steps)
