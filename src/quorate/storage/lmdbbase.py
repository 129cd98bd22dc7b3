"""A base on LMDB: larger than memory, one write transaction per checkpoint, readers that are never in the way.

Layout of the environment: the unnamed table holds `format`, `active` (b"a" or b"b") and `meta`; the tables "a" and "b"
hold pairs, and only the active one counts. A restore fills the other in its own transactions; the last of them sets
`active` and `meta` and empties the old table, so that a crash at any moment leaves one state or the other, and views
of the old one stay valid.

Keys. LMDB takes keys of 1 to 511 bytes, and a base any. So every key gets a first byte, and one of more than 480
bytes is kept under its first 480 bytes and a digest, with the whole key before the value. Long keys with a common
beginning of 480 bytes are thus neighbours, but out of order among themselves: a scan sorts each such run in memory.

Threads. A write transaction belongs to the thread that began it, so all writing is done by one worker thread, which is
handed in. Reads are made on the loop's thread through one read transaction, which is renewed after each checkpoint:
what a base shows is the last checkpoint and never a part of the next one.
"""

import asyncio
import contextlib
import errno
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import lmdb

from quorate.kernel import marks
from quorate.kernel.errors import Corrupt, DiskError, DiskFull, ForeignData, QuorateError, SyncFailed
from quorate.storage.base import Changes, pairs_of
from quorate.storage.chunks import ChunkReader, chunks_of

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

FORMAT = b"1"
# How far the map may grow. Address space only: the file grows as data comes. Halved where a process may have less.
MAP_BYTES_MAX = 1 << 40
MAP_BYTES_MIN = 1 << 28
PREFIX_BYTES = 480
# With less than this free, a write that was cut short is a full disk and not a broken one.
FULL_BYTES = 16 << 20
# How many changes go to the worker thread at once.
SLICE_COUNT = 1_000
# A restore commits after so many bytes.
RESTORE_COMMIT_BYTES = 8 << 20

T = TypeVar("T")


def _is_long(stored: bytes) -> bool:
    return len(stored) > 1 + PREFIX_BYTES


def _encode_key(key: bytes) -> bytes:
    if len(key) <= PREFIX_BYTES:
        return b"\1" + key
    return b"\1" + key[:PREFIX_BYTES] + hashlib.blake2b(key, digest_size=16).digest()


def _encode_value(key: bytes, value: bytes) -> bytes:
    return value if len(key) <= PREFIX_BYTES else len(key).to_bytes(4, "big") + key + value


def _decode(stored: bytes, data: bytes) -> tuple[bytes, bytes]:
    if not _is_long(stored):
        return stored[1:], data
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]


def _translate(path: Path, cause: Exception) -> QuorateError:
    """Say in our words what LMDB says."""
    number = getattr(cause, "errno", None) or (cause.args[1] if len(cause.args) > 1 else None)
    if isinstance(cause, lmdb.MapFullError) or number in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"{path}: no space left for the state")
    if isinstance(cause, lmdb.DiskError):
        return DiskFull(f"{path}: no space left for the state ({cause})")
    if isinstance(cause, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError | lmdb.PanicError):
        return Corrupt(f"{path / 'data.mdb'}: {cause}. Remove the node's data and let its peers send it everything.")
    if number == errno.EIO or "Input/output error" in str(cause):
        # LMDB says so too when the disk takes only a part of a write; nothing has been committed then.
        if shutil.disk_usage(path).free < FULL_BYTES:
            return DiskFull(f"{path}: no space left for the state")
        return SyncFailed(f"{path}: {cause}")
    return DiskError(f"{path}: {cause}")


class LMDBSnapshot:
    """A view of an `LMDBBase`: a read transaction."""

    def __init__(self, base: "LMDBBase") -> None:
        self._base = base
        self._transaction: lmdb.Transaction | None = base._environment.begin()
        self._meta: bytes | None = self._transaction.get(b"meta")
        self._table = base._table

    @property
    def meta(self) -> bytes | None:
        """What the checkpoint stored beside the data; None before the first."""
        return self._meta

    def chunks(self, chunk_bytes: int) -> Iterator[bytes]:
        """Yield all of it as chunks."""
        assert self._transaction is not None, "a closed view shows nothing"
        return chunks_of(self._meta, _scan(self._transaction, self._table, b"", None, is_reverse=False), chunk_bytes)

    def close(self) -> None:
        """Give the view back."""
        if self._transaction is not None:
            self._transaction.abort()
            self._transaction = None
            self._base._snapshots.pop(self, None)


