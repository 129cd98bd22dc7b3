"""A leaderless keyspace at rest is what its records amount to; something else is refused as damage."""

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from quorate.kernel import GroupId, NodeId, Record
from quorate.kernel.errors import Corrupt
from quorate.protocols.leaderless import (
    RECORDS,
    Adopted,
    Born,
    Gathered,
    Hinted,
    HintGone,
    Stored,
    Streamed,
    canonical,
    topology_of,
)
from quorate.server.rest import Unwritten, decoded, name_at_rest, records_at_rest
from quorate.store import MemoryBase

TOPOLOGY = topology_of([NodeId(1), NodeId(2)], replica_count=2)
NEXT = msgspec.structs.replace(TOPOLOGY, version=2)
HISTORY: Sequence[Record] = (
    Adopted(TOPOLOGY, True),
    Born(7, 1_000),
    Stored(b"a", b"1"),
    Stored(b"b", b"1"),
    Hinted(NodeId(2), b"a", b"1", 5),
    Stored(b"a", b"2"),
    Hinted(NodeId(2), b"b", b"1", 6),
    Born(7, 2_000),
    HintGone(NodeId(2), b"a"),
    Stored(b"b", b""),
    Adopted(NEXT, False),
    Streamed(2, 0, 99, NodeId(2), 50),
    Streamed(2, 0, 99, NodeId(2), 70),
    Gathered(2),
    Stored(b"\x00" * 300, b"long key"),
)


def checkpoint(base: MemoryBase, records: Sequence[Record], before: Unwritten | None = None) -> Unwritten:
    unwritten = Unwritten(before.heads if before is not None else ())
    for record in records:
        unwritten.note(record)
    asyncio.run(base.checkpoint(unwritten.changes, unwritten.meta("carts")))
    return unwritten


def same(one: Sequence[Record], other: Sequence[Record]) -> bool:
    return sorted(map(repr, canonical(one))) == sorted(map(repr, canonical(other)))


@pytest.mark.parametrize("cut", range(len(HISTORY) + 1))
def test_checkpoints_at_any_moment_amount_to_the_same(cut: int) -> None:
    base = MemoryBase()
    first = checkpoint(base, HISTORY[:cut])
    assert same(list(records_at_rest(base)), HISTORY[:cut])
    checkpoint(base, HISTORY[cut:], first)
    assert same(list(records_at_rest(base)), HISTORY)
    assert name_at_rest(base) == "carts"


def test_a_log_that_is_at_rest_already_does_no_harm() -> None:
    """The log before a checkpoint may still be there: replayed in order, the last record of a key counts."""
    base = MemoryBase()
    checkpoint(base, HISTORY)
    for begin in range(len(HISTORY)):
        assert same([*records_at_rest(base), *HISTORY[begin:]], HISTORY)


def test_what_is_no_state_of_a_keyspace_is_damage() -> None:
    base = MemoryBase()
    assert list(records_at_rest(base)) == []
    assert name_at_rest(base) == ""
    asyncio.run(base.checkpoint({b"hgarbage": b"\xff"}, Unwritten().meta("carts")))
    with pytest.raises(Corrupt, match="something else"):
        list(records_at_rest(base))
    asyncio.run(base.checkpoint({}, b"\xff\xff"))
    with pytest.raises(Corrupt, match="something else"):
        list(records_at_rest(base))
    assert list(decoded(GroupId(9), [(3, RECORDS.encode(Stored(b"k", b"c")))])) == [(3, Stored(b"k", b"c"))]
    with pytest.raises(Corrupt, match="group 9"):
        list(decoded(GroupId(9), [(3, b"garbage")]))
