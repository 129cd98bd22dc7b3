"""Anti-entropy against a dumb twin: the symmetric difference of two dictionaries."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.kernel import HASH_COUNT, NodeId, hash_key, seconds
from quorate.protocols.anti_entropy import Agreed, AntiEntropyConfig, CompareAll, Index, Interval, digest_of, pieces
from quorate.protocols.anti_entropy.testing import Table

keys = st.one_of(st.integers(0, 400).map(lambda number: b"k%d" % number), st.binary(max_size=2))
cells = st.sampled_from([b"1", b"2", b"3"])
stores = st.dictionaries(keys, cells, max_size=60)
hashes = st.one_of(st.integers(0, HASH_COUNT), st.integers(0, 1 << 10).map(lambda number: number << 50))
bounds = st.builds(
    AntiEntropyConfig,
    node=st.just(NodeId(1)),
    list_key_count=st.sampled_from([1, 2, 32]),
    name_count_max=st.sampled_from([1, 3, 256]),
    name_bytes_max=st.sampled_from([8, 262_144]),
    digest_count_max=st.sampled_from([32, 64, 2_048]),
    key_rate=st.sampled_from([1, 7, 100_000]),
    # Else a slow one would never be done before the next.
    cycle=st.just(seconds(100_000)),
)


def twin(mine: dict[bytes, bytes], theirs: dict[bytes, bytes], run: Interval) -> list[bytes]:
    both = sorted({*mine, *theirs})
    return [key for key in both if run.start <= hash_key(key) < run.end and mine.get(key) != theirs.get(key)]


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True)
@given(mine=stores, theirs=stores, shared=stores, config=bounds, cut=hashes)
def test_exactly_the_keys_that_differ_are_named(
    mine: dict[bytes, bytes],
    theirs: dict[bytes, bytes],
    shared: dict[bytes, bytes],
    config: AntiEntropyConfig,
    cut: int,
) -> None:
    """Whatever the bounds, and however the ranges lie."""
    left, right = {**shared, **mine}, {**shared, **theirs}
    run = Interval(cut, HASH_COUNT) if cut < HASH_COUNT // 2 else Interval(0, max(1, cut))
    table = Table(
        {1: left, 2: right},
        ranges=((run.start, run.end),),
        make=lambda node: msgspec.structs.replace(config, node=node),
    )
    table.cycle(1)
    assert table.named(1) == twin(left, right, run)
    whole = [output for _, output in table.outputs if isinstance(output, Agreed)]
    for agreed in whole:
        assert twin(left, right, Interval(agreed.start, agreed.end)) == []
    for machine in table.machines.values():
        assert not machine.exchanges
    table.machines[NodeId(1)].index.check()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    changes=st.lists(st.tuples(keys, st.sampled_from([b"", b"1", b"2"])), max_size=80), ends=st.tuples(hashes, hashes)
)
def test_the_index_is_what_a_scan_would_find(changes: list[tuple[bytes, bytes]], ends: tuple[int, int]) -> None:
    """Sums, counts and lists of any run of hashes, after any changes."""
    index, held = Index(), {}
    for key, cell in changes:
        index.put(key, digest_of(key, cell))
        held[key] = digest_of(key, cell)
    held = {key: digest for key, digest in held.items() if digest}
    low, high = sorted(ends)
    run = Interval(low, max(high, low + 1)) if low < HASH_COUNT else Interval(0, HASH_COUNT)
    inside = {key: digest for key, digest in held.items() if run.start <= hash_key(key) < run.end}
    total = 0
    for digest in inside.values():
        total ^= digest
    assert index.xor(run) == total
    assert dict(index.items(run)) == inside
    assert index.key_count == len(held)
    for limit in (0, 3, 200):
        counted = index.count_up_to(run, limit)
        assert counted == len(inside) or counted > limit < len(inside)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(low=st.integers(0, HASH_COUNT - 2), span=st.one_of(st.integers(2, 100), st.integers(2, HASH_COUNT)))
def test_pieces_are_the_whole(low: int, span: int) -> None:
    """In order, without gaps, 2 to 17 of them; cut again and again they end at single hashes."""
    whole = Interval(low, min(HASH_COUNT, low + span))
    found = pieces(whole)
    assert 2 <= len(found) <= 17
    assert found[0].start == whole.start
    assert found[-1].end == whole.end
    assert all(before.end == after.start for before, after in itertools.pairwise(found))
    assert all(piece.start < piece.end for piece in found)
    depth, run = 0, whole
    while not run.is_single:
        run, depth = pieces(run)[-1], depth + 1
    assert depth <= 18


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    parts=st.lists(stores, min_size=3, max_size=3),
    fates=st.lists(st.sampled_from(["deliver", "lose", "repeat", "swap"]), max_size=60),
)
def test_after_enough_exchanges_without_faults_all_replicas_are_equal(
    parts: list[dict[bytes, bytes]], fates: list[str]
) -> None:
    """First with lost, repeated and swapped messages; each finding reconciled at once, the larger cell winning."""

    def reconcile() -> None:
        for node, found in table.found.items():
            for peer, key in list(found):
                best = max(table.cells[node].get(key, b""), table.cells[NodeId(peer)].get(key, b""))
                table.put(node, {key: best})
                table.put(peer, {key: best})
            found.clear()

    table = Table(dict(enumerate(parts, 1)))
    for fate in fates:
        for node in table.machines if not table.wire else ():
            table.call(node, CompareAll())
            for timer in list(table.timers[node]):
                table.fire(node, timer)
        if not table.wire:
            continue
        letter = table.wire.popleft()
        if fate == "swap":
            table.wire.append(letter)
            continue
        if fate == "repeat":
            table.wire.append(letter)
        if fate != "lose":
            table.wire.appendleft(letter)
            table.deliver()
            reconcile()
    table.settle()
    for _ in range(3):
        for node, machine in table.machines.items():
            for peer in list(machine.exchanges):
                for _ in range(3):
                    if f"answer/{peer}" in table.timers[node]:
                        table.fire(node, f"answer/{peer}")
                        table.settle()
            table.call(node, CompareAll())
            table.cycle(node)
            reconcile()
    first, *others = table.cells.values()
    assert all(other == first for other in others)
