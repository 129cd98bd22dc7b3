"""Strings that keep concurrent values side by side until somebody who has seen them writes again.

Theory. A cell is a dotted version set: per actor the count of its events and the values of the latest that still live.
A put through an owner replaces what its context had seen and adds one value under a new dot, so siblings are exactly
the concurrent values, never more than writers. A delete is a put of a tombstone, which hides; concurrent values stay.

`merge:NAME` gives siblings to a function. Cells still join as dotted version sets and nothing else, so replicas
converge whatever the function does: it is asked only where a client *reads* several values (the result is shown and
not written), and where a client *writes* beside values that it had not seen (the result is written as one value under
the new dot, which replaces them all). A merge at each replica for itself would give one event two meanings.

Dots are counted on from the wall time of the stamp, so that one given before a purge, which another replica may still
know, is not given again, not even to a client whose context is from before it. Source: Riak's key epochs, which draw a
new actor instead.

Source      Almeida et al. 2014 (dotted version vector sets), section 5; Dynamo section 4.4; Riak (allow_mult).
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from quorate.clocks import ACTOR_MAX, DottedVersionSet, HybridStamp, VersionVector
from quorate.kernel import BadPayload, Codec, Malformed, errors, marks
from quorate.protocols.leaderless.cells import SIBLINGS
from quorate.protocols.leaderless.changes import AnyChange, Delete, Put
from quorate.protocols.leaderless.rules import ChangeRefused, Seen

MergeFunction = Callable[[tuple[bytes, ...]], bytes]
"""Makes one value of several, which are ascending; pure. Best commutative, associative and idempotent."""

_NS_PER_MS: Final = 1_000_000
_CODE: Final = bytes((SIBLINGS,))
# How far a counter in a client's context may be above the clock before it is taken for nonsense: 18 minutes.
_AHEAD_MAX: Final = 1 << 40


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One sibling, as bytes under its dot."""

    wall_ms: int
    is_deleted: bool
    notes: tuple[bytes, ...]
    value: bytes


class _Token(NamedTuple):
    items: list[tuple[int, int]]
    # The newest living or deleted value's time.
    wall_ms: int


_VALUE: Codec[_Value] = Codec(_Value)
_TOKEN: Codec[_Token] = Codec(_Token)
_ROWS: Codec[list[tuple[int, int, tuple[bytes, ...]]]] = Codec(list[tuple[int, int, tuple[bytes, ...]]])


