"""Union, intersection and difference of sorted sets; plain sets take part with score 1."""

from dataclasses import dataclass
from math import isnan

from quorate.store.command import command
from quorate.store.parse import integer, real, syntax_error
from quorate.store.reply import CommandError, Pairs, Reply
from quorate.store.shapes import check_elements, check_key
from quorate.store.space import Space, WrongTypeError
from quorate.store.values import Set, SortedSet

Scores = dict[bytes, float]


@dataclass(frozen=True, slots=True)
class _Call:
    """One parsed call."""

    operands: list[Scores]
    weights: list[float]
    aggregate: bytes
    with_scores: bool


def _read(space: Space, key: bytes) -> Scores:
    entry = space.find(key)
    match None if entry is None else entry.value:
        case None:
            return {}
        case SortedSet() as value:
            return {member: score for score, member in value.order}
        case Set() as value:
            return dict.fromkeys(value, 1.0)
        case _:
            raise WrongTypeError


def _read_keys(space: Space, args: list[bytes], place: int) -> tuple[list[Scores], list[bytes]]:
    """Return the operands behind their number at a place, and the arguments behind them."""
    count = integer(args[place])
    if count < 1:
        name = args[0].decode("ascii").lower()
        raise CommandError("ERR", f"at least 1 input key is needed for '{name}' command")
    if count > len(args) - place - 1:
        raise syntax_error()
    keys = args[place + 1 : place + 1 + count]
    return [_read(space, key) for key in keys], args[place + 1 + count :]


def _parse(space: Space, args: list[bytes], place: int, *, is_difference: bool, is_store: bool) -> _Call:
    operands, rest = _read_keys(space, args, place)
    weights, aggregate, with_scores = [1.0] * len(operands), b"SUM", False
    at = 0
    while at < len(rest):
        word = rest[at].upper()
        if word == b"WEIGHTS" and not is_difference and len(rest) - at > len(operands):
            weights = [real(text, "weight value is not a float") for text in rest[at + 1 : at + 1 + len(operands)]]
            at += 1 + len(operands)
        elif word == b"AGGREGATE" and not is_difference and at + 1 < len(rest):
            aggregate = rest[at + 1].upper()
            if aggregate not in (b"SUM", b"MIN", b"MAX"):
                raise syntax_error()
            at += 2
        elif word == b"WITHSCORES" and not is_store:
            with_scores = True
            at += 1
        else:
            raise syntax_error()
    return _Call(operands, weights, aggregate, with_scores)


def _weighed(score: float, weight: float) -> float:
    product = score * weight
    return 0.0 if isnan(product) else product


def _combined(aggregate: bytes, left: float, right: float) -> float:
    if aggregate == b"SUM":
        total = left + right
        return 0.0 if isnan(total) else total
    return min(left, right) if aggregate == b"MIN" else max(left, right)


def _ordered(call: _Call) -> list[tuple[Scores, float]]:
    """Return operands and weights, the smallest operand first: the order in which scores are summed."""
    return sorted(zip(call.operands, call.weights, strict=True), key=lambda pair: len(pair[0]))


def _union(call: _Call) -> Scores:
    result: Scores = {}
    for scores, weight in _ordered(call):
        for member, score in scores.items():
            weighed = _weighed(score, weight)
            old = result.get(member)
            result[member] = weighed if old is None else _combined(call.aggregate, old, weighed)
    return result


def _intersection(call: _Call) -> Scores:
    (first, first_weight), *others = _ordered(call)
    result: Scores = {}
    for member, score in first.items():
        if all(member in scores for scores, _ in others):
            total = _weighed(score, first_weight)
            for scores, weight in others:
                total = _combined(call.aggregate, total, _weighed(scores[member], weight))
            result[member] = total
    return result


def _difference(call: _Call) -> Scores:
    first, *others = call.operands
    return {member: score for member, score in first.items() if not any(member in other for other in others)}


def _reply(result: Scores, call: _Call) -> Reply:
    pairs = sorted((score, member) for member, score in result.items())
    if call.with_scores:
        return Pairs([(member, score) for score, member in pairs])
    return [member for _, member in pairs]


def _store(space: Space, key: bytes, result: Scores) -> Reply:
    check_key(space, key)
    check_elements(space, (), len(result))
    if result:
        space.put(key, SortedSet((score, member) for member, score in result.items()))
    else:
        space.delete(key)
    return len(result)


@command("ZUNION", -3, "readonly movablekeys", count_at=1)
def zunion(space: Space, args: list[bytes]) -> Reply:
    """ZUNION numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]."""
    call = _parse(space, args, 1, is_difference=False, is_store=False)
    return _reply(_union(call), call)


@command("ZINTER", -3, "readonly movablekeys", count_at=1)
def zinter(space: Space, args: list[bytes]) -> Reply:
    """ZINTER numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]."""
    call = _parse(space, args, 1, is_difference=False, is_store=False)
    return _reply(_intersection(call), call)


@command("ZDIFF", -3, "readonly movablekeys", count_at=1)
def zdiff(space: Space, args: list[bytes]) -> Reply:
    """ZDIFF numkeys key … [WITHSCORES]."""
    call = _parse(space, args, 1, is_difference=True, is_store=False)
    return _reply(_difference(call), call)


@command("ZUNIONSTORE", -4, "write denyoom movablekeys", (1, 1, 1), count_at=2)
def zunionstore(space: Space, args: list[bytes]) -> Reply:
    """ZUNIONSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX]."""
    return _store(space, args[1], _union(_parse(space, args, 2, is_difference=False, is_store=True)))


@command("ZINTERSTORE", -4, "write denyoom movablekeys", (1, 1, 1), count_at=2)
def zinterstore(space: Space, args: list[bytes]) -> Reply:
    """ZINTERSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM | MIN | MAX]."""
    return _store(space, args[1], _intersection(_parse(space, args, 2, is_difference=False, is_store=True)))


@command("ZDIFFSTORE", -4, "write denyoom movablekeys", (1, 1, 1), count_at=2)
def zdiffstore(space: Space, args: list[bytes]) -> Reply:
    """ZDIFFSTORE destination numkeys key …."""
    return _store(space, args[1], _difference(_parse(space, args, 2, is_difference=True, is_store=True)))


@command("ZINTERCARD", -3, "readonly movablekeys", count_at=1)
def zintercard(space: Space, args: list[bytes]) -> Reply:
    """ZINTERCARD numkeys key … [LIMIT limit]."""
    operands, rest = _read_keys(space, args, 1)
    limit = 0
    if rest:
        if len(rest) != 2 or rest[0].upper() != b"LIMIT":
            raise syntax_error()
        limit = integer(rest[1], "LIMIT can't be negative")
        if limit < 0:
            raise CommandError("ERR", "LIMIT can't be negative")
    count = len(_intersection(_Call(operands, [1.0] * len(operands), b"SUM", with_scores=False)))
    return min(count, limit) if limit else count
