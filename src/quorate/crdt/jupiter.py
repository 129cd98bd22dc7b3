"""Jupiter: one server orders everybody's operations; clients type on without waiting, and can undo.

Theory. A client has one operation under way and joins what is typed meanwhile into a second one (its buffer). The
server transforms an arriving operation over all it has ordered since the client's revision, and sends the result to
all; clients transform it over what they have under way. Only TP1 is needed, because server and client walk the same
two-sided square. What the server has ordered is `Side.FIRST`.

Source      Nichols et al. 1995 (Jupiter); one operation under way, acknowledged, as in Wave.
Complexity  A submit costs O(operations since the client's revision) transformations.
Bounds      `history_count_max` ordered operations are kept; a client further behind must load the document anew.
"""

from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from quorate.crdt.ot_text import Side
from quorate.kernel import errors


class Transformable(Protocol):
    """An operation type: text or JSON."""

    def apply(self, document: Any, /) -> Any:
        """Return the changed document."""

    def invert(self, document: Any, /) -> Self:
        """Return what takes it back."""

    def compose(self, then: Self, /) -> Self:
        """Return both as one."""

    def transform(self, other: Self, side: Side, /) -> Self:
        """Return it for the document after another one."""


O = TypeVar("O", bound=Transformable)  # noqa: E741  # the letter of the papers


class TooFarBehind(errors.UsageError):
    """The revision is unknown to the server, or too old: load the document anew."""

    code = "TOOFARBEHIND"


class Submission(NamedTuple, Generic[O]):
    """What a client sends: its operation, made for the document at a revision."""

    client: int
    revision: int
    operation: O


class Ordered(NamedTuple, Generic[O]):
    """What the server sends to all clients, the author included, in order: the operation that made a revision."""

    client: int
    revision: int
    operation: O


class JupiterServer(Generic[O]):
    """Orders operations. Revision n is the document after n of them.

    Example:
        >>> from quorate.crdt import Insert, Retain, TextOperation
        >>> server = JupiterServer("ab", TextOperation)
        >>> server.submit(Submission(1, 0, TextOperation([Retain(2), Insert("c")]))).revision, server.document
        (1, 'abc')
    """

    def __init__(self, document: Any, _operations: type[O], *, history_count_max: int = 10_000) -> None:
        self.document = document
        self.revision = 0
        self._history: list[O] = []
        self._max = history_count_max

    def submit(self, submission: Submission[O]) -> Ordered[O]:
        """Order an operation; return what to send to all.

        Raises:
            TooFarBehind: its revision is not in the history any more, or not yet.
            Mismatch: it does not fit the document; nothing was changed.
        """
        since = submission.revision - (self.revision - len(self._history))
        if not 0 <= since <= len(self._history):
            raise TooFarBehind(f"revision {submission.revision}; the server has {self.revision}")
        operation = submission.operation
        for earlier in self._history[since:]:
            operation = operation.transform(earlier, Side.SECOND)
        self.document = operation.apply(self.document)
        self._history.append(operation)
        del self._history[: -self._max]
        self.revision += 1
        return Ordered(submission.client, self.revision, operation)


class JupiterClient(Generic[O]):
    """One author's side: the document as the author sees it, without waiting."""

    def __init__(self, client: int, document: Any, revision: int = 0) -> None:
        self.client = client
        self.document = document
        self.revision = revision
        self._under_way: O | None = None
        self._buffer: O | None = None
        # What takes back each own edit, for the document as it is now; the newest last.
        self._undo: list[O] = []
        self._redo: list[O] = []

    @property
    def is_settled(self) -> bool:
        """Whether the server has ordered all that was typed here."""
        return self._under_way is None

    def edit(self, operation: O) -> Submission[O] | None:
        """Make an edit; return what to send now, None when one is under way already."""
        undo = operation.invert(self.document)
        submission = self._perform(operation)
        self._undo.append(undo)
        self._redo.clear()
        return submission

    def undo(self) -> Submission[O] | None:
        """Take back the newest own edit that is not yet taken back, whatever others did since; None also if none."""
        return self._swap(self._undo, self._redo)

    def redo(self) -> Submission[O] | None:
        """Take back the newest undo."""
        return self._swap(self._redo, self._undo)

    @property
    def can_undo(self) -> bool:
        """Whether an own edit is left to take back."""
        return bool(self._undo)

    def receive(self, ordered: Ordered[O]) -> Submission[O] | None:
        """Take what the server has ordered; return what to send now.

        Raises:
            TooFarBehind: not the next revision: something was lost.
        """
        if ordered.revision != self.revision + 1:
            raise TooFarBehind(f"revision {ordered.revision} after {self.revision}")
        self.revision += 1
        if ordered.client == self.client and self._under_way is not None:
            self._under_way, self._buffer = self._buffer, None
            return self._submission()
        operation = ordered.operation
        if self._under_way is not None:
            own = self._under_way
            self._under_way = own.transform(operation, Side.SECOND)
            operation = operation.transform(own, Side.FIRST)
        if self._buffer is not None:
            own = self._buffer
            self._buffer = own.transform(operation, Side.SECOND)
            operation = operation.transform(own, Side.FIRST)
        self.document = operation.apply(self.document)
        self._undo = _moved(self._undo, operation)
        self._redo = _moved(self._redo, operation)
        return None

    def _swap(self, source: list[O], target: list[O]) -> Submission[O] | None:
        if not source:
            return None
        operation = source.pop()
        back = operation.invert(self.document)
        submission = self._perform(operation)
        target.append(back)
        return submission

    def _perform(self, operation: O) -> Submission[O] | None:
        self.document = operation.apply(self.document)
        if self._under_way is None:
            self._under_way = operation
            return self._submission()
        self._buffer = operation if self._buffer is None else self._buffer.compose(operation)
        return None

    def _submission(self) -> Submission[O] | None:
        return None if self._under_way is None else Submission(self.client, self.revision, self._under_way)


def _moved(stack: list[O], operation: O) -> list[O]:
    """Return a stack of undos for the document after somebody else's operation.

    The newest applies to the document now; each older one to the document after the newer one's undoing.
    """
    found: list[O] = []
    for undo in reversed(stack):
        found.append(undo.transform(operation, Side.SECOND))
        operation = operation.transform(undo, Side.FIRST)
    return found[::-1]
