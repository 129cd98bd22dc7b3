"""Cells by kind: one key holds a string, a counter, a set or a hash, and each kind is a lattice of its own.

Theory. A *part* is what one kind knows of a key; its first byte is the kind. Most cells are one part. Two nodes may
make one key as two kinds at the same time, or as one kind after another was deleted; then the cell is *mixed*: its
parts by kind, ascending, one each. Cells merge kind by kind: a product of joins, and so a join.

Layout      part:  kind (1 byte)  what the kind wants.       mixed:  0x7F  MessagePack array of parts, kinds ascending.
Source      Riak merges siblings of different types type by type (riak_kv_crdt).
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from quorate.clocks import HybridStamp
from quorate.kernel import Codec, Malformed
from quorate.protocols.leaderless.changes import (
    Add,
    AnyChange,
    Change,
    Count,
    Put,
    Remove,
    RemoveFields,
    SetFields,
)
from quorate.protocols.leaderless.rules import ChangeRefused, Seen

LWW: Final = 0x01
SIBLINGS: Final = 0x02
COUNTER: Final = 0x10
SET: Final = 0x11
HASH: Final = 0x12
MIXED: Final = 0x7F

_PARTS: Codec[list[bytes]] = Codec(list[bytes])
_NONE: Final = Seen()


class Kind(Protocol):
    """One kind of part. Parts are whole (kind byte included), never empty but for `change`, and those of `KINDS`."""

    # The first byte of its parts and of its tokens.
    code: int
    # As in `Seen.kind`.
    word: str

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a change; see `Rule.change`. The part is empty where there is none of this kind.

        Deleted parts are changed too: they live again. `Delete` is asked only of parts that are there.

        Raises:
            ChangeRefused: the change does not fit.
        """

    def check(self, part: bytes) -> bytes:
        """Return a part as this kind would write it; raise `Malformed` if it is none."""

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join of two parts; raise `Malformed` if theirs is none."""

    def seen(self, part: bytes) -> Seen:
        """Return what a reader sees; `Seen()` for a tombstone."""

    def sibling_count(self, part: bytes) -> int:
        """Return how many living values it has side by side."""

    def token(self, part: bytes) -> bytes:
        """Return the token of a part; its first byte is the kind."""

    def includes(self, part: bytes, token: bytes) -> bool:
        """Return whether a part contains all that a token of this kind stands for; False for a malformed one."""

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the largest stamp that a token carries; None if there is none, or the token is malformed."""

    def deleted_at_ms(self, part: bytes) -> int | None:
        """Return when a part became a tombstone; None while it holds anything alive."""


