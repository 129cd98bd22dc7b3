"""Sorted sets by rank, score and name: ZRANGE and its relatives."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan, nan, nextafter
from typing import Final, Literal

from quorate.store.command import command
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import CommandError, Pairs, Reply
from quorate.store.shapes import ONE, TWO, check_key, clamp
from quorate.store.space import Space
from quorate.store.values import SortedSet

Kind = Literal["rank", "score", "lex"]
# Returns the places [first, stop) of a sorted set that a range covers.
Bounds = Callable[[SortedSet], tuple[int, int]]


def _before(value: SortedSet, score: float) -> int:
    """Return how many members have a lower score."""
    return int(value.order.bisect_left((score,)))


def _through(value: SortedSet, score: float) -> int:
    """Return how many members have at most a score."""
    return len(value) if score == inf else _before(value, nextafter(score, inf))


def _limit(text: bytes) -> tuple[float, bool]:
    """Return a bound of a score range and whether it is exclusive."""
    is_open = text[:1] == b"("
    number = text[1:] if is_open else text
    try:
        score = float(number) if b"_" not in number and not number[-1:].isspace() else nan
    except ValueError:
        score = nan
    if isnan(score):
        raise CommandError("ERR", "min or max is not a float")
    return score, is_open


def score_bounds(low_text: bytes, high_text: bytes) -> Bounds:
    """Return the bounds of a range of scores."""
    low, is_low_open = _limit(low_text)
    high, is_high_open = _limit(high_text)

    def places(value: SortedSet) -> tuple[int, int]:
        first = _through(value, low) if is_low_open else _before(value, low)
        stop = _before(value, high) if is_high_open else _through(value, high)
        return first, max(first, stop)

    return places


def lex_bounds(low: bytes, high: bytes) -> Bounds:
    """Return the bounds of a range of names; defined where all scores are the same."""
    for text in (low, high):
        if text not in (b"-", b"+") and text[:1] not in (b"[", b"("):
            raise CommandError("ERR", "min or max not valid string range item")

    def place(value: SortedSet, text: bytes, *, is_low: bool) -> int:
        if text in (b"-", b"+"):
            return 0 if text == b"-" else len(value)
        cell = (value.order[0][0], text[1:])
        is_after = (text[:1] == b"(") == is_low
        return int(value.order.bisect_right(cell) if is_after else value.order.bisect_left(cell))

    def places(value: SortedSet) -> tuple[int, int]:
        if not len(value):
            return 0, 0
        first = place(value, low, is_low=True)
        return first, max(first, place(value, high, is_low=False))

    return places


def rank_bounds(low: bytes, high: bytes, *, is_reverse: bool = False) -> Bounds:
    """Return the bounds of a range of ranks, counted from the highest score when `is_reverse`."""
    start, end = integer(low), integer(high)

    def places(value: SortedSet) -> tuple[int, int]:
        first, stop = clamp(start, end, len(value))
        if first >= len(value):
            return 0, 0
        return (len(value) - stop, len(value) - first) if is_reverse else (first, stop)

    return places


@dataclass(frozen=True, slots=True)
class _Range:
    """One parsed call of the ZRANGE family."""

    bounds: Bounds
    is_reverse: bool
    offset: int
    # Negative: no limit.
    count: int
    with_scores: bool

    def select(self, value: SortedSet) -> list[tuple[float, bytes]]:
        """Return (score, member) pairs in the order asked for.

        Complexity: O(log n + selected), n members.
        """
        first, stop = self.bounds(value)
        if self.offset < 0:
            return []
        if self.is_reverse:
            stop = max(first, stop - self.offset)
            first = first if self.count < 0 else max(first, stop - self.count)
        else:
            first = min(first + self.offset, stop)
            stop = stop if self.count < 0 else min(stop, first + self.count)
        pairs = list(value.order[first:stop])
        return pairs[::-1] if self.is_reverse else pairs


_KINDS: Final[dict[bytes, Kind]] = {b"BYSCORE": "score", b"BYLEX": "lex"}


def _parse(
    args: list[bytes], place: int, *, kind: Kind | None = None, is_reverse: bool | None = None, is_store: bool = False
) -> _Range:
    """Read a call.

    Args:
        args: of the command.
        place: where the first bound stands.
        kind: None when options may choose it.
        is_reverse: None when an option may choose it.
        is_store: whether WITHSCORES is no option.
    """
    low, high = args[place], args[place + 1]
    offset, count, has_limit, with_scores = 0, -1, False, False
    chosen_kind, chosen_reverse = kind, is_reverse
    place += 2
    while place < len(args):
        word = args[place].upper()
        if word == b"WITHSCORES" and not is_store:
            with_scores = True
        elif word == b"LIMIT" and place + 2 < len(args):
            offset, count, has_limit = integer(args[place + 1]), integer(args[place + 2]), True
            place += 2
        elif word == b"REV" and chosen_reverse is None:
            chosen_reverse = True
        elif word in _KINDS and chosen_kind is None:
            chosen_kind = _KINDS[word]
        else:
            raise syntax_error()
        place += 1
    reverse = bool(chosen_reverse)
    # A LIMIT of no rows at all (`LIMIT 0 -1`) is as good as none, as in Redis.
    if has_limit and count != -1 and chosen_kind in (None, "rank"):
        raise CommandError("ERR", "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
    if with_scores and chosen_kind == "lex":
        raise CommandError("ERR", "syntax error, WITHSCORES not supported in combination with BYLEX")
    if chosen_kind in ("score", "lex"):
        low, high = (high, low) if reverse else (low, high)
        bounds = score_bounds(low, high) if chosen_kind == "score" else lex_bounds(low, high)
        return _Range(bounds, reverse, offset, count, with_scores)
    return _Range(rank_bounds(low, high, is_reverse=reverse), reverse, 0, -1, with_scores)


def _reply(space: Space, key: bytes, wanted: _Range) -> Reply:
    entry = space.find_as(key, SortedSet)
    pairs = [] if entry is None else wanted.select(entry.value)
    if wanted.with_scores:
        return Pairs([(member, score) for score, member in pairs])
    return [member for _, member in pairs]


@command("ZRANGE", -4, "readonly", ONE)
def zrange(space: Space, args: list[bytes]) -> Reply:
    """ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]."""
    return _reply(space, args[1], _parse(args, 2))


@command("ZREVRANGE", -4, "readonly", ONE)
def zrevrange(space: Space, args: list[bytes]) -> Reply:
    """ZREVRANGE key start stop [WITHSCORES]."""
    return _reply(space, args[1], _parse(args, 2, kind="rank", is_reverse=True))


@command("ZRANGEBYSCORE", -4, "readonly", ONE)
def zrangebyscore(space: Space, args: list[bytes]) -> Reply:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]."""
    return _reply(space, args[1], _parse(args, 2, kind="score", is_reverse=False))


