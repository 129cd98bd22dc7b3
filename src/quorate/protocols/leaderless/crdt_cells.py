"""Counters, sets and hashes: kinds of cells whose concurrent changes all count.

Theory. A counter keeps, per actor, how many changes it made and their sum; the larger number of changes wins, for only
the actor itself counts. A *floor* per actor says how much of that was deleted: the sums that the deleter saw. So a
delete takes exactly what it had observed, and a concurrent increment counts from zero, by itself. (A counter that is
kept as one dot per actor, as in Riak's maps and `quorate.crdt.EmbeddedCounter`, cannot: an actor's earlier counts
survive with its concurrent increment.) A set keeps rows (`observed`): of concurrent add and remove of a member, add
wins. A hash keeps a register per field: of concurrent values of one field all are kept and the latest stamp is shown;
the next write through a node that has them replaces them.

Delete is observed-remove for all three: what its coordinator had seen goes; what was added or counted concurrently
stays, alone. What is empty is a tombstone, purged like one. That is safe for the same reason: `purge` waits until no
replica and no hint can bring older events. Forgotten sooner, the vector would be missing when an old row arrives, and
the row would count as new. Nor may an event be given again after a purge: hence events begin at the wall time.

Merging needs whole cells, not deltas: a vector stands for everything that its events did, removals included.

Source      Shapiro et al. 2011 (PN-Counter, OR-Set); Riak DT (reset-remove, embedded counters, deferred removals).
Complexity  Cells are read and written whole: O(rows) a change.
"""

import struct
from typing import Annotated, Final, NamedTuple

import msgspec

from quorate.clocks import ACTOR_MAX, LOGICAL_COUNT, HybridStamp
from quorate.kernel import Codec, Malformed
from quorate.protocols.leaderless.cells import COUNTER, HASH, SET
from quorate.protocols.leaderless.changes import (
    Add,
    AnyChange,
    Count,
    Delete,
    Remove,
    RemoveFields,
    SetFields,
)
from quorate.protocols.leaderless.observed import (
    Head,
    Observed,
    Vector,
    descends,
    head_bytes,
    head_of,
    vector_from,
)
from quorate.protocols.leaderless.rules import ChangeRefused, Seen

_Number = Annotated[int, msgspec.Meta(ge=0, le=ACTOR_MAX)]
_Signed = Annotated[int, msgspec.Meta(ge=-ACTOR_MAX, le=ACTOR_MAX)]
_Stamp = tuple[_Number, Annotated[int, msgspec.Meta(ge=0, lt=LOGICAL_COUNT)], _Number]
_TOKEN: Final[Codec[tuple[_Stamp, list[tuple[_Number, _Number]]]]] = Codec(tuple[_Stamp, list[tuple[_Number, _Number]]])

_NS_PER_MS: Final = 1_000_000
# How far an event in a client's context may be above the clock before it is taken for nonsense: 18 minutes.
_AHEAD_MAX: Final = 1 << 40
# Before the value of a field: wall time and count of its stamp; the actor is that of the event.
_FIELD: Final = struct.Struct(">QH")


class _Tally(NamedTuple):
    """What one actor counted, and what was deleted of it."""

    # Changes by the actor, and their sum.
    event: int
    total: int
    # How many of the changes, and which sum, a delete had seen.
    floor_event: int
    floor_total: int

    def join(self, other: "_Tally") -> "_Tally":
        event, total = max((self.event, self.total), (other.event, other.total))
        floor_event, floor_total = max((self.floor_event, self.floor_total), (other.floor_event, other.floor_total))
        return _Tally(event, total, floor_event, floor_total)


_CounterRow = tuple[_Number, _Number, _Signed, _Number, _Signed]
_COUNTER: Final[Codec[tuple[_Stamp, list[_CounterRow]]]] = Codec(tuple[_Stamp, list[_CounterRow]])


