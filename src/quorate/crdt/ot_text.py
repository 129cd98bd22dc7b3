"""Operational transformation of text: retain, insert, delete.

Theory. An operation walks over a whole document of the length it was made for. Two that were made for one document
are transformed against each other so that either order ends in one text (TP1): `a.apply(b')` and `b.apply(a')`.
Who inserts first at one place is a rule (`Side`) that both must know: a server gives it.

TP1 holds for all pairs. TP2 (three operations, transformed in any order) holds while no two concurrent insertions
meet at one place after a deletion between them has closed the gap; where they do it fails, as for every type of this
kind, so a server must fix one order of transformations (`Jupiter`), or a CRDT be used.

Source      Ellis, Gibbs 1989; Nichols et al. 1995 (Jupiter); the form with retain as in Wave.
Complexity  O(parts of both) for transform and compose, O(length) for apply.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, TypeAlias

from quorate.kernel import BadPayload, Envelope, errors


class Side(Enum):
    """Whose insertion comes first where two are made at one place."""

    FIRST = "first"
    SECOND = "second"

    def other(self) -> "Side":
        """Return the other's side."""
        return Side.SECOND if self is Side.FIRST else Side.FIRST


class Mismatch(errors.UsageError):
    """An operation was made for another document."""

    code = "MISMATCH"


class Retain(NamedTuple):
    """Step over some characters."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


class Insert(NamedTuple):
    """Put text in."""

    text: str


class Delete(NamedTuple):
    """Take some characters out."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here


Component: TypeAlias = Retain | Insert | Delete


