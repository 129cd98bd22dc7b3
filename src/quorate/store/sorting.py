"""SORT: the elements of a list, set or sorted set in an order of the caller's choice."""

from dataclasses import dataclass, field

from quorate.store.command import command
from quorate.store.parse import integer, real, syntax_error
from quorate.store.reply import Reply
from quorate.store.shapes import ONE, check_elements, check_key
from quorate.store.space import Space, WrongTypeError
from quorate.store.values import Hash, List, Set, SortedSet


@dataclass(slots=True)
class _Options:
    """One parsed call."""

    by: bytes | None = None
    offset: int = 0
    # Negative: no limit.
    count: int = -1
    patterns: list[bytes] = field(default_factory=list)
    is_descending: bool = False
    is_alphabetic: bool = False
    target: bytes | None = None

    @property
    def has_no_order(self) -> bool:
        """Whether the caller asks for the order of the collection: by a pattern that no element changes."""
        return self.by is not None and b"*" not in self.by


def _parse(args: list[bytes], *, takes_store: bool) -> _Options:
    options = _Options()
    place = 2
    while place < len(args):
        word, left = args[place].upper(), len(args) - place - 1
        if word in (b"ASC", b"DESC"):
            options.is_descending = word == b"DESC"
        elif word == b"ALPHA":
            options.is_alphabetic = True
        elif word == b"LIMIT" and left >= 2:
            options.offset, options.count = integer(args[place + 1]), integer(args[place + 2])
            place += 2
        elif word == b"STORE" and left >= 1 and takes_store:
            options.target = args[place + 1]
            place += 1
        elif word == b"BY" and left >= 1:
            options.by = args[place + 1]
            place += 1
        elif word == b"GET" and left >= 1:
            options.patterns.append(args[place + 1])
            place += 1
        else:
            raise syntax_error()
        place += 1
    return options


def _elements(space: Space, key: bytes) -> list[bytes]:
    entry = space.find(key)
    match None if entry is None else entry.value:
        case None:
            return []
        case List() | Set() as value:
            return list(value)
        case SortedSet() as value:
            return [member for _, member in value.order]
        case _:
            raise WrongTypeError


def _look_up(space: Space, pattern: bytes, element: bytes) -> bytes | None:
    """Return what a BY or GET pattern means for an element; None when there is nothing."""
    if pattern == b"#":
        return element
    name, star, rest = pattern.partition(b"*")
    if not star:
        return None
    tail, arrow, hash_field = rest.partition(b"->")
    is_field = bool(arrow and hash_field)
    entry = space.find(name + element + (tail if is_field else rest))
    if entry is None:
        return None
    if is_field:
        return entry.value.get(hash_field) if isinstance(entry.value, Hash) else None
    return entry.value if isinstance(entry.value, bytes) else None


def _weight(space: Space, options: _Options, element: bytes) -> float:
    text = element if options.by is None else _look_up(space, options.by, element)
    return 0.0 if not text else real(text, "One or more scores can't be converted into double")


def _sorted(space: Space, options: _Options, elements: list[bytes]) -> list[bytes]:
    if options.has_no_order:
        return elements
    if options.is_alphabetic:
        by = options.by
        keys = {element: element if by is None else _look_up(space, by, element) for element in elements}
        order = {element: (key is not None, key or b"") for element, key in keys.items()}
        return sorted(elements, key=order.__getitem__, reverse=options.is_descending)
    weights = {element: _weight(space, options, element) for element in elements}
    return sorted(elements, key=lambda element: (weights[element], element), reverse=options.is_descending)


def _run(space: Space, args: list[bytes], *, takes_store: bool) -> Reply:
    options = _parse(args, takes_store=takes_store)
    elements = _elements(space, args[1])
    entry = space.find(args[1])
    if options.is_descending and options.has_no_order and entry is not None and not isinstance(entry.value, Set):
        elements.reverse()
    ordered = _sorted(space, options, elements)
    first = max(options.offset, 0)
    chosen = ordered[first:] if options.count < 0 else ordered[first : first + options.count]
    found: list[bytes | None] = [
        _look_up(space, pattern, element) for element in chosen for pattern in options.patterns or [b"#"]
    ]
    if options.target is None:
        return list(found)
    kept = List(b"" if element is None else element for element in found)
    check_key(space, options.target)
    check_elements(space, (), len(kept))
    if kept:
        space.put(options.target, kept)
    else:
        space.delete(options.target)
    return len(kept)


@command("SORT", -2, "write denyoom movablekeys", ONE)
def sort(space: Space, args: list[bytes]) -> Reply:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA] [STORE destination]."""
    return _run(space, args, takes_store=True)


@command("SORT_RO", -2, "readonly movablekeys", ONE)
def sort_ro(space: Space, args: list[bytes]) -> Reply:
    """SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC | DESC] [ALPHA]."""
    return _run(space, args, takes_store=False)
