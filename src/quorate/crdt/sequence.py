"""Replicated text and lists that do not interleave what people type at one place at the same time.

Theory. Every item has an id and a place in a tree: the right child of the item before it, or the left child of the
item behind it. Who types a run hangs each letter below the one before, so a run is a branch of the tree, and
concurrent runs at one place follow each other whole, forwards and backwards (Fugue). Deleted items stay as graves
without content, because others may still hang something there; graves side by side are kept as one.

Source      Weidner, Kleppmann 2023, "The art of the fugue"; run-length storage as in Yjs.
Complexity  p parts in c chunks: typing on is O(1), a jump O(c/32 + 48); a remote run O(log p + c), c at C speed;
            merge O(p of the other); memory and bytes O(p + live items), not O(all items ever).
Bounds      Positions count items (code points for text) from 0. Graves are never given up: their number of runs is
            the price of not knowing who is offline.
Deviations  Plain Fugue, not FugueMax. Deletions have no names of their own: a delta for somebody who is behind names
            all deleted ranges of what that one knows, run-length encoded (as Yjs does).
"""

from collections import deque
from typing import Any, Generic, NamedTuple, Self

from quorate.clocks import VersionVector
from quorate.crdt.base import CRDT, BadValue, pack
from quorate.crdt.parts import GROWN_ITEMS_MAX, C, ItemId, Part, Parts
from quorate.kernel import errors


class BadPosition(errors.UsageError):
    """A position or count lies outside the text or list; nothing was changed."""

    code = "BADPOSITION"


class Run(NamedTuple, Generic[C]):
    """Items that one actor inserted one behind the other."""

    actor: int
    counter: int
    length: int
    # Of the first item; each further one is the right child of the one before. None: the root.
    parent: ItemId | None
    is_left: bool
    # None when they are deleted already.
    content: Any


class Deleted(NamedTuple):
    """Some items that are deleted."""

    actor: int
    counter: int
    length: int


class SequenceDelta(NamedTuple, Generic[C]):
    """What changed in a text or list. `Text.pack_delta` and `Text.unpack_delta` make bytes of it and back."""

    runs: tuple[Run[C], ...]
    deleted: tuple[Deleted, ...]