class LMDBRestorer:
    """Fills the table that is not in use."""

    def __init__(self, base: "LMDBBase") -> None:
        self._base = base
        self._reader = ChunkReader(f"{base._path}: snapshot")
        self._pairs: list[tuple[bytes, bytes]] = []
        self._bytes = 0
        self._futures: list[Future[None]] = [base._executor.submit(base._empty_spare)]
        self._is_over = False

    def write(self, chunk: bytes) -> None:
        """Take the next chunk; what has come is written in the worker thread meanwhile."""
        self._pairs += self._reader.feed(chunk)
        self._bytes += len(chunk)
        if self._bytes >= RESTORE_COMMIT_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        pairs, self._pairs, self._bytes = self._pairs, [], 0
        self._futures.append(self._base._executor.submit(self._base._fill_spare, pairs))

    async def finish(self) -> None:
        """Replace all content and meta."""
        self._reader.require_complete()
        self._hand_over()
        self._is_over = True
        async with self._base._lock:
            for future in self._futures:
                await asyncio.wrap_future(future)
            await self._base._work(self._base._swap, self._reader.meta)
            self._base._renew(self._reader.meta)

    def abort(self) -> None:
        """Forget what came."""
        if not self._is_over:
            self._is_over = True
            self._pairs = []
            self._base._executor.submit(self._base._empty_spare)


class LMDBBase:
    """State in an LMDB environment."""

    def __init__(self, path: Path, executor: "Executor") -> None:
        """Open, or make a new one.

        Args:
            path: directory of the environment; made when absent.
            executor: one worker thread, used by nobody else and ended by `close`.

        Raises:
            DiskFull, DiskError: it cannot be made or read.
            Corrupt: it is damaged.
            ForeignData: it is of a format that this program does not know.
        """
        self._path = path
        self._executor = executor
        self._lock = asyncio.Lock()
        self._snapshots: dict[LMDBSnapshot, None] = {}
        self._is_closed = False
        path.mkdir(parents=True, exist_ok=True)
        self._environment = _open_environment(path)
        self._tables: dict[bytes, Any] = {}
        try:
            self._prepare()
        except lmdb.Error as cause:
            self._environment.close()
            raise _translate(path, cause) from cause
        except QuorateError:
            self._environment.close()
            raise
        self._read = self._environment.begin()
        self._active = self._read.get(b"active") or b"a"
        self._meta: bytes | None = self._read.get(b"meta")

    def _prepare(self) -> None:
        with self._environment.begin(write=True) as transaction:
            found = transaction.get(b"format")
            if found not in {None, FORMAT}:
                raise ForeignData(f"{self._path}: has format {found!r}, and this program knows {FORMAT!r}")
            if found is None:
                transaction.put(b"format", FORMAT)
                transaction.put(b"active", b"a")
            for name in (b"a", b"b"):
                self._tables[name] = self._environment.open_db(name, txn=transaction)

    # -- reading --------

    @property
    def _table(self) -> Any:
        return self._tables[self._active]

    @property
    def meta(self) -> bytes | None:
        """What the last checkpoint stored beside the data; None before the first."""
        return self._meta

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key as of the last checkpoint."""
        stored = _encode_key(key)
        try:
            data: bytes | None = self._read.get(stored, db=self._table)
        except lmdb.Error as cause:
            raise _translate(self._path, cause) from cause
        return data if data is None else _decode(stored, data)[1]

    def scan(self, start: bytes, end: bytes | None, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Yield pairs with start <= key < end in order of the key."""
        # A transaction of its own: a scan may be held while a checkpoint replaces the other one.
        with self._environment.begin() as transaction:
            yield from _scan(transaction, self._table, start, end, is_reverse=reverse)

    def count(self) -> int:
        """Return how many keys there are."""
        count: int = self._read.stat(self._table)["entries"]
        return count

    def _renew(self, meta: bytes | None) -> None:
        """Show what has just been committed."""
        self._read.abort()
        self._read = self._environment.begin()
        self._active = self._read.get(b"active") or b"a"
        self._meta = meta

    # -- writing, in the worker thread --------

    async def _work(self, work: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work, *args)
        except lmdb.Error as cause:
            raise _translate(self._path, cause) from cause

    async def checkpoint(self, changes: Changes, meta: bytes) -> None:
        """Make changes and meta durable together, in slices.

        Complexity: O(changes · log state).
        """
        async with self._lock:
            transaction = await self._work(self._begin)
            try:
                pairs = pairs_of(changes)
                while slice_ := list(islice(pairs, SLICE_COUNT)):
                    await self._work(_put_all, transaction, self._table, slice_)
                await self._work(_commit, transaction, meta)
            except BaseException:
                # Behind whatever the worker is still doing, and in its thread.
                self._executor.submit(_abort, transaction)
                raise
            self._renew(meta)

    def _begin(self) -> lmdb.Transaction:
        return self._environment.begin(write=True)

    @property
    def _spare(self) -> Any:
        return self._tables[b"b" if self._active == b"a" else b"a"]

    def _empty_spare(self) -> None:
        with self._translated(), self._environment.begin(write=True) as transaction:
            if transaction.stat(self._spare)["entries"]:
                transaction.drop(self._spare, delete=False)

    def _fill_spare(self, pairs: list[tuple[bytes, bytes]]) -> None:
        with self._translated(), self._environment.begin(write=True) as transaction:
            _put_all(transaction, self._spare, pairs)

    def _swap(self, meta: bytes | None) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.put(b"active", b"b" if self._active == b"a" else b"a")
            if meta is None:
                transaction.delete(b"meta")
            else:
                transaction.put(b"meta", meta)
            transaction.drop(self._table, delete=False)
        marks.hit("lmdb: restored")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as cause:
            raise _translate(self._path, cause) from cause

    # -- the rest --------

    def snapshot(self) -> LMDBSnapshot:
        """Return a view of the last checkpoint; close it, because what it sees cannot be given back to the disk."""
        snapshot = LMDBSnapshot(self)
        self._snapshots[snapshot] = None
        return snapshot

    def restore(self) -> LMDBRestorer:
        """Begin to replace everything; one at a time."""
        return LMDBRestorer(self)

    def close(self) -> None:
        """Wait for the worker thread, end it, and close the environment."""
        if self._is_closed:
            return
        self._is_closed = True
        self._executor.shutdown(wait=True)
        for snapshot in list(self._snapshots):
            snapshot.close()
        self._read.abort()
        self._environment.close()