class Counter:
    """The kind of counters.

    Layout: kind, MessagePack [stamp, [[actor, event, total, events above the floor, floor's total]…]], ascending.
    """

    code = COUNTER
    word = "counter"

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a count or a delete of what this copy has.

        Raises:
            ChangeRefused: ERR: the sum, or what this actor counted, would pass 64 bits.
        """
        del context  # a delete takes what its coordinator has seen, and a count needs to have seen nothing
        assert isinstance(change, Count | Delete), "other changes are of other kinds"
        before, rows = self._rows(part) if part else (stamp, {})
        first = max(1, stamp.wall_ns)
        own = rows.get(actor, _Tally(first, 0, first, 0))
        if isinstance(change, Count):
            total = own.total + change.amount
            if abs(total) > ACTOR_MAX or not -ACTOR_MAX - 1 <= _sum(rows) + change.amount <= ACTOR_MAX:
                raise ChangeRefused("ERR", "increment or decrement would overflow")
            rows[actor] = own._replace(event=own.event + 1, total=total)
        else:
            rows[actor] = own._replace(event=own.event + 1)
            rows = {at: _Tally(row.event, row.total, row.event, row.total) for at, row in rows.items()}
        return self._part(max(before, stamp), rows)

    def check(self, part: bytes) -> bytes:
        """Return the part, or raise `Malformed`."""
        return self._part(*self._rows(part))

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join: for each actor what it counted last, and the highest floor."""
        stamp, rows = self._rows(mine)
        other_stamp, others = self._rows(theirs)
        for actor, row in others.items():
            known = rows.get(actor)
            rows[actor] = row if known is None else known.join(row)
        return self._part(max(stamp, other_stamp), rows)

    def seen(self, part: bytes) -> Seen:
        """Return the sum, in decimal."""
        rows = self._rows(part)[1]
        return Seen((b"%d" % _sum(rows),), (), self.word) if _is_counted(rows) else Seen()

    def sibling_count(self, part: bytes) -> int:
        """Return 1, or 0 for a tombstone."""
        return int(_is_counted(self._rows(part)[1]))

    def token(self, part: bytes) -> bytes:
        """Return which changes of each actor have been seen."""
        stamp, rows = self._rows(part)
        return bytes((self.code,)) + _TOKEN.encode((stamp, [(actor, rows[actor].event) for actor in sorted(rows)]))

    def includes(self, part: bytes, token: bytes) -> bool:
        """Return whether all changes of a token have been seen."""
        decoded = self._decoded(token)
        rows = self._rows(part)[1]
        return decoded is not None and descends({actor: row.event for actor, row in rows.items()}, decoded[1])

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the latest stamp that a token had seen."""
        decoded = self._decoded(token)
        return None if decoded is None else decoded[0]

    def deleted_at_ms(self, part: bytes) -> int | None:
        """Return the time of the last change, if nothing was counted since the last delete."""
        stamp, rows = self._rows(part)
        return None if _is_counted(rows) else stamp.wall_ns // _NS_PER_MS

    def _decoded(self, token: bytes) -> tuple[HybridStamp, Vector] | None:
        if not token or token[0] != self.code:
            return None
        try:
            stamp, pairs = _TOKEN.decode(memoryview(token)[1:])
            return HybridStamp(*stamp), vector_from(pairs)
        except Malformed:
            return None

    def _rows(self, part: bytes) -> tuple[HybridStamp, dict[int, _Tally]]:
        stamp, items = _COUNTER.decode(memoryview(part)[1:])
        rows: dict[int, _Tally] = {}
        for actor, event, total, above, floor_total in items:
            if not 0 <= above <= event:
                raise Malformed("no more was deleted than counted")
            rows[actor] = _Tally(event, total, event - above, floor_total)
        if len(rows) != len(items) or not rows:
            raise Malformed("a counter has one row of each actor")
        return HybridStamp(*stamp), rows

    def _part(self, stamp: HybridStamp, rows: dict[int, _Tally]) -> bytes:
        items = [
            (actor, row.event, row.total, row.event - row.floor_event, row.floor_total)
            for actor, row in sorted(rows.items())
        ]
        return bytes((self.code,)) + _COUNTER.encode((stamp, items))


def _sum(rows: dict[int, _Tally]) -> int:
    return sum(row.total - row.floor_total for row in rows.values())


def _is_counted(rows: dict[int, _Tally]) -> bool:
    # A deletion is an event, and its own floor.
    return any(row.event > row.floor_event for row in rows.values())


class _Rows:
    """What sets and hashes share. A token is the kind and the head of the cell."""

    code: int
    word: str
    # Whether rows say anything.
    says: bool

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a change.

        Without a context, removals take what this node's copy has. With one they take what the client had seen, also
        what has not arrived here yet, and nothing else.

        Raises:
            ChangeRefused: BADTOKEN: the context is none of this keyspace's.
        """
        held = self._held(part) if part else Observed()
        seen = self._seen_by(context, held, actor, stamp)
        event = held.event(actor, stamp)
        match change:
            case Add(members):
                for member in members:
                    held.put(member, event, b"")
            case SetFields(fields):
                for field, value in fields:
                    held.put(field, event, _FIELD.pack(stamp.wall_ns, stamp.logical) + value)
            case Remove(names) | RemoveFields(names):
                for name in names:
                    held.remove(name, seen)
            case Delete():
                held.clear(seen)
            case _:
                raise AssertionError("other changes are of other kinds")
        return self._part(held)

    def check(self, part: bytes) -> bytes:
        """Return the part, or raise `Malformed`."""
        return self._part(self._held(part))

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join: a row lives unless one side has seen and removed it.

        Complexity: O(actors) when theirs is the older one, else O(rows).
        """
        own, other = head_of(_behind_kind(mine)), head_of(_behind_kind(theirs))
        is_plain = not own.deferred_count and not other.deferred_count
        if is_plain and descends(own.vector, other.vector):
            # Whatever theirs holds, we have seen: even rows that cannot be read would not be taken.
            return mine
        others = self._held(theirs)
        if is_plain and descends(other.vector, own.vector):
            return self._part(others)
        return self._part(self._held(mine).join(others))

    def sibling_count(self, part: bytes) -> int:
        """Return 1, or 0 for a tombstone."""
        return int(head_of(_behind_kind(part)).row_count > 0)

    def token(self, part: bytes) -> bytes:
        """Return which changes have been seen."""
        return bytes((self.code,)) + head_bytes(_behind_kind(part))

    def includes(self, part: bytes, token: bytes) -> bool:
        """Return whether all changes of a token have been seen."""
        decoded = self._decoded(token)
        return decoded is not None and descends(head_of(_behind_kind(part)).vector, decoded.vector)

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the latest stamp that a token had seen."""
        decoded = self._decoded(token)
        return None if decoded is None else decoded.stamp

    def deleted_at_ms(self, part: bytes) -> int | None:
        """Return the time of the last change, if nothing is in it."""
        head = head_of(_behind_kind(part))
        return None if head.row_count else head.stamp.wall_ns // _NS_PER_MS

    def _seen_by(self, context: bytes, held: Observed, actor: int, stamp: HybridStamp) -> Vector | None:
        if not context:
            return None
        decoded = self._decoded(context)
        if decoded is None or any(count > stamp.wall_ns + _AHEAD_MAX for count in decoded.vector.values()):
            raise ChangeRefused("BADTOKEN", "the context is not a token of this keyspace")
        # Only this actor gives its events, so a context that has more of them is made up.
        own = held.vector.get(actor, 0)
        seen = {at: min(count, own) if at == actor else count for at, count in decoded.vector.items()}
        return {at: count for at, count in seen.items() if count}

    def _decoded(self, token: bytes) -> Head | None:
        if not token or token[0] != self.code:
            return None
        try:
            head = _behind_kind(token)
            return head_of(head) if len(head_bytes(head)) == len(head) else None
        except Malformed:
            return None

    def _held(self, part: bytes) -> Observed:
        return Observed.from_bytes(_behind_kind(part), says=self.says)

    def _part(self, held: Observed) -> bytes:
        return bytes((self.code,)) + held.to_bytes(says=self.says)


def _behind_kind(part: bytes) -> memoryview:
    return memoryview(part)[1:]


class Set(_Rows):
    """The kind of sets: add wins."""

    code = SET
    word = "set"
    says = False

    def seen(self, part: bytes) -> Seen:
        """Return the members, ascending."""
        members = tuple(sorted(self._held(part).rows))
        return Seen(members, (), self.word) if members else Seen()


class Hash(_Rows):
    """The kind of hashes: a field that is set and removed concurrently stays; of concurrent values the latest shows."""

    code = HASH
    word = "hash"
    says = True

    def seen(self, part: bytes) -> Seen:
        """Return field, value, field, value …, fields ascending."""
        shown: list[bytes] = []
        for field, events in sorted(self._held(part).rows.items()):
            # Stamp, then actor: as of strings whose newest write wins.
            _, _, said = max((said[: _FIELD.size], actor, said) for (actor, _), said in events.items())
            shown += (field, said[_FIELD.size :])
        return Seen(tuple(shown), (), self.word) if shown else Seen()

    def _held(self, part: bytes) -> Observed:
        held = super()._held(part)
        if any(len(said) < _FIELD.size for events in held.rows.values() for said in events.values()):
            raise Malformed("a field has a stamp before its value")
        return held
