"""Checkpoints: what the tables changed goes to the base, while reads and applies go on.

Freeze: the sets of changed keys are put aside, in O(1); from then on a frozen value is encoded before it changes.
Encode: the rest of the frozen values, in slices, giving the loop back in between.
Commit: values, expiry index and meta become durable together, by the base.
Thaw:   what was written and has not changed since is clean, and may be forgotten when memory is short.

Keys at rest: database (1 byte) + key. Expiry index: 0xFF + due time (8 bytes, big endian) + database (1 byte) + key,
with an empty value. A checkpoint that fails leaves the base as it was and all changes still to be written.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from quorate.kernel import LogIndex, errors
from quorate.store.rest import FORMAT, Meta, decode_meta, encode_meta, pack_reply, unpack_reply
from quorate.store.values import due_of, is_lasting

if TYPE_CHECKING:
    from quorate.store.machine import KeyValueStore
    from quorate.store.space import Space

# A slice ends after so many keys or encoded bytes, about a millisecond of work; one collection is never cut.
SLICE_KEY_COUNT: Final = 500
SLICE_BYTES: Final = 512 * 1024

_EXPIRY_PREFIX: Final = b"\xff"


def _expiry_key(due_ms: int, db: int, key: bytes) -> bytes:
    return _EXPIRY_PREFIX + due_ms.to_bytes(8, "big") + bytes((db,)) + key


def _freeze(store: "KeyValueStore") -> Meta:
    """Put the changed keys aside; return the meta of this moment, with replies not packed yet."""
    for space in store.spaces:
        assert space.frozen is None, "one checkpoint at a time"
        space.frozen, space.dirty = space.dirty, {}
        space.frozen_table = space.table
        space.is_flushing, space.is_flushed = space.is_flushed, False
    return Meta(
        FORMAT,
        store.applied_index,
        store.applied_term,
        store.revision,
        store.time_ms,
        store.key_counts(),
        store.sessions.dump(),
        store.host_bytes,
    )


async def _encode(space: "Space", changes: dict[bytes, bytes | None]) -> None:
    """Settle all frozen keys of a database and enter them into the changes.

    Whole slices between two turns of the loop: a million keys pass here, so nothing is awaited for each of them.
    """
    assert space.frozen is not None, "only what is frozen is encoded"
    if space.is_flushing:
        await _clear(space, changes)
    keys = list(space.frozen)  # not `next(iter(…))`: deleting from the front of a dict makes that quadratic
    for start in range(0, len(keys), SLICE_KEY_COUNT):
        slice_bytes = 0
        for key in keys[start : start + SLICE_KEY_COUNT]:
            if key in space.frozen:
                slice_bytes += space.settle(key)
                if slice_bytes >= SLICE_BYTES:
                    slice_bytes = 0
                    await asyncio.sleep(0)
        await asyncio.sleep(0)
    rested_due = {} if space.is_flushing else space.rested_due
    prefix, settled = space.prefix, space.settled
    keys = list(settled)  # those too that changed, and so were settled, before their turn came
    for start in range(0, len(keys), SLICE_KEY_COUNT):
        for key in keys[start : start + SLICE_KEY_COUNT]:
            data = changes[prefix + key] = settled[key]
            if key in rested_due or not is_lasting(data):
                _index_expiry(space, changes, key, rested_due.get(key, 0), due_of(data))
        await asyncio.sleep(0)


def _index_expiry(space: "Space", changes: dict[bytes, bytes | None], key: bytes, rested_ms: int, due_ms: int) -> None:
    if rested_ms != due_ms:
        if rested_ms:
            changes[_expiry_key(rested_ms, space.db, key)] = None
        if due_ms:
            changes[_expiry_key(due_ms, space.db, key)] = b""


async def _clear(space: "Space", changes: dict[bytes, bytes | None]) -> None:
    """Enter the deletion of all keys at rest of a database that was flushed."""
    start, end = space.prefix, bytes((space.db + 1,))
    while True:
        count = 0
        # A scan is not kept open over a turn of the loop.
        for key, _ in space.store.base.scan(start, end):
            changes[key] = None
            start = key + b"\0"
            count += 1
            if count == SLICE_KEY_COUNT:
                break
        if count < SLICE_KEY_COUNT:
            break
        await asyncio.sleep(0)
    for key, due_ms in space.rested_due.items():
        changes[_expiry_key(due_ms, space.db, key)] = None


async def _thaw(space: "Space") -> None:
    """Let go of what was written."""
    space.is_flushing = False
    while space.settled:
        _thaw_slice(space)
        await asyncio.sleep(0)
    space.frozen = None
    space.frozen_table = {}
    # All other keys are at rest now.
    space.fresh, space.ordered = list(space.dirty), None


def _thaw_slice(space: "Space") -> None:
    cache, settled, dirty, rested_due = space.store.cache, space.settled, space.dirty, space.rested_due
    is_same_table = space.table is space.frozen_table
    for _ in range(min(SLICE_KEY_COUNT, len(settled))):
        key, data = settled.popitem()
        if not is_lasting(data):
            rested_due[key] = due_of(data)
        elif rested_due:
            rested_due.pop(key, None)
        if is_same_table and key not in dirty:
            if data is None:
                del space.table[key]
            else:
                cache.note_clean(space.db, key, len(data))
    cache.trim()


def _give_up(space: "Space") -> None:
    """Make what was frozen count as changed again."""
    if space.table is space.frozen_table:
        space.dirty = {**dict.fromkeys(space.settled), **(space.frozen or {}), **space.dirty}
    space.is_flushed |= space.is_flushing
    space.is_flushing = False
    space.settled = {}
    space.frozen = None
    space.frozen_table = {}


async def write_checkpoint(store: "KeyValueStore") -> LogIndex:
    """Make the present state durable; see `KeyValueStore.checkpoint`."""
    meta = _freeze(store)
    changes: dict[bytes, bytes | None] = {}
    try:
        for space in store.spaces:
            await _encode(space, changes)
        packed = []
        for client, sequence, reply in meta.sessions:
            packed.append((client, sequence, pack_reply(reply)))
            if len(packed) % SLICE_KEY_COUNT == 0:
                await asyncio.sleep(0)
        meta.sessions = packed
        await store.base.checkpoint(changes, encode_meta(meta))
    except BaseException:
        for space in store.spaces:
            _give_up(space)
        raise
    for space in store.spaces:
        # Before the loop is given back: what was flushed is gone from the base, so the base may be read again.
        if space.is_flushing:
            space.is_flushing = False
            space.rested_due = {}
    for space in store.spaces:
        await _thaw(space)
    return LogIndex(meta.applied_index)


def read_checkpoint(store: "KeyValueStore") -> None:
    """Take over the state at rest; the store must be new.

    Complexity: O(sessions + keys with an expiry); other keys are read when they are asked for.
    """
    data = store.base.meta
    if data is None:
        return
    meta = decode_meta(data)
    store.applied_index = LogIndex(meta.applied_index)
    store.applied_term = meta.applied_term
    store.revision = meta.revision
    store.time_ms = store.horizon_ms = meta.time_ms
    store.host_bytes = meta.host_bytes
    store.sessions.load([(client, sequence, unpack_reply(reply)) for client, sequence, reply in meta.sessions])
    if len(meta.key_counts) > len(store.spaces):
        raise errors.ForeignData(f"the checkpoint has {len(meta.key_counts)} databases; this store is set to fewer")
    for space, count in zip(store.spaces, meta.key_counts, strict=False):
        space.count = count
    for cell, _ in store.base.scan(_EXPIRY_PREFIX, None):
        due_ms, db, key = int.from_bytes(cell[1:9], "big"), cell[9], cell[10:]
        store.spaces[db].due[key] = due_ms
        store.spaces[db].rested_due[key] = due_ms
        store.expiries.add(due_ms, db, key)