class Sequential(CRDT[SequenceDelta[C]], Generic[C]):
    """What text and lists share."""

    _empty: Any

    def __init__(self, *, actor: int | None = None) -> None:
        super().__init__(actor=actor)
        self._parts: Parts[C] = Parts()
        self._length = 0
        # actor → how many of its items are here.
        self._known: dict[int, int] = {}
        # Where typing goes on: position, and the part that ends there.
        self._cursor = -1
        self._cursor_part: Part[C] = self._parts.root
        # What came before its causes.
        self._early_runs: dict[tuple[int, int, int], Run[C]] = {}
        self._early_deleted: dict[Deleted, None] = {}

    def __len__(self) -> int:
        return self._length

    @property
    def version(self) -> VersionVector:
        """How many items of each actor are here, deleted ones included; for `changes_since`."""
        return VersionVector(self._known)

    @property
    def waiting_count(self) -> int:
        """How many runs and deletions came before their causes, and wait."""
        return len(self._early_runs) + len(self._early_deleted)

    @property
    def part_count(self) -> int:
        """How many runs are stored, live and deleted."""
        return sum(len(chunk.parts) for chunk in self._parts.chunks) - 1

    def _insert(self, position: int, content: Any) -> SequenceDelta[C]:
        actor = self._actor()
        length = len(content)
        if not 0 <= position <= self._length:
            raise BadPosition(f"position {position} of {self._length}")
        if not length:
            return SequenceDelta((), ())
        counter = self._known.get(actor, 0) + 1
        parts = self._parts
        place = -1
        if position == self._cursor:
            left = self._cursor_part
            chunk_index = -1
            inside = left.length - 1
        elif position:
            chunk_index, place, inside = parts.find(position - 1)
            left = parts.chunks[chunk_index].parts[place]
        else:
            chunk_index, place, inside, left = 0, 0, 0, parts.root
        self._length += length
        self._known[actor] = counter + length - 1
        self._cursor = position + length
        if inside + 1 == left.length and not left.rights:
            parent, is_left = (None if left is parts.root else (left.actor, left.counter + inside)), False
            grown = left.length + length
            # Left is live or the root, which is nobody's.
            if left.actor == actor and left.counter + left.length == counter and grown <= GROWN_ITEMS_MAX:
                if chunk_index < 0:
                    chunk_index = parts.chunks.index(left.chunk)
                left.content += content
                left.length = grown
                parts.count(chunk_index, length)
                self._cursor_part = left
                return SequenceDelta((Run(actor, counter, length, parent, is_left, content),), ())
        else:
            if place < 0:
                chunk_index, place = parts.place_of(left)
            behind = self._behind(left, chunk_index, place, inside)
            parent, is_left = behind.id, True
        part: Part[C] = Part(actor, counter, length, content, parent, is_left)
        if is_left:
            behind.lefts = [part]
        else:
            left.rights = [part]
        if is_left or place < 0:
            # Not looked up yet, or a split may have moved it.
            chunk_index, place = parts.place_of(left)
        parts.put_after(chunk_index, place, part, length)
        parts.register(part)
        self._cursor_part = part
        return SequenceDelta((Run(actor, counter, length, parent, is_left, content),), ())

    def _behind(self, left: Part[C], chunk_index: int, place: int, inside: int) -> Part[C]:
        """Return the part that begins right behind an item, splitting when that is inside a part."""
        parts = self._parts
        if inside + 1 < left.length:
            return parts.split(chunk_index, place, inside + 1)
        chunk = parts.chunks[chunk_index]
        if place + 1 < len(chunk.parts):
            return chunk.parts[place + 1]
        return parts.chunks[chunk_index + 1].parts[0]

    def delete(self, position: int, count: int = 1) -> SequenceDelta[C]:
        """Delete items from a position on; return the delta.

        Raises:
            BadPosition: not all of them are there; nothing was changed.
        """
        self._actor()
        if not 0 <= position <= position + count <= self._length:
            raise BadPosition(f"{count} items from {position} of {self._length}")
        parts = self._parts
        gone: list[Deleted] = []
        left = count
        while left:
            chunk_index, place, inside = parts.find(position)
            part = parts.chunks[chunk_index].parts[place]
            here = min(left, part.length - inside)
            gone.append(Deleted(part.actor, part.counter + inside, here))
            parts.bury(chunk_index, place, inside, here)
            left -= here
        self._length -= count
        part = self._cursor_part
        if self._cursor == position + count and part.content is not None and count and len(gone) == 1:
            # Backspace: what remains of the part still ends where typing goes on, when it was this part that shrank.
            self._cursor = (
                position if gone[0].actor == part.actor and gone[0].counter == part.counter + part.length else -1
            )
        else:
            self._cursor = -1
        return SequenceDelta((), tuple(gone))

    def merge(self, other: Self) -> None:
        """Take over all that another replica knows. Complexity: O(parts of the other)."""
        self._check(other)
        if other is not self:
            self.apply(other.changes_since(self.version))

    def delta(self, since: Self) -> SequenceDelta[C]:
        """Return what this knows beyond another replica."""
        self._check(since)
        return self.changes_since(since.version)

    def changes_since(self, version: VersionVector) -> SequenceDelta[C]:
        """Return what is new to somebody who has a version, and the deletions of what that one knows."""
        runs: list[Run[C]] = []
        deleted: list[Deleted] = []
        for actor in sorted(self._known):
            known = version[actor]
            for first in self._parts.firsts(actor):
                part: Part[C] | None = first
                while part is not None:
                    end = part.counter + part.length
                    if part.counter > known:
                        runs.append(Run(actor, part.counter, part.length, part.parent, part.is_left, part.content))
                    else:
                        if part.content is None:
                            _note(deleted, actor, part.counter, min(end, known + 1) - part.counter)
                        if end > known + 1:
                            skip = known + 1 - part.counter
                            content = None if part.content is None else part.content[skip:]
                            rest = part.length - skip
                            runs.append(Run(actor, known + 1, rest, (actor, known), is_left=False, content=content))
                    part = part.next_part
        return SequenceDelta((*runs, *self._early_runs.values()), (*deleted, *self._early_deleted))

    def apply(self, delta: SequenceDelta[C]) -> None:
        """Take over a delta; what comes before its causes waits for them."""
        if not isinstance(delta, SequenceDelta) or any(
            run.content is not None and type(run.content) is not type(self._empty) for run in delta.runs
        ):
            self._check(delta)
            self._check(None)
        self._cursor = -1
        self._take_runs([*self._early_runs.values(), *delta.runs])
        self._take_deleted([*self._early_deleted, *delta.deleted])

    def _take_runs(self, runs: list[Run[C]]) -> None:
        queues: dict[int, deque[Run[C]]] = {}
        for run in sorted(runs, key=_order):
            queues.setdefault(run.actor, deque()).append(run)
        moved = True
        while moved:
            moved = False
            for queue in queues.values():
                while queue and self._can_take(queue[0]):
                    self._take(queue.popleft())
                    moved = True
        self._early_runs = {_order(run): run for actor in sorted(queues) for run in queues[actor]}

    def _can_take(self, run: Run[C]) -> bool:
        known = self._known.get(run.actor, 0)
        if run.counter > known + 1:
            return False
        if run.counter <= known or run.parent is None:
            return True
        return run.parent[1] <= self._known.get(run.parent[0], 0)

    def _take(self, run: Run[C]) -> None:
        actor, counter, length, parent, is_left, content = run
        skip = self._known.get(actor, 0) + 1 - counter
        if content is None:
            # Perhaps known here, and not yet deleted here.
            self._bury_range(actor, counter, min(skip, length))
        if skip >= length:
            return
        if skip:
            counter, length, parent, is_left = counter + skip, length - skip, (actor, counter + skip - 1), False
            content = None if content is None else content[skip:]
        self._known[actor] = counter + length - 1
        self._parts.hang(Part(actor, counter, length, content, parent, is_left))
        self._length += 0 if content is None else length

    def _take_deleted(self, deleted: list[Deleted]) -> None:
        early: dict[Deleted, None] = {}
        for actor, counter, length in sorted(deleted):
            here = min(length, max(0, self._known.get(actor, 0) + 1 - counter))
            self._bury_range(actor, counter, here)
            if here < length:
                early[Deleted(actor, counter + here, length - here)] = None
        self._early_deleted = early

    def _bury_range(self, actor: int, counter: int, length: int) -> None:
        end = counter + length
        while counter < end:
            part = self._parts.at((actor, counter))
            part_end = part.counter + part.length
            here = min(end, part_end) - counter
            if part.content is not None:
                self._parts.bury(*self._parts.place_of(part), counter - part.counter, here)
                self._length -= here
            counter += here


