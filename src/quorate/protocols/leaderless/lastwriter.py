"""Strings of which the newest write wins: the join is the larger of two byte strings.

Theory. A write is stamped by its coordinator's hybrid clock; of two writes the one with the later stamp stays, and the
actor breaks ties, so all replicas choose alike. What loses is lost silently: of two concurrent writes always one; and
of two that follow each other the later one, when its coordinator's clock is behind and it had not seen the earlier.

Layout      kind  wall_ns (8)  logical (2)  actor (8)  flags (1; 1: tombstone)  note length (4)  note  value.
            Big endian, so bytes compare as stamps do. A token is the first 19 bytes.
Source      Thomas write rule (1979); Dynamo section 4.4 and 6 ("last write wins"); Cassandra's cells.
"""

import struct
from typing import Final

from quorate.clocks import ACTOR_MAX, HybridStamp
from quorate.kernel import Malformed
from quorate.protocols.leaderless.cells import LWW
from quorate.protocols.leaderless.changes import AnyChange, Delete, Put
from quorate.protocols.leaderless.rules import Seen

_HEAD: Final = struct.Struct(">BQHQBI")
_TOKEN: Final = struct.Struct(">BQHQ")
_FLAGS: Final = 19
_DELETED: Final = 1
_NS_PER_MS: Final = 1_000_000


class LastWriterWins:
    """The kind of strings of the rule `lww`."""

    code = LWW
    word = "string"

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a put or delete: larger than the old one, because the stamp is."""
        del actor, context  # the stamp has both
        assert isinstance(change, Put | Delete), "other changes are of other kinds"
        is_put = isinstance(change, Put)
        head = _HEAD.pack(LWW, *stamp, 0 if is_put else _DELETED, len(change.note))
        made = head + change.note + (change.value if isinstance(change, Put) else b"")
        # Equal stamps cannot be; but a cell never shrinks, whatever the clock did.
        return max(part, made)

    def check(self, part: bytes) -> bytes:
        """Return the part, or raise `Malformed`."""
        if len(part) < _HEAD.size:
            raise Malformed("a last-writer cell is cut off")
        _, wall_ns, _, actor, flags, note_bytes = _HEAD.unpack_from(part)
        rest_bytes = len(part) - _HEAD.size - note_bytes
        if wall_ns > ACTOR_MAX or actor > ACTOR_MAX or flags > _DELETED or rest_bytes < 0 or (flags and rest_bytes):
            raise Malformed("a last-writer cell has a field out of range")
        return part

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the part with the later stamp."""
        return max(mine, self.check(theirs))

    def seen(self, part: bytes) -> Seen:
        """Return the value and its note."""
        *_, flags, note_bytes = _HEAD.unpack_from(part)
        if flags:
            return Seen()
        value_at = _HEAD.size + note_bytes
        return Seen((part[value_at:],), (part[_HEAD.size : value_at],), "string")

    def sibling_count(self, part: bytes) -> int:
        """Return 1, or 0 for a tombstone."""
        return 1 - part[_FLAGS]

    def token(self, part: bytes) -> bytes:
        """Return kind and stamp."""
        return part[: _TOKEN.size]

    def includes(self, part: bytes, token: bytes) -> bool:
        """Return whether the stamp of a part is as late as a token's."""
        return len(token) == _TOKEN.size and part[: _TOKEN.size] >= token

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the stamp of a token."""
        if len(token) != _TOKEN.size:
            return None
        _, wall_ns, logical, actor = _TOKEN.unpack(token)
        return HybridStamp(wall_ns, logical, actor) if wall_ns <= ACTOR_MAX >= actor else None

    def deleted_at_ms(self, part: bytes) -> int | None:
        """Return the wall time of a tombstone's stamp."""
        if not part[_FLAGS]:
            return None
        wall_ns: int = _HEAD.unpack_from(part)[1]
        return wall_ns // _NS_PER_MS
