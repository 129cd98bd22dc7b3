"""Text against pycrdt and Loro on a generated editing trace: local edits, merge, load, bytes.

Run: python -c "from quorate.lab.bench_parts import crdt, to_text; print(to_text(crdt.run()))"

The trace has the shape of the published one (automerge-perf): 182,315 single-character inserts and 77,463 deletes by
one author, typed in runs, with backspaces, forward deletions and jumps, most of them short.
"""

import gc
import importlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from quorate.crdt import SequenceDelta, Text
from quorate.kernel import Seeds
from quorate.lab.bench_parts.timing import BenchRow

INSERT_COUNT, DELETE_COUNT = 182_315, 77_463
T = TypeVar("T")


class Edit(NamedTuple):
    """Insert a character before a position, or delete the one there when there is none to insert."""

    position: int
    character: str


def trace(*, insert_count: int = INSERT_COUNT, delete_count: int = DELETE_COUNT, seed: int = 1) -> list[Edit]:
    """Return a generated editing trace; the same for the same arguments."""
    rng = Seeds(seed).stream("editing trace")
    edits: list[Edit] = []
    inserts = deletes = length = cursor = 0
    while inserts < insert_count or deletes < delete_count:
        # Jumps: most stay near, some go anywhere.
        near = min(length, max(0, cursor + int(rng.gauss(0, 200))))
        cursor = near if rng.random() < 0.7 else rng.randint(0, length)
        is_typing = inserts < insert_count and (length == 0 or rng.random() < 0.62 or deletes >= delete_count)
        size = 1 + int(rng.expovariate(1 / (18 if is_typing else 12)))
        if is_typing:
            for _ in range(min(size, insert_count - inserts)):
                edits.append(Edit(cursor, rng.choice("etaoin shrdlu cmfwyp,.\n")))
                cursor += 1
                length += 1
                inserts += 1
            continue
        is_backspace = rng.random() < 0.8
        for _ in range(min(size, delete_count - deletes, cursor if is_backspace else length - cursor)):
            cursor -= is_backspace
            edits.append(Edit(cursor, ""))
            length -= 1
            deletes += 1
    return edits


def play(text: Text, edits: list[Edit]) -> list[SequenceDelta[str]]:
    """Make the edits; return their deltas."""
    return [text.insert(where, letter) if letter else text.delete(where) for where, letter in edits]


def run(*, insert_count: int = INSERT_COUNT, delete_count: int = DELETE_COUNT) -> list[BenchRow]:
    """Return the measurements; minutes at full size, nearly all the rival's. Raises when results differ."""
    edits = trace(insert_count=insert_count, delete_count=delete_count)
    text = Text(actor=1)
    ours, deltas = _time(lambda: play(text, edits))
    packed = [Text.pack_delta(delta) for delta in deltas]
    save, data = _time(text.to_bytes)
    load, loaded = _time(lambda: Text.from_bytes(data))
    fresh = Text()
    merge, _ = _time(lambda: fresh.merge(text))
    remote = Text()
    one_by_one, _ = _time(lambda: _receive(remote, packed))
    assert loaded.value == text.value == fresh.value == remote.value, "all ways lead to one text"
    count = len(edits)
    wire = sum(map(len, packed))
    rival = _rival(edits, text.value)
    name = "" if rival is None else "pycrdt"
    notes = [
        f"{ours / 1e9:.2f} s for {insert_count:,} inserts, {delete_count:,} deletes; {text.part_count:,} runs",
        f"{merge / 1e6:.0f} ms into an empty replica",
        f"{one_by_one / 1e9:.2f} s, decoding included",
        f"{load / 1e6:.0f} ms",
        f"{save / 1e6:.0f} ms; {len(data):,} bytes at rest",
    ]
    if rival is not None:
        notes[0] += f"; pycrdt {rival.local / 1e9:.2f} s, a transaction an edit"
        notes[4] += f", pycrdt {rival.rest_bytes:,}"
        notes.append(f"{wire:,} bytes for all deltas, one by one; pycrdt {rival.wire_bytes:,}")
    cases = ["text edit locally", "text merge all", "text receive deltas", "text load", "text save"]
    theirs = [None] * 5 if rival is None else [rival.local, rival.merge, rival.receive, rival.load, rival.save]
    rows = [
        BenchRow(case, mine / count, name, None if other is None else other / count, note)
        for case, mine, other, note in zip(cases, [ours, merge, one_by_one, load, save], theirs, notes[:5], strict=True)
    ]
    if rival is not None:
        rows[2] = rows[2]._replace(note=f"{rows[2].note}; {notes[5]}")
    loro = _loro(edits, text.value)
    if loro is not None:
        local, loading, saving, rest_bytes = loro
        rows += [
            BenchRow(
                "text edit locally", ours / count, "loro", local / count, f"loro {local / 1e9:.2f} s, one transaction"
            ),
            BenchRow("text load", load / count, "loro", loading / count, f"loro {loading / 1e6:.0f} ms"),
            BenchRow(
                "text save", save / count, "loro", saving / count, f"loro {rest_bytes:,} bytes at rest, compressed"
            ),
        ]
    return rows


