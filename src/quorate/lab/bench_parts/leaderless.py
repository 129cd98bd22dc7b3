"""Benchmarks of leaderless machines without any world: processor time of a request, at coordinator and replica."""

import random
import time
from collections import deque

from quorate.kernel import (
    MILLISECOND,
    Called,
    Deliver,
    Event,
    Instant,
    NodeId,
    Persist,
    Persisted,
    Received,
    Send,
    Started,
    TimerFired,
)
from quorate.lab.bench_parts.timing import BenchRow
from quorate.protocols.leaderless import (
    Answered,
    AnyChange,
    Batch,
    Bundle,
    Count,
    Leaderless,
    LeaderlessConfig,
    Put,
    Request,
    Tick,
    rule_named,
    topology_of,
)

_NODES = (NodeId(1), NodeId(2), NodeId(3))
_WALL_NS = 1_700_000_000_000_000_000
_BATCH_COUNT = 64
_VALUE = b"v" * 64


def run(*, request_count: int = 25_600, key_count: int = 5_000) -> list[BenchRow]:
    """Return all rows: writes and reads of 64 bytes in batches of 64, three owners, disks that are stable at once."""
    rows: list[BenchRow] = []
    cases: tuple[tuple[str, str, str, AnyChange | None], ...] = (
        ("lww put, QUORUM", "lww", "QUORUM", Put(_VALUE)),
        ("lww put, ONE", "lww", "ONE", Put(_VALUE)),
        ("siblings put, QUORUM", "siblings", "QUORUM", Put(_VALUE)),
        ("counter, QUORUM", "crdt", "QUORUM", Count(1)),
        ("read, QUORUM", "lww", "QUORUM", None),
        ("read, ONE, an owner", "lww", "ONE", None),
    )
    for case, rule, level, change in cases:
        rows.append(_measured(case, rule, level, change, request_count // _BATCH_COUNT, key_count))
    return rows


def _measured(case: str, rule: str, level: str, change: AnyChange | None, batch_count: int, key_count: int) -> BenchRow:
    trio = _Trio(rule)
    keys = [b"key:%d" % number for number in range(key_count)]
    if change is None:
        # Something to read.
        trio.ask([Request(number, key, Put(_VALUE), level) for number, key in enumerate(keys)])
    trio.spent_ns = dict.fromkeys(_NODES, 0)
    trio.answered_count = 0
    for batch in range(batch_count):
        first = batch * _BATCH_COUNT
        numbers = range(first, first + _BATCH_COUNT)
        trio.ask([Request(number, keys[number % key_count], change, level) for number in numbers])
    count = batch_count * _BATCH_COUNT
    assert trio.answered_count == count, "every request was answered"
    replica_ns = (trio.spent_ns[_NODES[1]] + trio.spent_ns[_NODES[2]]) / 2 / count
    return BenchRow(f"leaderless: {case}", trio.spent_ns[_NODES[0]] / count, note=f"and {replica_ns:.0f} at a replica")


class _Trio:
    """Three owners of everything, and the first one coordinates."""

    def __init__(self, rule: str) -> None:
        topology = topology_of(_NODES)
        self.machines = {
            node: Leaderless(
                LeaderlessConfig(node=node, topology=topology), (), random.Random(int(node)), rule=rule_named(rule)
            )
            for node in _NODES
        }
        self.spent_ns = dict.fromkeys(_NODES, 0)
        self.answered_count = 0
        self.now = Instant(0)
        self._wire: deque[tuple[NodeId, NodeId, Bundle]] = deque()
        for node in _NODES:
            self._step(node, Started())
            self._step(node, Called(Tick(_WALL_NS)))

    def ask(self, requests: list[Request]) -> None:
        """Let the first node take a batch, and everything follow that follows."""
        self.now = Instant(self.now + MILLISECOND)
        self._step(_NODES[0], Called(Batch(tuple(requests), _WALL_NS + self.now)))
        while self._wire:
            sender, to, bundle = self._wire.popleft()
            self._step(to, Received(sender, bundle))
        for node, machine in self.machines.items():
            due_at = machine.deadlines.next_at
            if due_at is not None and due_at <= self.now:
                self._step(node, TimerFired("due"))

    def _step(self, node: NodeId, event: Event) -> None:
        machine = self.machines[node]
        begin = time.thread_time_ns()
        effects = machine.step(event, now=self.now)
        self.spent_ns[node] += time.thread_time_ns() - begin
        for effect in effects:
            if isinstance(effect, Send):
                assert isinstance(effect.message, Bundle), "nodes say bundles"
                self._wire.append((node, effect.to, effect.message))
            elif isinstance(effect, Deliver) and isinstance(effect.output, Answered):
                self.answered_count += 1
        if any(isinstance(effect, Persist) for effect in effects):
            self._step(node, Persisted(machine.persist_count))