class TextOperation:
    """A change of a whole text, as a value.

    Example:
        >>> left = TextOperation([Retain(1), Insert("x"), Retain(2)])
        >>> right = TextOperation([Delete(2), Retain(1)])
        >>> after_left, after_right = left.transform(right, Side.FIRST), right.transform(left, Side.SECOND)
        >>> after_right.apply(left.apply("abc")), after_left.apply(right.apply("abc"))
        ('xc', 'xc')
    """

    __slots__ = ("components",)

    def __init__(self, components: Iterable[Component] = ()) -> None:
        kept: list[Component] = []
        for component in components:
            _push(kept, component)
        # Neighbours of one kind joined, insertions before deletions: equal changes are equal values.
        self.components = tuple(kept)

    @classmethod
    def edit(cls, length: int, position: int, *, delete: int = 0, insert: str = "") -> "TextOperation":
        """Return the operation for a text of some length that replaces characters at a position.

        Raises:
            Mismatch: they are not all there.
        """
        if not 0 <= position <= position + delete <= length:
            raise Mismatch(f"{delete} characters at {position} of {length}")
        return cls([Retain(position), Insert(insert), Delete(delete), Retain(length - position - delete)])

    @property
    def base_length(self) -> int:
        """How long the text must be."""
        return sum(c.count for c in self.components if not isinstance(c, Insert))

    @property
    def target_length(self) -> int:
        """How long the text is afterwards."""
        return sum(
            len(c.text) if isinstance(c, Insert) else c.count for c in self.components if not isinstance(c, Delete)
        )

    def __eq__(self, other: object) -> bool:
        # By form: a Retain and a Delete of one count are equal as tuples.
        return isinstance(other, TextOperation) and self._forms() == other._forms()

    def __hash__(self) -> int:
        return hash(tuple(self._forms()))

    def __repr__(self) -> str:
        return f"TextOperation({list(self.components)})"

    def apply(self, text: str) -> str:
        """Return the changed text; raise `Mismatch` for one of another length."""
        if len(text) != self.base_length:
            raise Mismatch(f"made for {self.base_length} characters, not {len(text)}")
        found: list[str] = []
        place = 0
        for component in self.components:
            if isinstance(component, Insert):
                found.append(component.text)
                continue
            if isinstance(component, Retain):
                found.append(text[place : place + component.count])
            place += component.count
        return "".join(found)

    def invert(self, text: str) -> "TextOperation":
        """Return what takes this back, given the text before it."""
        if len(text) != self.base_length:
            raise Mismatch(f"made for {self.base_length} characters, not {len(text)}")
        found: list[Component] = []
        place = 0
        for component in self.components:
            match component:
                case Retain(count):
                    found.append(component)
                    place += count
                case Insert(inserted):
                    found.append(Delete(len(inserted)))
                case Delete(count):
                    found.append(Insert(text[place : place + count]))
                    place += count
        return TextOperation(found)

    def compose(self, then: "TextOperation") -> "TextOperation":
        """Return one operation that does this and then another; raise `Mismatch` when they do not follow."""
        if self.target_length != then.base_length:
            raise Mismatch(f"leaves {self.target_length} characters, the next is made for {then.base_length}")
        found: list[Component] = []
        first, second = _Feed(self.components), _Feed(then.components)
        while first.head or second.head:
            if isinstance(first.head, Delete):
                found.append(first.take())
            elif isinstance(second.head, Insert):
                found.append(second.take())
            else:
                count = min(first.size, second.size)
                mine, theirs = first.take(count), second.take(count)
                if isinstance(theirs, Retain):
                    found.append(mine)
                elif isinstance(mine, Retain):
                    found.append(theirs)
        return TextOperation(found)

    def transform(self, other: "TextOperation", side: Side) -> "TextOperation":
        """Return this operation for the text after another one that was made for the same text.

        Raises:
            Mismatch: they were made for texts of different lengths.
        """
        if self.base_length != other.base_length:
            raise Mismatch(f"made for {self.base_length} characters, the other for {other.base_length}")
        found: list[Component] = []
        mine, theirs = _Feed(self.components), _Feed(other.components)
        while mine.head or theirs.head:
            mine_first = side is Side.FIRST or not isinstance(theirs.head, Insert)
            if isinstance(mine.head, Insert) and mine_first:
                found.append(mine.take())
            elif isinstance(theirs.head, Insert):
                found.append(Retain(theirs.size))
                theirs.take()
            else:
                count = min(mine.size, theirs.size)
                own, other_part = mine.take(count), theirs.take(count)
                if not isinstance(other_part, Delete):
                    found.append(own)
        return TextOperation(found)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes: MessagePack array; n > 0 retains, n < 0 deletes, text inserts."""
        return _ENVELOPE.encode(self._forms())

    def _forms(self) -> list[int | str]:
        return [_to_form(component) for component in self.components]

    @classmethod
    def from_bytes(cls, data: bytes) -> "TextOperation":
        """Return the operation in sealed bytes; raise `Undecodable` for anything else."""
        found = cls([_from_form(form) for form in _ENVELOPE.decode(data)])
        if found.to_bytes() != data:
            raise BadPayload("an operation in another form than its own")
        return found


_ENVELOPE: Envelope[list[int | str]] = Envelope("text-operation", 1, list[int | str])


def _to_form(component: Component) -> int | str:
    match component:
        case Retain(count):
            return count
        case Insert(text):
            return text
        case Delete(count):
            return -count


def _from_form(form: int | str) -> Component:
    if isinstance(form, str):
        return Insert(form)
    return Retain(form) if form > 0 else Delete(-form)


def _push(kept: list[Component], component: Component) -> None:
    match component:
        case Insert(text):
            if not text:
                return
            if kept and isinstance(kept[-1], Insert):
                kept[-1] = Insert(kept[-1].text + text)
            elif kept and isinstance(kept[-1], Delete):
                # Both orders do the same; one is kept, so that equal changes are equal.
                gone = kept.pop()
                _push(kept, component)
                kept.append(gone)
            else:
                kept.append(component)
        case Retain(count) | Delete(count):
            if count < 0:
                raise Mismatch(f"a count of {count}")
            if not count:
                return
            last = kept[-1] if kept else None
            if isinstance(last, Retain) and isinstance(component, Retain):
                kept[-1] = Retain(last.count + count)
            elif isinstance(last, Delete) and isinstance(component, Delete):
                kept[-1] = Delete(last.count + count)
            else:
                kept.append(component)


class _Feed:
    """The rest of an operation, taken in pieces."""

    def __init__(self, components: tuple[Component, ...]) -> None:
        self._rest: Iterator[Component] = iter(components)
        self.head: Component | None = next(self._rest, None)

    @property
    def size(self) -> int:
        head = self.head
        assert head is not None, "both operations cover the text"
        return len(head.text) if isinstance(head, Insert) else head.count

    def take(self, count: int | None = None) -> Component:
        """Take the head, or the beginning of it."""
        head = self.head
        assert head is not None, "both operations cover the text"
        if count is None or count == self.size:
            self.head = next(self._rest, None)
            return head
        match head:
            case Insert(text):
                self.head = Insert(text[count:])
                return Insert(text[:count])
            case Retain(size):
                self.head = Retain(size - count)
                return Retain(count)
            case Delete(size):
                self.head = Delete(size - count)
                return Delete(count)