def _order(run: Run[C]) -> tuple[int, int, int]:
    return (run.actor, run.counter, run.length)


def _note(deleted: list[Deleted], actor: int, counter: int, length: int) -> None:
    if deleted and deleted[-1].actor == actor and deleted[-1].counter + deleted[-1].length == counter:
        deleted[-1] = Deleted(actor, deleted[-1].counter, deleted[-1].length + length)
    else:
        deleted.append(Deleted(actor, counter, length))


class Text(Sequential[str]):
    """Replicated text.

    Example:
        >>> here, there = Text(actor=1), Text(actor=2)
        >>> there.apply(here.insert(0, "Hello!"))
        >>> name, mark = here.insert(5, " Ada"), there.insert(5, " and all")
        >>> there.apply(name)
        >>> here.apply(mark)
        >>> here.value == there.value, here.value
        (True, 'Hello Ada and all!')
    """

    kind = "text"
    _empty = ""

    @property
    def value(self) -> str:
        """The text. Complexity: O(parts + length)."""
        return "".join([part.content for chunk in self._parts.chunks for part in chunk.parts if part.content])

    def __str__(self) -> str:
        return self.value

    def insert(self, position: int, text: str) -> SequenceDelta[str]:
        """Insert text before a position; return the delta. Complexity: O(1) where typing goes on."""
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as cause:
                raise BadValue("lone surrogates are no text") from cause
        return self._insert(position, text)

    def to_bytes(self) -> bytes:
        """Return the sealed bytes; see the reference page for the columns."""
        from quorate.crdt import sequence_codec

        return sequence_codec.encode_text(self)

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the text in sealed bytes; raise `Undecodable` for anything else."""
        from quorate.crdt import sequence_codec

        found = cls(actor=actor)
        sequence_codec.decode_text(found, data)
        return found

    @staticmethod
    def pack_delta(delta: SequenceDelta[str]) -> bytes:
        """Return a delta's sealed bytes, for the wire."""
        from quorate.crdt import sequence_codec

        return sequence_codec.encode_text_delta(delta)

    @staticmethod
    def unpack_delta(data: bytes) -> SequenceDelta[str]:
        """Return the delta in sealed bytes; raise `Undecodable` for anything else."""
        from quorate.crdt import sequence_codec

        return sequence_codec.decode_text_delta(data)


class ReplicatedList(Sequential[tuple[object, ...]]):
    """A replicated list of plain values.

    Example:
        >>> tasks = ReplicatedList(actor=1)
        >>> _ = tasks.insert(0, ["wash", "dry"]), tasks.insert(1, [{"rinse": 2}]), tasks.delete(0)
        >>> tasks.value
        [{'rinse': 2}, 'dry']
    """

    kind = "list"
    _empty = ()

    @property
    def value(self) -> list[object]:
        """The items."""
        return [item for chunk in self._parts.chunks for part in chunk.parts for item in part.content or ()]

    def insert(self, position: int, items: list[object]) -> SequenceDelta[tuple[object, ...]]:
        """Insert plain values before a position; return the delta. Raise `BadValue` for what is not plain data."""
        pack(items)
        return self._insert(position, tuple(items))

    def to_bytes(self) -> bytes:
        """Return the sealed bytes; see the reference page for the columns."""
        from quorate.crdt import sequence_codec

        return sequence_codec.encode_list(self)

    @classmethod
    def from_bytes(cls, data: bytes, *, actor: int | None = None) -> Self:
        """Return the list in sealed bytes; raise `Undecodable` for anything else."""
        from quorate.crdt import sequence_codec

        found = cls(actor=actor)
        sequence_codec.decode_list(found, data)
        return found