def _open_environment(path: Path) -> lmdb.Environment:
    map_bytes = MAP_BYTES_MAX
    while True:
        try:
            return lmdb.open(
                str(path), map_size=map_bytes, max_dbs=2, max_readers=1024, subdir=True, metasync=True, sync=True
            )
        except lmdb.MemoryError as cause:
            if map_bytes <= MAP_BYTES_MIN:
                raise _translate(path, cause) from cause
            map_bytes //= 2
        except lmdb.Error as cause:
            raise _translate(path, cause) from cause


def _put_all(transaction: lmdb.Transaction, table: Any, pairs: Iterable[tuple[bytes, bytes | None]]) -> None:
    # Sorted, so that neighbours meet the same pages; as one call, which runs through all of them in C.
    items: list[tuple[bytes, bytes]] = []
    for key, value in sorted(dict(pairs).items()):
        if value is None:
            transaction.delete(_encode_key(key), db=table)
        else:
            items.append((_encode_key(key), _encode_value(key, value)))
    if items:
        with transaction.cursor(table) as cursor:
            cursor.putmulti(items)


def _commit(transaction: lmdb.Transaction, meta: bytes) -> None:
    transaction.put(b"meta", meta)
    transaction.commit()


def _abort(transaction: lmdb.Transaction) -> None:
    # After a failed commit there is nothing left to abort.
    with contextlib.suppress(lmdb.Error):
        transaction.abort()


def _scan(
    transaction: lmdb.Transaction, table: Any, start: bytes, end: bytes | None, *, is_reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    if end is not None and end <= start:
        return
    cursor = transaction.cursor(db=table)
    first = b"\1" + start[:PREFIX_BYTES]
    run: list[tuple[bytes, bytes]] = []
    run_prefix = b""
    for stored, data in _stored_pairs(cursor, first, end, is_reverse=is_reverse):
        prefix = stored[: 1 + PREFIX_BYTES] if _is_long(stored) else b""
        if run and prefix != run_prefix:
            yield from sorted(run, reverse=is_reverse)
            run = []
        key, value = _decode(stored, data)
        if key < start or (end is not None and key >= end):
            continue
        if prefix:
            run_prefix = prefix
            run.append((key, value))
        else:
            yield key, value
    yield from sorted(run, reverse=is_reverse)


def _stored_pairs(cursor: Any, first: bytes, end: bytes | None, *, is_reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield what is stored from `first` up to at least the end, or back from there; runs of long keys are whole."""
    beyond = None
    if end is not None:
        # Everything with the first 480 bytes of a long end sorts before this.
        beyond = b"\1" + (end if len(end) <= PREFIX_BYTES else end[:PREFIX_BYTES] + b"\xff" * 17)
    if not is_reverse:
        is_found = cursor.set_range(first)
        for stored, data in cursor.iternext(keys=True, values=True) if is_found else ():
            if beyond is not None and stored >= beyond:
                return
            yield stored, data
        return
    is_found = cursor.set_range(beyond) if beyond is not None else False
    is_found = cursor.prev() if is_found else cursor.last()
    for stored, data in cursor.iterprev(keys=True, values=True) if is_found else ():
        if stored < first:
            return
        yield stored, data
