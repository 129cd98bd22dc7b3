"""How a leaderless keyspace lies at rest in a base: its cells, its hints, and beside them who this node stamps as.

c + key              the cell of a key
h + owner + key      a hint, as the record that it is
meta                 who this node stamps as and its topologies, as records
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from quorate.kernel import Codec, GroupId, Malformed, NodeId, Record
from quorate.kernel.errors import Corrupt
from quorate.protocols.leaderless import RECORDS, Hinted, HintGone, Stored, canonical
from quorate.storage import Base, WriteAheadLog

_CELL: Final = b"c"
_HINT: Final = b"h"
_OWNER_BYTES: Final = 8


class Meta(msgspec.Struct, frozen=True, array_like=True):
    """What stands beside the cells and hints."""

    name: str
    records: list[bytes]
    # The conflict rule by which the cells were made; empty where an older version wrote this.
    rule: str = ""


_METAS: Codec[Meta] = Codec(Meta)
_RECORDS = msgspec.msgpack.Encoder()
_OF_KEYS: Final = (Stored, Hinted, HintGone)


class Unwritten:
    """What has changed since the last checkpoint, and what the next one says beside it."""

    def __init__(self, heads: Iterable[Record] = ()) -> None:
        """Begin with nothing to write.

        Args:
            heads: what is said beside the cells so far; records of cells and hints among them are left out.
        """
        self.changes: dict[bytes, bytes | None] = {}
        # About how many bytes of the log these changes are.
        self.log_bytes = 0
        # Who this node stamps as, its topologies, the movement under way: few, and rarely new.
        self.heads: list[Record] = canonical(one for one in heads if not isinstance(one, _OF_KEYS))

    def note(self, record: Record) -> None:
        """Take a record that is being written to the log. Complexity: O(1)."""
        match record:
            case Stored(key, cell):
                self.changes[_CELL + key] = cell or None
                self.log_bytes += len(key) + len(cell)
            case Hinted(owner, key, cell):
                self.changes[_hint_key(owner, key)] = RECORDS.encode(record)
                self.log_bytes += len(key) + len(cell)
            case HintGone(owner, key):
                self.changes[_hint_key(owner, key)] = None
                self.log_bytes += len(key)
            case _:
                self.heads = canonical([*self.heads, record])

    def meta(self, name: str, rule: str = "") -> bytes:
        """Return what stands beside the cells and hints of a keyspace."""
        return _METAS.encode(Meta(name, [_RECORDS.encode(record) for record in self.heads], rule))


def _hint_key(owner: NodeId, key: bytes) -> bytes:
    return _HINT + owner.to_bytes(_OWNER_BYTES, "big") + key


def records_at_rest(base: Base) -> Iterator[Record]:
    """Yield what a base holds as records.

    Raises:
        Corrupt: it holds something else.
    """
    try:
        for data in _METAS.decode(base.meta).records if base.meta else []:
            yield RECORDS.decode(data)
        for place, data in base.scan(b"", None):
            if place[:1] == _CELL:
                yield Stored(place[1:], data)
            elif place[:1] == _HINT:
                yield RECORDS.decode(data)
    except Malformed as cause:
        raise Corrupt(f"the state of a leaderless keyspace at rest holds something else: {cause}") from cause


def name_at_rest(base: Base) -> str:
    """Return the name of the keyspace in a base; empty before its first checkpoint."""
    return _METAS.decode(base.meta).name if base.meta else ""


def rule_at_rest(base: Base) -> str:
    """Return the conflict rule of the cells in a base; empty where it is not known."""
    return _METAS.decode(base.meta).rule if base.meta else ""


def decoded(group: GroupId, recovered: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Record]]:
    """Yield what the log holds of a keyspace: ordinals and records.

    Raises:
        Corrupt: it holds something else.
    """
    for ordinal, data in recovered:
        try:
            yield ordinal, RECORDS.decode(data)
        except Malformed as cause:
            raise Corrupt(f"the log holds for group {group} what is no record of a leaderless keyspace") from cause


async def settle(base: Base, wal: WriteAheadLog, group: GroupId) -> None:
    """Put what the log holds of a keyspace to rest: it is not declared any more, and may be again.

    Raises:
        Corrupt, DiskFull, StorageError: from the log or the base.
    """
    unwritten, last_ordinal = Unwritten(records_at_rest(base)), 0
    for ordinal, record in decoded(group, wal.recovered(group)):
        unwritten.note(record)
        last_ordinal = ordinal
    await base.checkpoint(unwritten.changes, unwritten.meta(name_at_rest(base), rule_at_rest(base)))
    wal.release(group, last_ordinal + 1)
