"""Bytes of text and lists: one column for each property of the runs, in document order.

Runs are joined as far as they go, so equal states give equal bytes. A run's place in the tree is mostly its place in
the document ("right child of the run before", "left child of the run behind"), and is then two bits.

Layout      MessagePack [actors, heads, counters, indexes, parents, content, early runs, early deletions]:
            heads: length·8 + deleted·4 + place (0 right of the item before, 1 left of the item behind, 2 right of and
            3 left of an explicit item); counters: the first counter less what the last run of the same actor would
            go on with; indexes: which actor, empty when there is one; parents: [actor, counter] one behind the other,
            actor -1 for the root; content: the live items of all runs.
Complexity  O(runs + live items), both ways; decoding checks that the runs make a tree, and are in its order.
"""

from bisect import bisect_left, bisect_right
from typing import Any, Generic, NamedTuple

import msgspec

from quorate.crdt.base import Actor, Count, pack, unpack
from quorate.crdt.parts import CHUNK_PARTS_MAX, C, Chunk, ItemId, Part, Parts
from quorate.crdt.sequence import Deleted, ReplicatedList, Run, SequenceDelta, Sequential, Text
from quorate.kernel import BadPayload, Envelope

_RIGHT_OF_BEFORE, _LEFT_OF_BEHIND, _RIGHT, _LEFT = 0, 1, 2, 3
_ROOT_ACTOR = -1
_RunForm = tuple[Actor, Count, Count, tuple[Actor, Count] | None, bool, Any]
_DeletedForm = tuple[Actor, Count, Count]


