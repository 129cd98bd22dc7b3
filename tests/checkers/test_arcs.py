"""Peeling flat arcs along the answers against the graph with every edge written down."""

import random

import pytest

from quorate.check import Operation
from quorate.check.history import NEVER
from quorate.check.txn.arcs import Arcs
from quorate.check.txn.graph import PROCESS, REALTIME, RW, WR, WW, Graph
from quorate.check.txn.transactions import Transaction

ALL = WW | WR | RW | PROCESS | REALTIME


def draw(rng):
    """Transactions at random places, some of unknown end or aborted, some overlapping within their process."""
    rows = []
    for _ in range(rng.randrange(2, 9)):
        call = rng.randrange(12)
        outcome = rng.choice(["ok", "ok", "ok", "info", "fail"])
        done = NEVER if outcome == "info" else call + rng.randrange(1, 6)
        operation = Operation(process=rng.randrange(4), f="txn", call=call, done=done)
        rows.append((operation.process, call, done, outcome, operation))
    rows.sort(key=lambda row: row[1])
    return [Transaction(n, p, (), outcome, call, done, o) for n, (p, call, done, outcome, o) in enumerate(rows)]


@pytest.mark.slow
def test_what_is_left_after_peeling_holds_every_cycle_and_nothing_is_left_without_one():
    cyclic_count = 0
    for seed in range(3000):
        rng = random.Random(seed)
        transactions = draw(rng)
        alive = [t.number for t in transactions if t.outcome != "fail"]
        arcs, graph = Arcs(len(transactions)), Graph(len(transactions))
        for _ in range(rng.randrange(6) if len(alive) > 1 else 0):
            source, target = rng.choice(alive), rng.choice(alive)
            kind = rng.choice([WW, WR, RW])
            arcs.add(source, target, kind)
            graph.add(source, target, kind)
        graph.add_process_order(transactions)
        graph.add_realtime_order(transactions)
        expected = sorted(map(sorted, graph.knots(ALL)))
        left = arcs.knotted(transactions)
        cyclic_count += bool(expected)
        assert bool(left) == bool(expected), seed
        for kinds in (WW, WW | WR, WW | WR | RW, WW | WR | RW | PROCESS, ALL):
            found = arcs.graph(transactions, left).knots(kinds)
            assert sorted(map(sorted, found)) == sorted(map(sorted, graph.knots(kinds))), (seed, kinds)
    assert 300 < cyclic_count < 2700