class Siblings:
    """The kind of strings of the rules `siblings` and `merge:NAME`."""

    code = SIBLINGS
    word = "string"

    def __init__(self, merge_function: MergeFunction | None = None) -> None:
        self._merge_function = merge_function

    def change(self, part: bytes, change: AnyChange, *, actor: int, stamp: HybridStamp, context: bytes) -> bytes:
        """Return the part after a put or delete.

        Raises:
            ChangeRefused: BADTOKEN: the context is none of this keyspace's; MERGEFAILED: the merge function raised.
        """
        assert isinstance(change, Put | Delete), "other changes are of other kinds"
        held = _set_of(part)
        read = self._read_by(context, stamp)
        if isinstance(change, Delete) and not context:
            # "Remove the key, whatever it holds": what this owner has seen of it.
            read = held.context()
        # Only this actor gives its dots, so a context that has more of them is made up.
        read = VersionVector({at: min(n, held.context()[at]) if at == actor else n for at, n in read.items()})
        made = _made(change, stamp)
        if isinstance(change, Put) and self._merge_function is not None:
            beside = [value for value in _values(held.discard(read)) if not value.is_deleted]
            if beside:
                marks.hit("leaderless: a write merges the siblings that it had not seen")
                made, read = self._collapse([*beside, made], made.wall_ms), held.context()
        kept = _counted_on(held.discard(read), actor, stamp)
        return _part(kept.put(_VALUE.encode(made), actor=actor, context=read))

    def check(self, part: bytes) -> bytes:
        """Return the part, or raise `Malformed`."""
        held = _set_of(part)
        _values(held)
        return _part(held)

    def merge(self, mine: bytes, theirs: bytes) -> bytes:
        """Return the join: a value lives unless one side has seen and replaced it."""
        others = _set_of(theirs)
        _values(others)
        return _part(_set_of(mine).sync(others))

    def seen(self, part: bytes) -> Seen:
        """Return the living values; with a merge function, what it makes of them."""
        alive = [value for value in _values(_set_of(part)) if not value.is_deleted]
        if not alive:
            return Seen()
        if self._merge_function is not None and len(alive) > 1:
            try:
                alive = [self._collapse(alive, 0)]
            except ChangeRefused:
                marks.hit("leaderless: a merge function failed at a read")  # all values are shown instead
        notes = tuple(note for value in alive for note in value.notes)
        return Seen(tuple(value.value for value in alive), notes, "string")

    def sibling_count(self, part: bytes) -> int:
        """Return how many values live."""
        return sum(not value.is_deleted for value in _values(_set_of(part)))

    def token(self, part: bytes) -> bytes:
        """Return what has been seen, and the time of the newest value."""
        held = _set_of(part)
        wall_ms = max((value.wall_ms for value in _values(held)), default=0)
        return _CODE + _TOKEN.encode(_Token(held.context().items(), wall_ms))

    def includes(self, part: bytes, token: bytes) -> bool:
        """Return whether all events of a token were seen."""
        decoded = _decoded(token)
        return decoded is not None and _set_of(part).context().descends(decoded[0])

    def stamp(self, token: bytes) -> HybridStamp | None:
        """Return the time of the newest value that a token had seen."""
        decoded = _decoded(token)
        return None if decoded is None else HybridStamp(decoded[1] * _NS_PER_MS, 0, 0)

    def deleted_at_ms(self, part: bytes) -> int | None:
        """Return the time of the newest tombstone, if there is nothing else."""
        values = _values(_set_of(part))
        if any(not value.is_deleted for value in values):
            return None
        return max((value.wall_ms for value in values), default=0)

    def _read_by(self, context: bytes, stamp: HybridStamp) -> VersionVector:
        if not context:
            return VersionVector()
        decoded = _decoded(context)
        if decoded is None or any(n > stamp.wall_ns + _AHEAD_MAX for _, n in decoded[0].items()):
            raise ChangeRefused("BADTOKEN", "the context is not a token of this keyspace")
        return decoded[0]

    def _collapse(self, values: list[_Value], wall_ms: int) -> _Value:
        assert self._merge_function is not None, "only rules with a function collapse"
        try:
            one = self._merge_function(tuple(sorted(value.value for value in values)))
        except Exception as cause:
            raise ChangeRefused("MERGEFAILED", f"the merge function raised {cause!r:.200}") from cause
        if not isinstance(one, bytes):
            raise ChangeRefused("MERGEFAILED", "the merge function returned something that is not bytes")
        notes = sorted(dict.fromkeys(note for value in values for note in value.notes))
        return _Value(wall_ms, False, tuple(notes), one)  # noqa: FBT003  a record's field


def _counted_on(kept: DottedVersionSet, actor: int, stamp: HybridStamp) -> DottedVersionSet:
    """Return the set with an actor's count moved on to the time of a stamp, unless a value of its own lives.

    Living values of one actor have dots that follow one another, so where one is left the count goes on from there.
    """
    ahead = kept.sync(DottedVersionSet({actor: (max(1, stamp.wall_ns), ())}))
    return ahead if len(ahead) == len(kept) else kept


def _made(change: Put | Delete, stamp: HybridStamp) -> _Value:
    value = change.value if isinstance(change, Put) else b""
    return _Value(stamp.wall_ns // _NS_PER_MS, isinstance(change, Delete), (change.note,), value)


def _part(held: DottedVersionSet) -> bytes:
    return _CODE + _ROWS.encode(held.items())


def _set_of(part: bytes) -> DottedVersionSet:
    if not part:
        return DottedVersionSet()
    try:
        return DottedVersionSet.from_items(_ROWS.decode(memoryview(part)[1:]))
    except errors.UsageError as cause:
        raise Malformed(f"siblings that cannot be read: {cause}") from cause


def _values(held: DottedVersionSet) -> list[_Value]:
    return [_VALUE.decode(value) for value in held.values()]


def _decoded(token: bytes) -> tuple[VersionVector, int] | None:
    """Return what a token had seen and the time of its newest value; None if it is malformed."""
    try:
        items, wall_ms = _TOKEN.decode(memoryview(token)[1:])
        vector = VersionVector.from_items(items)
    except (Malformed, BadPayload):
        return None
    return (vector, wall_ms) if 0 <= wall_ms <= ACTOR_MAX // _NS_PER_MS else None