class _Form(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    actors: list[Actor]
    heads: list[int]
    counters: list[int]
    indexes: list[int]
    parents: list[int]
    content: bytes
    early_runs: list[_RunForm]
    early_deleted: list[_DeletedForm]


class _Span(NamedTuple):
    actor: int
    counter: int
    length: int
    is_deleted: bool
    parent: ItemId | None
    is_left: bool


_TEXT: Envelope[_Form] = Envelope(Text.kind, 1, _Form)
_LIST: Envelope[_Form] = Envelope(ReplicatedList.kind, 1, _Form)
_DeltaForm = tuple[list[_RunForm], list[_DeletedForm]]
_TEXT_DELTA: Envelope[tuple[list[Any], list[tuple[int, int, int]]]] = Envelope("text-delta", 1, _DeltaForm)


def encode_text(text: Text) -> bytes:
    """Return the sealed bytes of a text."""
    return _TEXT.encode(_to_form(text, text.value.encode()))


def encode_list(found: ReplicatedList) -> bytes:
    """Return the sealed bytes of a list."""
    return _LIST.encode(_to_form(found, pack(found.value)))


def decode_text(text: Text, data: bytes) -> None:
    """Fill an empty text; raise `Undecodable`."""
    form = _TEXT.decode(data)
    try:
        content = form.content.decode()
    except UnicodeDecodeError as cause:
        raise BadPayload("a text that is not UTF-8") from cause
    _Reader(text, form, content).fill()


def decode_list(found: ReplicatedList, data: bytes) -> None:
    """Fill an empty list; raise `Undecodable`."""
    form = _LIST.decode(data)
    content = unpack(form.content)
    if not isinstance(content, list):
        raise BadPayload("the content of a list is a list")
    _Reader(found, form, tuple(content)).fill()


def encode_text_delta(delta: SequenceDelta[str]) -> bytes:
    """Return the sealed bytes of a delta: MessagePack [runs, deletions]."""
    return _TEXT_DELTA.encode((list(delta.runs), list(delta.deleted)))


def decode_text_delta(data: bytes) -> SequenceDelta[str]:
    """Return the delta in sealed bytes; raise `Undecodable`."""
    runs, deleted = _TEXT_DELTA.decode(data)
    return SequenceDelta(tuple(_run(run, "") for run in runs), tuple(Deleted(*each) for each in deleted))


def _run(form: Any, empty: Any) -> Run[Any]:
    actor, counter, length, parent, is_left, content = form
    if isinstance(content, list) and isinstance(empty, tuple):
        content = tuple(content)
    if content is not None and (type(content) is not type(empty) or len(content) != length):
        raise BadPayload("a run has as many items as it says")
    if parent == (actor, counter) or (parent is None and is_left):
        raise BadPayload("a run hangs on itself or left of the root")
    return Run(actor, counter, length, parent, is_left, content)


def _spans(parts: Parts[C]) -> list[_Span]:
    """Return the parts in order, joined where one goes on with the one before."""
    spans: list[_Span] = []
    actor, end, is_deleted, start, length = -2, 0, False, 0, 0
    parent: ItemId | None = None
    is_left = False
    for part in parts:
        if part.actor < 0:
            continue
        if (
            part.actor == actor
            and part.counter == end
            and (part.content is None) is is_deleted
            and not part.is_left
            and part.parent == (actor, end - 1)
        ):
            end += part.length
            length += part.length
            continue
        if length:
            spans.append(_Span(actor, start, length, is_deleted, parent, is_left))
        actor, start, length, is_deleted = part.actor, part.counter, part.length, part.content is None
        parent, is_left, end = part.parent, part.is_left, part.counter + part.length
    if length:
        spans.append(_Span(actor, start, length, is_deleted, parent, is_left))
    return spans


def _to_form(sequence: Sequential[C], content: bytes) -> _Form:
    spans = _spans(sequence._parts)
    actors = sorted({span.actor: None for span in spans})
    index_of = {actor: index for index, actor in enumerate(actors)}
    expected = dict.fromkeys(actors, 1)
    heads: list[int] = []
    counters: list[int] = []
    parents: list[int] = []
    before: ItemId | None = None
    for place, span in enumerate(spans):
        actor, counter, length, is_deleted, parent, is_left = span
        if not is_left and parent == before:
            code = _RIGHT_OF_BEFORE
        elif is_left and place + 1 < len(spans) and parent == spans[place + 1][:2]:
            code = _LEFT_OF_BEHIND
        else:
            code = _LEFT if is_left else _RIGHT
            parents += (_ROOT_ACTOR, 0) if parent is None else parent
        heads.append(length << 3 | is_deleted << 2 | code)
        counters.append(counter - expected[actor])
        expected[actor] = counter + length
        before = (actor, counter + length - 1)
    indexes = [index_of[span.actor] for span in spans] if len(actors) > 1 else []
    early = [tuple(run) for run in sequence._early_runs.values()]
    return _Form(actors, heads, counters, indexes, parents, content, early, list(sequence._early_deleted))


class _Reader(Generic[C]):
    """Builds the parts of an empty sequence from columns that may be anything."""

    def __init__(self, sequence: Sequential[C], form: _Form, content: Any) -> None:
        self._sequence = sequence
        self._form = form
        self._content = content

    def fill(self) -> None:
        """Fill the sequence, or raise `BadPayload`."""
        spans = self._read_spans()
        cuts = self._cuts(spans)
        parts = self._make(spans, cuts)
        self._index(parts)
        sequence, form = self._sequence, self._form
        sequence._take_runs([_run(run, sequence._empty) for run in form.early_runs])
        sequence._take_deleted([Deleted(*each) for each in form.early_deleted])

    def _read_spans(self) -> list[_Span]:
        form = self._form
        actors, count = form.actors, len(form.heads)
        indexes = form.indexes if len(actors) > 1 else [0] * count
        if len(form.counters) != count or len(indexes) != count or actors != sorted(dict.fromkeys(actors)):
            raise BadPayload("columns of different lengths")
        if count and not all(0 <= index < len(actors) for index in indexes):
            raise BadPayload("an actor out of range")
        expected = dict.fromkeys(actors, 1)
        ids: list[tuple[int, int, int]] = []
        for head, difference, index in zip(form.heads, form.counters, indexes, strict=True):
            actor, length = actors[index], head >> 3
            counter = expected[actor] + difference
            if length < 1 or counter < 1:
                raise BadPayload("a run without items")
            expected[actor] = counter + length
            ids.append((actor, counter, length))
        spans: list[_Span] = []
        explicit = iter(form.parents)
        before: ItemId | None = None
        for place, (head, (actor, counter, length)) in enumerate(zip(form.heads, ids, strict=True)):
            code = head & 3
            parent: ItemId | None = before
            if code == _LEFT_OF_BEHIND:
                if place + 1 == count:
                    raise BadPayload("nothing is behind the last run")
                parent = ids[place + 1][:2]
            elif code != _RIGHT_OF_BEFORE:
                parent = (next(explicit, -2), next(explicit, -2))
                if parent[0] == _ROOT_ACTOR:
                    parent = None
            spans.append(_Span(actor, counter, length, bool(head & 4), parent, code in {_LEFT_OF_BEHIND, _LEFT}))
            before = (actor, counter + length - 1)
        if next(explicit, None) is not None:
            raise BadPayload("more parents than runs")
        return spans

    def _cuts(self, spans: list[_Span]) -> dict[int, list[int]]:
        """Return, for each actor, the counters at which something else hangs, so that a part must begin there."""
        cuts: dict[int, list[int]] = {actor: [] for actor in self._form.actors}
        for span in spans:
            if span.parent is not None:
                if span.parent[0] not in cuts or span.parent[1] < 1:
                    raise BadPayload("a run hangs on nothing")
                cuts[span.parent[0]].append(span.parent[1] + (not span.is_left))
        return {actor: sorted(dict.fromkeys(counters)) for actor, counters in cuts.items()}

    def _make(self, spans: list[_Span], cuts: dict[int, list[int]]) -> list[Part[C]]:
        parts: list[Part[C]] = []
        content, used = self._content, 0
        for actor, counter, length, is_deleted, parent, is_left in spans:
            mine, start, end = cuts[actor], counter, counter + length
            inside = mine[bisect_right(mine, start) : bisect_left(mine, end)]
            hang, side = parent, is_left
            for stop in [*inside, end]:
                size = stop - start
                parts.append(Part(actor, start, size, None if is_deleted else content[used : used + size], hang, side))
                used += 0 if is_deleted else size
                hang, side, start = (actor, stop - 1), False, stop
        if used != len(content):
            raise BadPayload("the content is not as long as its runs")
        return parts

    def _index(self, parts: list[Part[C]]) -> None:
        sequence, inner = self._sequence, self._sequence._parts
        by_id = sorted(parts, key=lambda part: (part.actor, part.counter))
        ends: dict[ItemId, Part[C]] = {}
        begins: dict[ItemId, Part[C]] = {}
        known = sequence._known
        for part in by_id:
            if part.counter != known.get(part.actor, 0) + 1:
                raise BadPayload("an item is missing or here twice")
            known[part.actor] = part.counter + part.length - 1
            inner.register(part)
            begins[part.actor, part.counter] = ends[part.actor, part.counter + part.length - 1] = part
        for part in by_id:
            # In the order of ids, so that siblings need no sorting.
            if part.parent is None:
                found: Part[C] | None = inner.root
            else:
                found = (begins if part.is_left else ends).get(part.parent)
            if found is None or (part.is_left and part.parent is None):
                raise BadPayload("a run hangs on nothing")
            holder = found
            if part.is_left:
                holder.lefts = [*(holder.lefts or ()), part]
            else:
                holder.rights = [*(holder.rights or ()), part]
        _check_order(inner.root, parts)
        every = [inner.root, *parts]
        size = CHUNK_PARTS_MAX // 2
        inner.chunks = [Chunk(every[start : start + size]) for start in range(0, len(every), size)]
        inner.counts = [sum(p.length for p in c.parts if p.content is not None) for c in inner.chunks]
        sequence._length = sum(inner.counts)


def _check_order(root: Part[C], parts: list[Part[C]]) -> None:
    """Raise `BadPayload` unless the parts are the in-order walk of the tree. Complexity: O(parts)."""
    place = 0
    # A part on the stack twice: first to open its left side, then to be passed itself.
    stack: list[tuple[Part[C], bool]] = [(part, False) for part in reversed(root.rights or ())]
    while stack:
        part, is_open = stack.pop()
        if not is_open and part.lefts:
            stack.append((part, True))
            stack += [(left, False) for left in reversed(part.lefts)]
            continue
        if place == len(parts) or parts[place] is not part:
            raise BadPayload("the runs are not in the order of their tree")
        place += 1
        if part.rights:
            stack += [(right, False) for right in reversed(part.rights)]
    if place != len(parts):
        raise BadPayload("some runs hang on each other")
