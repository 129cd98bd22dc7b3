"""Sketches beside rbloom, pybloom-live and pyprobables: one at a time, in batches, size, errors against theory.

Rivals that are not installed are left out. NumPy is needed for the batches.
Run: python -m quorate.lab.bench_parts sketches
"""

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from quorate.lab.bench_parts.timing import BenchRow, time_batch, time_each
from quorate.sketches import (
    BinaryFuseFilter,
    BlockedBloomFilter,
    BloomFilter,
    CountingBloomFilter,
    CountingQuotientFilter,
    CountMin,
    CuckooFilter,
    GrowingFilter,
    HyperLogLog,
    InvertibleTable,
    MerkleTree,
    QuotientFilter,
    ScalableBloomFilter,
    XorTree,
)

ERROR_RATE = 0.01


def run(*, key_count: int = 1_000_000, probe_count: int = 10_000_000, single_count: int = 20_000) -> list[BenchRow]:
    """Measure everything.

    Args:
        key_count: keys in the filters that are filled in batches; the others get a tenth or less.
        probe_count: keys never added, for the error rates of the Bloom filters; the others get a tenth.
        single_count: keys that are handled one at a time.
    """
    return [
        *_bloom_rows(key_count, probe_count, single_count),
        *_filter_rows(key_count // 10, probe_count // 10, single_count),
        *_summary_rows(key_count, single_count),
    ]


class _Rival(NamedTuple):
    name: str
    bit_count: int
    add: Callable[[Any], object]
    ask: Callable[[Any], object]


def _rivals(capacity: int) -> list[_Rival]:
    """Return empty filters of what is installed."""
    found: list[_Rival] = []
    rbloom, pybloom, probables = (_optional(name) for name in ("rbloom", "pybloom_live", "probables"))
    if rbloom is not None:
        bloom = rbloom.Bloom(capacity, ERROR_RATE)
        found.append(_Rival("rbloom", bloom.size_in_bits, bloom.add, bloom.__contains__))
    if pybloom is not None:
        bloom = pybloom.BloomFilter(capacity, ERROR_RATE)
        found.append(_Rival("pybloom-live", bloom.num_bits, bloom.add, bloom.__contains__))
    if probables is not None:
        bloom = probables.BloomFilter(capacity, ERROR_RATE)
        found.append(_Rival("pyprobables", bloom.number_bits, bloom.add, bloom.check))
    return found


def _rival_note(rival: _Rival, texts: list[str]) -> str:
    """Fill a rival to its capacity; return its bits a key and its share of false positives."""
    for text in texts:
        rival.add(text)
    stranger_count = 20_000
    hits = sum(bool(rival.ask(f"stranger {number}")) for number in range(stranger_count))
    bits = rival.bit_count / len(texts)
    return f"rival: {bits:.2f} bits a key, error rate {100 * hits / stranger_count:.2f} % of {stranger_count:,}"


def _bloom_rows(key_count: int, probe_count: int, single_count: int) -> list[BenchRow]:
    rows: list[BenchRow] = []
    texts = [f"key {number}" for number in range(single_count)]
    keys = np.arange(key_count)
    for kind in (BloomFilter, BlockedBloomFilter):
        single = kind(single_count, ERROR_RATE)
        add, ask = time_each(single.add, texts), time_each(single.__contains__, texts)
        for rival in _rivals(single_count):
            # Slow rivals are timed over a part of the keys, so that the whole run stays short.
            part = texts if rival.name == "rbloom" else texts[:2000]
            rows.append(BenchRow(f"{kind.kind} add one", add, rival.name, time_each(rival.add, part)))
            note = _rival_note(rival, texts)
            rows.append(BenchRow(f"{kind.kind} ask one", ask, rival.name, time_each(rival.ask, part), note))
        many = kind(key_count, ERROR_RATE)
        batch_add = time_batch(partial(many.add_many, keys), key_count)
        batch_ask = time_batch(partial(many.contains_many, keys), key_count)
        note = f"{many.bit_count / key_count:.2f} bits a key"
        name, rival_add_ns, rival_note = _rbloom_batch(key_count)
        rows.append(BenchRow(f"{kind.kind} add batch", batch_add, name, rival_add_ns, f"{note}; {rival_note}"))
        rows.append(BenchRow(f"{kind.kind} ask batch, all there", batch_ask, note=note))
        rows.append(_error_row(many, probe_count))
    return rows


def _rbloom_batch(key_count: int) -> tuple[str, float | None, str]:
    """Time rbloom's own way of adding many: `update` over Python integers."""
    rbloom = _optional("rbloom")
    if rbloom is None:
        return "", None, "rbloom is not installed"
    numbers = list(range(key_count))
    bloom = rbloom.Bloom(key_count, ERROR_RATE)
    elapsed = time_batch(lambda: bloom.update(numbers), key_count)
    return "rbloom", elapsed, f"rbloom {bloom.size_in_bits / key_count:.2f} bits a key"


def _error_row(own: GrowingFilter | BinaryFuseFilter, probe_count: int) -> BenchRow:
    """Ask for keys that were never added; the note has the share that seems to be there, and theory's."""
    hits = count = 0
    probes = np.arange(1)
    for start in range(0, probe_count, 1 << 20):
        count = min(1 << 20, probe_count - start)
        probes = np.arange(start + 10**12, start + 10**12 + count)
        answers = own.contains_many(probes)
        hits += int(np.count_nonzero(answers))
    elapsed = time_batch(lambda: own.contains_many(probes), count)
    rate, theory = hits / probe_count, own.error_rate_now()
    note = (
        f"error rate {100 * rate:.4f} %, theory {100 * theory:.4f} %, ratio {rate / theory:.3f}, {probe_count:,} probes"
    )
    return BenchRow(f"{own.kind} ask batch, strangers", elapsed, note=note)


def _filter_rows(key_count: int, probe_count: int, single_count: int) -> list[BenchRow]:
    rows: list[BenchRow] = []
    texts = [f"key {number}" for number in range(single_count // 4)]
    keys = np.arange(key_count)
    for kind in (CountingBloomFilter, ScalableBloomFilter, QuotientFilter, CountingQuotientFilter, CuckooFilter):
        single = kind(single_count, ERROR_RATE)
        name, rival_add, rival_ask = _probables_twin(kind.kind, single_count)
        part = texts[:1000]
        add = time_batch(partial(_add_each, single, texts[: len(texts) // 8]), len(texts) // 8)
        ask = time_each(single.__contains__, texts)
        rows.append(BenchRow(f"{kind.kind} add one", add, name, time_each(rival_add, part) if rival_add else None))
        rows.append(BenchRow(f"{kind.kind} ask one", ask, name, time_each(rival_ask, part) if rival_ask else None))
        many = kind(key_count, ERROR_RATE)
        rows.append(BenchRow(f"{kind.kind} add batch", _time_once(many, keys)))
        rows.append(
            BenchRow(f"{kind.kind} ask batch, all there", _time_ask(many, keys), note=_size_note(many, key_count))
        )
        rows.append(_error_row(many, probe_count))
    fuse_keys = keys[: key_count // 2]
    fuse = BinaryFuseFilter(fuse_keys)
    elapsed = _time_build(fuse_keys)
    note = f"{fuse.memory_bits / len(fuse_keys):.2f} bits a key"
    rows.append(BenchRow("binary-fuse build", elapsed, note=note))
    rows.append(_error_row(fuse, probe_count))
    return rows


def _probables_twin(
    kind: str, single_count: int
) -> tuple[str, Callable[[Any], object] | None, Callable[[Any], object] | None]:
    """Return pyprobables' filter of a kind, where it has one."""
    probables = _optional("probables")
    if probables is None:
        return "", None, None
    if kind == "counting-bloom":
        own = probables.CountingBloomFilter(single_count, ERROR_RATE)
    elif kind == "quotient":
        own = probables.QuotientFilter(quotient=16)
    elif kind == "cuckoo":
        own = probables.CuckooFilter(capacity=single_count // 4)
    else:
        return "", None, None
    return "pyprobables", own.add, own.check


def _summary_rows(key_count: int, single_count: int) -> list[BenchRow]:
    keys = np.arange(key_count)
    counter, counts = HyperLogLog(), CountMin()
    rows = [
        BenchRow("hyperloglog add batch", time_batch(lambda: counter.add_many(keys), key_count)),
        BenchRow("hyperloglog add one", time_each(counter.add, range(single_count))),
        BenchRow("count-min add batch", time_batch(lambda: counts.add_many(keys), key_count)),
        BenchRow("count-min add one", time_each(counts.add, range(single_count))),
    ]
    error = counter.estimate() / key_count - 1
    rows[0] = rows[0]._replace(note=f"estimate {100 * error:+.2f} % of {key_count:,}, standard error 0.81 %")
    merkle, xor, table = MerkleTree(), XorTree(), InvertibleTable.for_differences(100)
    some = range(single_count)
    rows += [
        BenchRow("merkle put one", time_each(lambda key: merkle.put(key, b"value"), some)),
        BenchRow("merkle root anew after one change", time_each(lambda key: _touch(merkle, key), range(500))),
        BenchRow("xor tree toggle one", time_each(lambda key: xor.toggle(key, b"value"), some)),
        BenchRow("invertible table add one", time_each(table.add, some)),
        BenchRow("invertible table add batch", time_batch(lambda: table.add_many(keys), key_count)),
    ]
    return rows


def _add_each(own: GrowingFilter, keys: list[str]) -> None:
    for key in keys:
        own.add(key)


def _touch(tree: MerkleTree, key: int) -> None:
    tree.put(key, b"other")
    tree.root()


def _time_once(own: GrowingFilter, keys: Any) -> float:
    """Time the first adding only: a second one would find everything there."""
    begin = time.perf_counter_ns()
    own.add_many(keys)
    return (time.perf_counter_ns() - begin) / len(keys)


def _time_build(keys: Any) -> float:
    begin = time.perf_counter_ns()
    BinaryFuseFilter(keys)
    return (time.perf_counter_ns() - begin) / len(keys)


def _time_ask(own: GrowingFilter, keys: Any) -> float:
    return time_batch(lambda: own.contains_many(keys), len(keys))


def _size_note(own: GrowingFilter, key_count: int) -> str:
    if isinstance(own, QuotientFilter):
        return f"{own.memory_bits / key_count:.2f} bits a key at a load of {own.load:.2f}"
    return f"{8 * len(own.to_bytes()) / key_count:.2f} bits a key"


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
