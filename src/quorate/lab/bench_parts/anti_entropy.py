"""Benchmarks of anti-entropy and of the cells it compares: bytes, messages and time to find a few keys among many."""

import random
import time
from collections import deque

from quorate.clocks import HybridStamp
from quorate.kernel import HASH_COUNT, Called, Deliver, Effect, Instant, NodeId, Received, Send, Started, TimerFired
from quorate.lab.bench_parts.timing import BenchRow, time_each
from quorate.protocols.anti_entropy import (
    MESSAGES,
    AntiEntropy,
    AntiEntropyConfig,
    Divergent,
    Index,
    Reshape,
    SharedRange,
    digest_of,
)
from quorate.protocols.leaderless import Add, AnyChange, Count, SetFields, rule_named

_ONE, _TWO = NodeId(1), NodeId(2)
_WALL_NS = 1_700_000_000_000_000_000
_RULE = rule_named("crdt")


def run(*, key_count: int = 1_000_000, single_count: int = 20_000) -> list[BenchRow]:
    """Return all rows; the largest takes seconds."""
    return [
        *_index_rows(single_count),
        *(_comparison(key_count, differing) for differing in (0, 1, 100, 10_000) if differing <= key_count),
        *_cell_rows(),
    ]


def _index_rows(single_count: int) -> list[BenchRow]:
    keys = [b"key:%d" % number for number in range(single_count)]
    index = Index()
    put = time_each(lambda key: index.put(key, digest_of(key, b"value")), keys)
    change = time_each(lambda key: index.put(key, digest_of(key, key)), keys)
    note = f"{index.byte_count() / single_count:.0f} bytes a key beside the keys, of {single_count:,}"
    return [
        BenchRow("anti-entropy: a new key", put),
        BenchRow("anti-entropy: a changed key", change, note=note),
    ]


def _comparison(key_count: int, differing_count: int) -> BenchRow:
    """Compare two replicas once, and say what crossed the network."""
    step = max(1, key_count // max(1, differing_count))
    differing = {b"key:%d" % (number * step) for number in range(differing_count)}
    machines = {node: _replica(node, key_count, differing) for node in (_ONE, _TWO)}
    wire: deque[tuple[NodeId, Effect]] = deque()
    found: dict[bytes, None] = {}
    sent_bytes = message_count = 0
    begin = time.perf_counter_ns()
    wire.extend((_ONE, effect) for effect in machines[_ONE].step(TimerFired("begin"), now=Instant(0)))
    while wire:
        sender, effect = wire.popleft()
        if isinstance(effect, Send):
            payload = MESSAGES.encode(effect.message)
            sent_bytes, message_count = sent_bytes + len(payload), message_count + 1
            event = Received(sender, MESSAGES.decode(payload))
            wire.extend((effect.to, after) for after in machines[effect.to].step(event, now=Instant(0)))
        elif isinstance(effect, Deliver) and isinstance(effect.output, Divergent):
            found.update(dict.fromkeys(effect.output.keys))
    taken_ns = time.perf_counter_ns() - begin
    assert sorted(found) == sorted(differing), "exactly the keys that differ are named"
    index = machines[_ONE].index
    note = (
        f"{sent_bytes:,} bytes in {message_count} messages, {taken_ns / 1e6:.1f} ms of both; "
        f"{index.byte_count() / max(1, key_count):.0f} bytes a key"
    )
    return BenchRow(f"{key_count:,} keys, {differing_count:,} differ", taken_ns, note=note)


def _replica(node: NodeId, key_count: int, differing: set[bytes]) -> AntiEntropy:
    machine = AntiEntropy(AntiEntropyConfig(node=node, key_rate=1 << 40), (), random.Random(int(node)))
    machine.step(Started(), now=Instant(0))
    for number in range(key_count):
        key = b"key:%d" % number
        machine.index.put(key, digest_of(key, b"other" if node == _TWO and key in differing else b"value"))
    shared = SharedRange(0, HASH_COUNT, (_TWO if node == _ONE else _ONE,))
    machine.step(Called(Reshape(1, (shared,))), now=Instant(0))
    return machine


def _cell_rows() -> list[BenchRow]:
    """Return what one more change costs on cells of several sizes, and what is on the wire, whole and as a delta."""
    rows = []
    change: AnyChange = Add((b"another",))
    for count in (1, 10, 100, 1_000, 10_000):
        cell = _changed(b"", Add(tuple(b"member:%d" % number for number in range(count))), 1)
        delta_bytes = len(_changed(b"", change, 2))
        after = _changed(cell, change, 2)
        calls = range(max(3, 2_000 // count))
        changing = time_each(lambda _: _changed(cell, change, 2), calls)  # noqa: B023
        merging = time_each(lambda _: _RULE.merge(cell, after), calls)  # noqa: B023
        note = f"cell {len(cell):,} bytes, the change alone {delta_bytes}; merge {merging / 1000:.1f} µs"
        rows.append(BenchRow(f"cell: add to a set of {count:,}", changing, note=note))
    singles: tuple[tuple[str, AnyChange], ...] = (
        ("count", Count(1)),
        ("set a field", SetFields(((b"field", b"value"),))),
    )
    for name, change in singles:
        cell = b""
        for node in (1, 2, 3):
            cell = _changed(cell, change, node, node)
        taken = time_each(lambda _: _changed(cell, change, 9), range(2_000))  # noqa: B023
        rows.append(BenchRow(f"cell: {name}", taken, note=f"cell {len(cell)} bytes, of three actors"))
    return rows


def _changed(cell: bytes, change: AnyChange, number: int, node: int = 1) -> bytes:
    actor = node << 32 | 7
    return _RULE.change(cell, change, actor=actor, stamp=HybridStamp(_WALL_NS + number, 0, actor), context=b"")
