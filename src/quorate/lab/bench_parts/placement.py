"""Placements compared: balance, movement, memory, survival, repair, and speed beside uhashring.

Run: python -m quorate.lab.bench_parts placement
"""

import importlib
from collections.abc import Sequence
from functools import partial

import numpy as np

from quorate.kernel import Seeds
from quorate.kernel.errors import UsageError
from quorate.lab.bench_parts.timing import BenchRow, time_batch, time_each
from quorate.placement import (
    AnchorHash,
    BoundedLoad,
    ComparisonRow,
    FixedPartitions,
    HashPlacement,
    Jump,
    Maglev,
    Modulo,
    Rendezvous,
    Ring,
    compare,
    to_svg,
)

_SINGLE_COUNT = 5_000


def placements(node_count: int) -> list[tuple[str, HashPlacement]]:
    """Return what is compared, with names that tell the variants apart."""
    nodes = range(1, node_count + 1)
    partition_count = max(1024, 1 << (16 * node_count - 1).bit_length())
    return [
        ("ring 16 allocated", Ring(nodes, virtual_nodes=16)),
        ("ring 16 random", Ring(nodes, virtual_nodes=16, allocation="random")),
        ("ring 256 random", Ring(nodes, virtual_nodes=256, allocation="random")),
        (f"fixed {partition_count}", FixedPartitions(nodes, partition_count=partition_count)),
        ("rendezvous", Rendezvous(nodes)),
        ("jump", Jump(nodes)),
        ("maglev 65537", Maglev(nodes)),
        (f"bounded 1.25 of {partition_count}", BoundedLoad(nodes, partition_count=partition_count)),
        ("anchor", AnchorHash(nodes, capacity=2 * node_count)),
        ("modulo", Modulo(nodes)),
    ]


def compare_all(
    *, node_count: int = 100, replica_count: int = 3, key_count: int = 1_000_000, seed: int = 1
) -> list[ComparisonRow]:
    """Return a row of figures for each placement, speed included. Needs NumPy; about half a minute for 100 nodes."""
    if replica_count > node_count:
        raise UsageError(f"{replica_count} copies of each key need as many nodes; there are {node_count}")
    keys = np.arange(key_count)
    texts = [f"key {number}" for number in range(_SINGLE_COUNT)]
    rows = []
    for name, placement in placements(node_count):
        row = compare(
            placement,
            newcomer=node_count + 1,
            replica_count=replica_count,
            key_count=key_count,
            rng=Seeds(seed).stream("dead nodes", name),
        )
        some = texts[:500] if placement.kind == "rendezvous" else texts
        part = keys[: key_count // 10] if placement.kind == "rendezvous" else keys
        single_ns = time_each(placement.owner, some)
        batch_ns = time_batch(partial(placement.owner_places, part), len(part))
        rows.append(row._replace(kind=name, single_lookup_ns=single_ns, batch_lookup_ns=batch_ns))
    return rows


def table(rows: Sequence[ComparisonRow]) -> str:
    """Return the comparison as text, one line for each placement."""
    head = (
        f"{'placement':22} {'max/mean':>8} {'dev':>6} {'join %':>7} {'least':>6} {'leave %':>7} {'least':>6}"
        f" {'KiB':>7} {'enc KiB':>7} {'2 dead':>7} {'3 dead':>7} {'fan-out':>7} {'one ns':>7} {'many ns':>7}"
    )
    lines = [head]
    for row in rows:
        single = "" if row.single_lookup_ns is None else f"{row.single_lookup_ns:.0f}"
        batch = "" if row.batch_lookup_ns is None else f"{row.batch_lookup_ns:.1f}"
        lines.append(
            f"{row.kind:22} {row.balance_max:8.3f} {row.balance_deviation:6.3f}"
            f" {100 * row.join_moved:7.2f} {100 * row.join_ideal:6.2f}"
            f" {100 * row.leave_moved:7.2f} {100 * row.leave_ideal:6.2f}"
            f" {row.memory_bytes / 1024:7.0f} {row.encoded_bytes / 1024:7.1f}"
            f" {row.two_dead_loss:7.3f} {row.three_dead_loss:7.3f} {row.repair_fanout:7.1f} {single:>7} {batch:>7}"
        )
    return "\n".join(lines)


def picture(rows: Sequence[ComparisonRow], *, node_count: int) -> str:
    """Return the comparison as SVG."""
    return to_svg(rows, title=f"Placements of {node_count} nodes")


def run(*, node_count: int = 100, key_count: int = 1_000_000) -> list[BenchRow]:
    """Time single and batch lookups of every placement beside uhashring's, where that is installed."""
    texts = [f"key {number}" for number in range(_SINGLE_COUNT)]
    keys = np.arange(key_count)
    rival_ns = _uhashring_ns(node_count, texts)
    rival = "" if rival_ns is None else "uhashring"
    rows = []
    for name, placement in placements(node_count):
        some = texts[:500] if placement.kind == "rendezvous" else texts
        part = keys[: key_count // 10] if placement.kind == "rendezvous" else keys
        rows.append(BenchRow(f"{name}, one", time_each(placement.owner, some), rival, rival_ns))
        batch_ns = time_batch(partial(placement.owner_places, part), len(part))
        rows.append(BenchRow(f"{name}, batch", batch_ns, rival, rival_ns))
    return rows


def _uhashring_ns(node_count: int, texts: Sequence[str]) -> float | None:
    try:
        uhashring = importlib.import_module("uhashring")
    except ImportError:
        return None
    ring = uhashring.HashRing(nodes=[str(node) for node in range(1, node_count + 1)])
    return time_each(ring.get_node, texts)
