"""The inside of replicated text and lists: runs of items in document order, with a position index and an id index.

A *part* is a run of items that one actor inserted one behind the other, all live or all deleted. Parts lie in chunks;
a list with the live count of each chunk finds positions. Items form a tree (Fugue): each is a right or left child of
another; the document is the in-order walk, siblings by id. Inside a part each item is the right child of the one
before, and nothing else hangs there: parts are split where something does.

Source      Weidner, Kleppmann 2023, "The art of the fugue".
Complexity  p parts, c chunks: finding a position O(c/32) from the last one, inserting and deleting O(1) more.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeAlias, TypeVar

C = TypeVar("C")
"""What holds the items: a str or a tuple. Any inside, because no type says "can be sliced into its own kind"."""
ItemId: TypeAlias = tuple[int, int]

CHUNK_PARTS_MAX: Final = 48
GROWN_ITEMS_MAX: Final = 512
_STRIDE: Final = 32
ROOT_ACTOR: Final = -1


class Part(Generic[C]):
    """A run of items (actor, counter), (actor, counter + 1) and so on."""

    __slots__ = ("actor", "chunk", "content", "counter", "is_left", "lefts", "length", "next_part", "parent", "rights")

    def __init__(
        self,
        actor: int,
        counter: int,
        length: int,
        content: Any,
        parent: ItemId | None,
        is_left: bool,  # noqa: FBT001  # the hot path
    ) -> None:
        self.actor = actor
        self.counter = counter
        self.length = length
        # None when deleted.
        self.content = content
        # Of the first item; None is the root of the document.
        self.parent = parent
        self.is_left = is_left
        # Right children of the last item and left children of the first, by id.
        self.rights: list[Part[C]] | None = None
        self.lefts: list[Part[C]] | None = None
        # What was split off behind this.
        self.next_part: Part[C] | None = None
        self.chunk: Chunk[C]

    @property
    def id(self) -> ItemId:
        """The id of the first item."""
        return (self.actor, self.counter)


class Chunk(Generic[C]):
    """Some neighbouring parts."""

    __slots__ = ("parts",)

    def __init__(self, parts: list[Part[C]]) -> None:
        self.parts = parts
        for part in parts:
            part.chunk = self


class Parts(Generic[C]):
    """All parts of a document, in order."""

    def __init__(self) -> None:
        self.root: Part[C] = Part(ROOT_ACTOR, 0, 1, None, None, False)  # noqa: FBT003
        self.chunks = [Chunk([self.root])]
        # Live items of each chunk.
        self.counts = [0]
        # A chunk with the position at which it starts: where the last search ended.
        self._hint = (0, 0)
        # actor → first counters of its parts as they came, and those parts; later splits hang on `next_part`.
        self._starts: dict[int, list[int]] = {}
        self._firsts: dict[int, list[Part[C]]] = {}

    def __iter__(self) -> Iterator[Part[C]]:
        for chunk in self.chunks:
            yield from chunk.parts

    def find(self, position: int) -> tuple[int, int, int]:
        """Return chunk index, part index in it and item index in that, of a live item."""
        counts = self.counts
        index, start = self._hint
        if position < start:
            if position < start >> 1:
                index = start = 0
            while position < start:
                low = max(0, index - _STRIDE)
                start -= sum(counts[low:index])
                index = low
        count = counts[index]
        while position >= start + count:
            total = sum(counts[index : index + _STRIDE])
            if position >= start + total:
                start += total
                index += _STRIDE
                count = 0
                continue
            while position >= start + counts[index]:
                start += counts[index]
                index += 1
            count = counts[index]
        self._hint = (index, start)
        offset = position - start
        for place, part in enumerate(self.chunks[index].parts):
            if part.content is not None:
                if offset < part.length:
                    return index, place, offset
                offset -= part.length
        raise AssertionError("the counts are those of the chunks")

    def at(self, item: ItemId | None) -> Part[C]:
        """Return the part that holds an item that is known. Complexity: O(log n + splits)."""
        if item is None:
            return self.root
        actor, counter = item
        part: Part[C] | None = self._firsts[actor][bisect_right(self._starts[actor], counter) - 1]
        while part is not None and part.counter + part.length <= counter:
            part = part.next_part
        assert part is not None, "a known item is in some part"
        return part

    def register(self, part: Part[C]) -> None:
        """Note the newest part of its actor in the id index."""
        self._starts.setdefault(part.actor, []).append(part.counter)
        self._firsts.setdefault(part.actor, []).append(part)

    def firsts(self, actor: int) -> list[Part[C]]:
        """Return an actor's parts as they came, each with what was split off behind it."""
        return self._firsts.get(actor, [])

    def put_after(self, chunk_index: int, place: int, part: Part[C], live_count: int) -> None:
        """Put a part behind another in document order."""
        chunk = self.chunks[chunk_index]
        chunk.parts.insert(place + 1, part)
        part.chunk = chunk
        if live_count:
            self.count(chunk_index, live_count)
        if len(chunk.parts) > CHUNK_PARTS_MAX:
            self._halve(chunk_index)

    def count(self, chunk_index: int, change: int) -> None:
        """Note that live items came or went."""
        self.counts[chunk_index] += change
        index, start = self._hint
        if chunk_index < index:
            self._hint = (index, start + change)

    def _halve(self, chunk_index: int) -> None:
        chunk = self.chunks[chunk_index]
        half = len(chunk.parts) // 2
        behind = Chunk(chunk.parts[half:])
        del chunk.parts[half:]
        live = sum(part.length for part in behind.parts if part.content is not None)
        self.chunks.insert(chunk_index + 1, behind)
        self.counts[chunk_index] -= live
        self.counts.insert(chunk_index + 1, live)
        index, start = self._hint
        if chunk_index < index:
            self._hint = (index + 1, start)

    def place_of(self, part: Part[C]) -> tuple[int, int]:
        """Return chunk index and part index. Complexity: O(chunks), at the speed of C."""
        return self.chunks.index(part.chunk), part.chunk.parts.index(part)

    def split(self, chunk_index: int, place: int, length: int) -> Part[C]:
        """Split a part behind its first `length` items; return the part behind."""
        part = self.chunks[chunk_index].parts[place]
        behind: Part[C] = Part(
            part.actor,
            part.counter + length,
            part.length - length,
            None if part.content is None else part.content[length:],
            (part.actor, part.counter + length - 1),
            False,  # noqa: FBT003
        )
        behind.rights, behind.next_part = part.rights, part.next_part
        part.rights, part.next_part = [behind], behind
        part.length = length
        if part.content is not None:
            part.content = part.content[:length]
        self.put_after(chunk_index, place, behind, 0)
        return behind

    def split_at(self, part: Part[C], length: int) -> Part[C]:
        """Split a part that is not known by place."""
        return self.split(*self.place_of(part), length)

    def hang(self, part: Part[C]) -> None:
        """Put a part that came from elsewhere where the tree says; its parent is known.

        Complexity: O(log n + chunks + depth of the subtree of a concurrent sibling).
        """
        holder = self.at(part.parent)
        # Split, so that the parent is the end of a part.
        inside = 0 if part.parent is None else part.parent[1] - holder.counter
        if part.is_left:
            if inside:
                holder = self.split_at(holder, inside)
            siblings = holder.lefts = holder.lefts or []
        else:
            if inside + 1 < holder.length:
                self.split_at(holder, inside + 1)
            siblings = holder.rights = holder.rights or []
        insort(siblings, part, key=_id)
        before = siblings.index(part)
        if before:
            last = siblings[before - 1]
            while last.rights:
                last = last.rights[-1]
            chunk_index, place = self.place_of(last)
        elif part.is_left:
            first = siblings[1] if len(siblings) > 1 else holder
            while first is not holder and first.lefts:
                first = first.lefts[0]
            chunk_index, place = self.place_of(first)
            place -= 1
        else:
            chunk_index, place = self.place_of(holder)
        self.put_after(chunk_index, place, part, 0 if part.content is None else part.length)
        self.register(part)

    def bury(self, chunk_index: int, place: int, offset: int, length: int) -> None:
        """Delete live items within one part; their content is forgotten, and neighbouring graves become one."""
        parts = self.chunks[chunk_index].parts
        part = parts[place]
        content = part.content
        assert content is not None, "only the living are buried"
        behind = part.next_part
        if offset + length == part.length:
            if offset and behind and behind.content is None and not behind.lefts and part.rights == [behind]:
                # Backspace over and over: the grave behind grows to the left.
                self.count(chunk_index, -length)
                part.content, part.length = content[:offset], offset
                behind.counter -= length
                behind.length += length
                behind.parent = (part.actor, behind.counter - 1)
                return
        else:
            before = parts[place - 1] if place else None
            if not offset and before and _is_grave_before(before, part):
                # Delete over and over: the grave before grows to the right.
                self.count(chunk_index, -length)
                before.length += length
                part.content, part.length = content[length:], part.length - length
                part.counter += length
                part.parent = (part.actor, part.counter - 1)
                return
            self.split(chunk_index, place, offset + length)
        if offset:
            # The split may have halved the chunk: look again.
            part = self.split_at(part, offset)
        part.content = None
        # Only now: a split halves a chunk by what its parts hold.
        self.count(self.chunks.index(part.chunk), -length)


def _is_grave_before(before: Part[C], part: Part[C]) -> bool:
    return before.next_part is part and before.content is None and not part.lefts and before.rights == [part]


def _id(part: Part[C]) -> ItemId:
    return (part.actor, part.counter)