class CellRule:
    """A conflict rule (see `Rule`): a kind for strings, and kinds for counters, sets and hashes."""

    def __init__(self, name: str, string: Kind, others: Iterable[Kind] = (), *, dots: bool) -> None:
        """Make a rule.

        Args:
            name: the word in the configuration.
            string: the kind of strings.
            others: kinds of counters, sets and hashes; what is not here is refused.
            dots: whether putting a string needs a dot.
        """
        self.name = name
        self.keeps_siblings = string.code == SIBLINGS
        self._string = string
        self._dots = dots
        self._kinds: Mapping[int, Kind] = {kind.code: kind for kind in (string, *others)}
        self._codes: Mapping[type[Change], int] = {
            Put: string.code,
            Count: COUNTER,
            Add: SET,
            Remove: SET,
            SetFields: HASH,
            RemoveFields: HASH,
        }

    def needs_dot(self, change: AnyChange) -> bool:
        """Return whether only owners coordinate a change; a delete is told what is there by their copies."""
        return self._dots or type(change) is not Put

    def change(self, cell: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the cell after a change; see `Rule.change`.

        Raises:
            ChangeRefused: WRONGTYPE: another kind is alive; BADTOKEN: the context is none of this keyspace's; ERR: no
                such kind is here; or the kind's own reason.
        """
        code = self._codes.get(type(change))
        is_alone = not cell or cell[0] == code
        if code in self._kinds and code is not None and is_alone and (not context or context[0] == code):
            # Almost always: nothing there but the kind of the change.
            return self._kinds[code].change(cell, change, actor=actor, stamp=stamp, context=context)
        parts = self._parts(cell)
        try:
            contexts = self._parts(context)
        except Malformed as cause:
            # Taken for "nothing was read" it would leave every value that the client meant to replace.
            raise ChangeRefused("BADTOKEN", "the context is not a token of this keyspace") from cause
        if code is None:
            for code in list(parts) or [self._string.code]:
                kind, known = self._kinds[code], contexts.get(code, b"")
                parts[code] = kind.change(parts.get(code, b""), change, actor=actor, stamp=stamp, context=known)
            return _joined(parts)
        kind_of_change = self._kinds.get(code)
        if kind_of_change is None:
            raise ChangeRefused("ERR", f"keyspaces with conflicts = {self.name!r} hold no such type")
        for other, part in parts.items():
            if other != code and self._kinds[other].deleted_at_ms(part) is None:
                raise ChangeRefused("WRONGTYPE", f"the key holds a {self._kinds[other].word}")
        known = contexts.get(code, b"")
        parts[code] = kind_of_change.change(parts.get(code, b""), change, actor=actor, stamp=stamp, context=known)
        return _joined(parts)

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join of two cells, kind by kind. Raises: Malformed: theirs is no cell of this rule."""
        if mine == theirs or not theirs:
            return mine
        if mine and mine[0] == theirs[0] != MIXED:
            return self._kinds[mine[0]].merge(mine, theirs)
        parts = self._parts(mine)
        for code, part in self._parts(theirs).items():
            kind, known = self._kinds[code], parts.get(code)
            parts[code] = kind.check(part) if known is None else kind.merge(known, part)
        return _joined(parts)

    def seen(self, cell: bytes) -> Seen:
        """Return what a reader sees: the only living part."""
        alive = [kind.seen(part) for kind, part in self._with_kinds(cell) if kind.deleted_at_ms(part) is None]
        if len(alive) > 1:
            return Seen(kind="mixed")
        return alive[0] if alive else _NONE

    def sibling_count(self, cell: bytes) -> int:
        """Return how many living values a string has side by side."""
        return sum(kind.sibling_count(part) for kind, part in self._with_kinds(cell) if kind is self._string)

    def token(self, cell: bytes) -> bytes:
        """Return the token of a cell: of a mixed one, those of its parts."""
        if cell and (only := self._kinds.get(cell[0])) is not None:
            return only.token(cell)
        tokens = {kind.code: kind.token(part) for kind, part in self._with_kinds(cell)}
        return _joined(tokens)

    def includes(self, cell: bytes, token: bytes) -> bool:
        """Return whether a cell contains all that a token stands for; the empty token stands for nothing."""
        try:
            wanted, parts = self._parts(token), self._parts(cell)
        except Malformed:
            return False
        return all(code in parts and self._kinds[code].includes(parts[code], part) for code, part in wanted.items())

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the largest stamp that a token carries."""
        if token and (only := self._kinds.get(token[0])) is not None:
            return only.stamp(token)
        stamps = [self._kinds[code].stamp(part) for code, part in self._tokens(token).items()]
        return max((stamp for stamp in stamps if stamp is not None), default=None)

    def deleted_at_ms(self, cell: bytes) -> int | None:
        """Return when the last of its parts became a tombstone; None while any is alive, or nothing is there."""
        if not cell:
            return None
        if cell[0] != MIXED:
            return self._kinds[cell[0]].deleted_at_ms(cell)
        latest = 0
        for kind, part in self._with_kinds(cell):
            deleted = kind.deleted_at_ms(part)
            if deleted is None:
                return None
            latest = max(latest, deleted)
        return latest

    def _with_kinds(self, cell: bytes) -> list[tuple[Kind, bytes]]:
        return [(self._kinds[code], part) for code, part in self._parts(cell).items()]

    def _tokens(self, token: bytes) -> dict[int, bytes]:
        """Return the tokens of the parts; of a malformed one, none: clients may send anything."""
        try:
            return self._parts(token)
        except Malformed:
            return {}

    def _parts(self, cell: bytes) -> dict[int, bytes]:
        """Return parts by kind, ascending. Raises: Malformed: no cell, or a kind that this rule does not have."""
        if not cell:
            return {}
        if cell[0] in self._kinds:
            return {cell[0]: cell}
        parts = _PARTS.decode(memoryview(cell)[1:]) if cell[0] == MIXED else [cell]
        codes = [part[0] if part else MIXED for part in parts]
        if codes != sorted(set(codes)) or any(code not in self._kinds for code in codes):
            raise Malformed("a cell has one part of each of its kinds, and only kinds of its rule")
        return dict(zip(codes, parts, strict=True))


def _joined(parts: Mapping[int, bytes]) -> bytes:
    """Return the cell, or token, of parts by kind."""
    if len(parts) > 1:
        return bytes((MIXED,)) + _PARTS.encode([parts[code] for code in sorted(parts)])
    return next(iter(parts.values()), b"")
