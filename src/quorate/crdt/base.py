"""One shape for every replicated type: a state that joins, mutators that return what changed, bytes.

Theory. The states of a type form a join semilattice: `merge` is the least upper bound, so it is commutative,
associative and idempotent, and replicas that saw the same changes are equal, whatever the order or repetition.
A mutator changes the state and returns a *delta*: a small state that others merge (delta-state). A full state is the
largest delta (state-based). A delta sent once through a causal channel is an operation (operation-based: `delivery`).

Source      Shapiro et al. 2011, "Conflict-free replicated data types"; Almeida, Shoker, Baquero 2018 (deltas).
Deviations  Objects are mutable; `copy` where a value is wanted. Deltas of lists are a type of their own.
"""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Final, Generic, Self, TypeAlias, TypeVar

import msgspec

from quorate.clocks import ACTOR_MAX, BadActor
from quorate.kernel import BadPayload, errors

Element: TypeAlias = int | str | bytes
"""What sets hold and maps are keyed by: equal here is equal everywhere, as bytes too."""

Actor: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=ACTOR_MAX)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=ACTOR_MAX)]
"""Types for decoding; an integer of each range."""

D = TypeVar("D")
INT64_MIN: Final = -(2**63)
UINT64_MAX: Final = 2**64 - 1


class NoActor(errors.UsageError):
    """A value without an actor (a delta, a decoded state) was asked to change; give it an actor first."""

    code = "NOACTOR"


class WrongCRDT(errors.UsageError):
    """Two values of different types were to be merged; nothing was changed."""

    code = "WRONGCRDT"


class BadElement(errors.UsageError):
    """An element or key is not text, bytes or a 64-bit integer."""

    code = "BADELEMENT"


class BadValue(errors.UsageError):
    """A value is not plain data: None, bool, 64-bit int, float, str, bytes, and lists and dicts of them."""

    code = "BADVALUE"


class BadAmount(errors.UsageError):
    """An amount to count by is not an integer of the allowed range."""

    code = "BADAMOUNT"


class NotPresent(errors.UsageError):
    """An element to remove is not here, and no context says when it was seen."""

    code = "NOTPRESENT"


class CRDT(ABC, Generic[D]):
    """A replicated value; `D` is the type of its deltas (the type itself, but for lists).

    An object with an actor may change; each actor must live at one replica only, and never be used again after its
    replica lost state. Equality compares states, not actors.
    """

    kind: ClassVar[str]
    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, *, actor: int | None = None) -> None:
        if actor is not None and (not isinstance(actor, int) or isinstance(actor, bool) or not 0 <= actor <= ACTOR_MAX):
            raise BadActor(f"an actor is an integer from 0 to 2**63-1, not {actor!r}")
        self.actor = actor

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take over all that another replica knows.

        Raises:
            WrongCRDT: the other is of another type; nothing was changed.
        """

    @abstractmethod
    def apply(self, delta: D) -> None:
        """Take over a delta of another replica; again and in any order is harmless."""

    @abstractmethod
    def delta(self, since: Self) -> D:
        """Return what this state knows beyond another one: small, and enough to bring the other up to this."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return the sealed bytes; equal states give equal bytes."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the value in sealed bytes; raise a subclass of `Undecodable` for anything else."""

    def copy(self, *, actor: int | None = None) -> Self:
        """Return an independent replica of the same state for an actor. Complexity: O(size)."""
        return type(self).from_bytes(self.to_bytes(), actor=actor)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, CRDT) and self.to_bytes() == other.to_bytes()

    def __reduce__(self) -> tuple[object, ...]:
        return _unpickle, (type(self), self.to_bytes(), self.actor)

    def _actor(self) -> int:
        if self.actor is None:
            raise NoActor(f"a {self.kind} without an actor cannot be changed; use copy(actor=...)")
        return self.actor

    def _check(self, other: object) -> None:
        if type(other) is not type(self):
            raise WrongCRDT(f"a {self.kind} does not merge with {getattr(other, 'kind', type(other).__name__)!r}")


def _unpickle(kind: type[CRDT[D]], data: bytes, actor: int | None) -> CRDT[D]:
    return kind.from_bytes(data, actor=actor)


def checked_element(element: Element) -> Element:
    """Return an element; raise `BadElement` when it is not text, bytes or a 64-bit integer."""
    if isinstance(element, int) and not isinstance(element, bool) and INT64_MIN <= element <= UINT64_MAX:
        return element
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        # Lone surrogates are no text: they cannot be encoded.
        try:
            element.encode()
        except UnicodeEncodeError as cause:
            raise BadElement(f"not valid text: {element!r}") from cause
        return element
    raise BadElement(f"an element is text, bytes or a 64-bit integer, not {element!r}")


def element_from(wire: object) -> Element:
    """Return an element that was decoded; raise `BadPayload` when it is none."""
    if isinstance(wire, int | str | bytes) and not isinstance(wire, bool):
        return wire
    raise BadPayload("an element is text, bytes or an integer")


def checked_amount(amount: int) -> int:
    """Return an amount of 1 to 2⁶³-1; raise `BadAmount` for anything else."""
    if not isinstance(amount, int) or isinstance(amount, bool) or not 1 <= amount <= ACTOR_MAX:
        raise BadAmount(f"an amount is an integer from 1 to 2**63-1, not {amount!r}")
    return amount


def ordered(element: Element) -> tuple[int, Element]:
    """Return a sort key that orders integers, text and bytes among each other."""
    return (0 if isinstance(element, int) else 1 if isinstance(element, str) else 2, element)


# Deterministic: equal dicts give equal bytes, whatever the order of insertion.
_PACK: Final = msgspec.msgpack.Encoder(order="deterministic")


def pack(value: object) -> bytes:
    """Return a plain value as bytes, equal for equal values; raise `BadValue` for what is not plain."""
    try:
        _check_plain(value)
        data = _PACK.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as cause:
        raise BadValue(f"not plain data: {cause}") from cause
    return data


def unpack(data: bytes) -> object:
    """Return the plain value in bytes; raise `BadPayload` when they are none."""
    try:
        value = msgspec.msgpack.decode(data)
        _check_plain(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as cause:
        raise BadPayload(f"a value that is not plain data: {cause}") from cause
    return value


def _check_plain(value: object) -> None:
    """Raise TypeError for what MessagePack can carry and JSON-like data has not: extensions, times, odd keys."""
    if isinstance(value, list):
        for item in value:
            _check_plain(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key that is not text: {key!r}")
            _check_plain(item)
    elif value is not None and not isinstance(value, bool | int | float | str | bytes):
        raise TypeError(f"{type(value).__name__}")