@command("ZREVRANGEBYSCORE", -4, "readonly", ONE)
def zrevrangebyscore(space: Space, args: list[bytes]) -> Reply:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]."""
    return _reply(space, args[1], _parse(args, 2, kind="score", is_reverse=True))


@command("ZRANGEBYLEX", -4, "readonly", ONE)
def zrangebylex(space: Space, args: list[bytes]) -> Reply:
    """ZRANGEBYLEX key min max [LIMIT offset count]."""
    return _reply(space, args[1], _parse(args, 2, kind="lex", is_reverse=False))


@command("ZREVRANGEBYLEX", -4, "readonly", ONE)
def zrevrangebylex(space: Space, args: list[bytes]) -> Reply:
    """ZREVRANGEBYLEX key max min [LIMIT offset count]."""
    return _reply(space, args[1], _parse(args, 2, kind="lex", is_reverse=True))


@command("ZRANGESTORE", -5, "write denyoom", TWO)
def zrangestore(space: Space, args: list[bytes]) -> Reply:
    """ZRANGESTORE destination source start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]."""
    wanted = _parse(args, 3, is_store=True)
    entry = space.find_as(args[2], SortedSet)
    pairs = [] if entry is None else wanted.select(entry.value)
    check_key(space, args[1])
    if pairs:
        space.put(args[1], SortedSet(pairs))
    else:
        space.delete(args[1])
    return len(pairs)


def _count(space: Space, key: bytes, bounds: Bounds) -> int:
    entry = space.find_as(key, SortedSet)
    if entry is None:
        return 0
    first, stop = bounds(entry.value)
    return stop - first


@command("ZCOUNT", 4, "readonly fast", ONE)
def zcount(space: Space, args: list[bytes]) -> Reply:
    """ZCOUNT key min max."""
    return _count(space, args[1], score_bounds(args[2], args[3]))


@command("ZLEXCOUNT", 4, "readonly fast", ONE)
def zlexcount(space: Space, args: list[bytes]) -> Reply:
    """ZLEXCOUNT key min max."""
    return _count(space, args[1], lex_bounds(args[2], args[3]))


def _remove(space: Space, key: bytes, bounds: Bounds) -> int:
    entry = space.mutable(key, SortedSet)
    if entry is None:
        return 0
    first, stop = bounds(entry.value)
    for _, member in list(entry.value.order[first:stop]):
        entry.value.discard(member)
    if stop > first:
        space.changed(key, entry)
    return max(stop - first, 0)


@command("ZREMRANGEBYRANK", 4, "write", ONE)
def zremrangebyrank(space: Space, args: list[bytes]) -> Reply:
    """ZREMRANGEBYRANK key start stop."""
    return _remove(space, args[1], rank_bounds(args[2], args[3]))


@command("ZREMRANGEBYSCORE", 4, "write", ONE)
def zremrangebyscore(space: Space, args: list[bytes]) -> Reply:
    """ZREMRANGEBYSCORE key min max."""
    return _remove(space, args[1], score_bounds(args[2], args[3]))


@command("ZREMRANGEBYLEX", 4, "write", ONE)
def zremrangebylex(space: Space, args: list[bytes]) -> Reply:
    """ZREMRANGEBYLEX key min max."""
    return _remove(space, args[1], lex_bounds(args[2], args[3]))