class _Rival(NamedTuple):
    local: float
    merge: float
    receive: float
    load: float
    save: float
    wire_bytes: int
    rest_bytes: int


def _rival(edits: list[Edit], expected: str) -> _Rival | None:
    try:
        pycrdt: Any = importlib.import_module("pycrdt")
    except ImportError:
        return None

    def new() -> tuple[Any, Any]:
        doc = pycrdt.Doc()
        doc["text"] = text = pycrdt.Text()
        return doc, text

    def type_all(text: Any) -> None:
        for where, letter in edits:
            if letter:
                text.insert(where, letter)
            else:
                del text[where]

    doc, text = new()
    local, _ = _time(lambda: type_all(text))
    save, data = _time(doc.get_update)
    empty, copied = new()
    load, _ = _time(lambda: empty.apply_update(data))
    assert str(text) == str(copied) == expected, "the rival has the same text"
    # Again with every update caught, for the bytes on the wire; not part of the local time.
    updates: list[bytes] = []
    caught, source = new()
    caught.observe(lambda event: updates.append(event.update))
    type_all(source)
    target, received = new()

    def receive() -> None:
        for update in updates:
            target.apply_update(update)

    arrive, _ = _time(receive)
    assert str(received) == expected, "updates one by one give the same text"
    # pycrdt merges by applying the other's update: the same work as loading.
    return _Rival(local, load + save, arrive, load, save, sum(map(len, updates)), len(data))


def _loro(edits: list[Edit], expected: str) -> tuple[float, float, float, int] | None:
    """Return nanoseconds of local edits, loading and saving, and bytes at rest, of Loro; None when it is absent."""
    try:
        loro: Any = importlib.import_module("loro")
    except ImportError:
        return None
    doc = loro.LoroDoc()
    text = doc.get_text("text")

    def type_all() -> None:
        for where, letter in edits:
            if letter:
                text.insert(where, letter)
            else:
                text.delete(where, 1)
        doc.commit()

    local, _ = _time(type_all)
    save, data = _time(lambda: doc.export(loro.ExportMode.Snapshot()))
    copied = loro.LoroDoc()
    load, _ = _time(lambda: (copied.import_(data), copied.get_text("text").to_string()))
    assert text.to_string() == copied.get_text("text").to_string() == expected, "the rival has the same text"
    return local, load, save, len(data)


def _receive(text: Text, packed: list[bytes]) -> None:
    for data in packed:
        text.apply(Text.unpack_delta(data))


def _time(call: Callable[[], T]) -> tuple[float, T]:
    """Return nanoseconds of one call, and its result."""
    gc.collect()
    begin = time.perf_counter_ns()
    result = call()
    return time.perf_counter_ns() - begin, result
