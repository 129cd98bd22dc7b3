"""Anti-entropy, a sentence of its sources each: Dynamo section 4.7, Riak's Tictac trees, CASSANDRA-5263."""

import random

from quorate.kernel import HASH_COUNT, Called, Instant, NodeId, hash_key
from quorate.protocols.anti_entropy import (
    AntiEntropy,
    AntiEntropyConfig,
    Divergent,
    Index,
    Interval,
    Reshape,
    SharedRange,
    digest_of,
    pieces,
)
from quorate.protocols.anti_entropy.testing import Table

HALF = HASH_COUNT // 2


def many(count: int) -> dict[bytes, bytes]:
    return {b"key:%d" % number: b"value" for number in range(count)}


def test_two_nodes_exchange_the_root_of_the_ranges_that_they_host_in_common() -> None:
    """Dynamo 4.7: and of no others."""
    table = Table({1: many(100), 2: {}, 3: {}})
    shared = (SharedRange(0, HALF, (NodeId(2),)), SharedRange(HALF, HASH_COUNT, (NodeId(3),)))
    table.call(1, Reshape(1, shared))
    table.cycle(1)
    lower = {key for key in many(100) if hash_key(key) < HALF}
    assert {key for peer, key in table.found[NodeId(1)] if peer == 2} == lower
    assert {key for peer, key in table.found[NodeId(1)] if peer == 3} == set(many(100)) - lower


def test_equal_roots_require_no_synchronization() -> None:
    """Dynamo 4.7: if the roots are equal, the leaves are equal; one question, one answer."""
    table = Table({1: many(2_000), 2: many(2_000)})
    table.cycle(1)
    assert table.sent_count == 2
    assert not any(isinstance(output, Divergent) for _, output in table.outputs)


def test_unequal_roots_lead_down_to_the_keys_that_are_out_of_sync() -> None:
    """Dynamo 4.7: children are compared until the leaves are reached."""
    theirs = {**many(2_000), b"key:77": b"newer"}
    table = Table({1: many(2_000), 2: theirs})
    table.cycle(1)
    assert table.named(1) == [b"key:77"]


def test_what_is_transferred_grows_with_what_differs_and_not_with_what_is_held() -> None:
    """Dynamo 4.7: Merkle trees minimise the amount of data that needs to be transferred."""
    sent = {}
    for count in (1_000, 16_000):
        table = Table({1: many(count), 2: {**many(count), b"key:77": b"newer"}})
        table.cycle(1)
        sent[count] = table.sent_bytes
    assert sent[16_000] < sent[1_000] + 400


def test_a_node_that_joins_or_leaves_forces_no_recalculation() -> None:
    """Dynamo 4.7 names it as the disadvantage of its scheme; here ranges are cut from one index."""
    machine = AntiEntropy(AntiEntropyConfig(node=NodeId(1)), (), random.Random(1))
    for key, value in many(500).items():
        machine.index.put(key, digest_of(key, value))
    leaves = {number: id(leaf) for number, leaf in machine.index._leaves.items()}
    for version, cut in enumerate((HALF, 12_345, HASH_COUNT - 9), 1):
        ranges = (SharedRange(0, cut, (NodeId(2),)), SharedRange(cut, HASH_COUNT, (NodeId(3),)))
        machine.step(Called(Reshape(version, ranges)), now=Instant(version))
    assert {number: id(leaf) for number, leaf in machine.index._leaves.items()} == leaves


def test_a_change_needs_no_other_key_of_its_leaf() -> None:
    """Tictac: xors are updated from the old and the new digest; the order of changes does not matter."""
    keys = list(many(300))
    one, other = Index(), Index()
    for key in keys:
        one.put(key, digest_of(key, b"first"))
        one.put(key, digest_of(key, b"last"))
    for key in reversed(keys):
        other.put(key, digest_of(key, b"last"))
    whole = Interval(0, HASH_COUNT)
    assert [one.xor(run) for run in pieces(whole)] == [other.xor(run) for run in pieces(whole)]


def test_one_damaged_row_of_many_names_one_row() -> None:
    """CASSANDRA-5263: with leaves of thirty rows, thirty were streamed for one."""
    damaged = {**many(20_000), b"key:19999": b"damaged"}
    table = Table({1: many(20_000), 2: damaged})
    table.cycle(1)
    assert [output.keys for _, output in table.outputs if isinstance(output, Divergent)] == [(b"key:19999",)]
