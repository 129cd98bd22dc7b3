"""ZooKeeper's wire protocol: as much of it as four operations need, and nothing that retries.

A frame is a length and a record of Jute: big-endian numbers, byte strings with their length before them. Requests of a
session are answered in order; each answer carries the last transaction that the server has applied, and a client that
connects says the last one it saw, so that it never goes back in time.

Source: zookeeper.jute and ZooDefs.java of Apache ZooKeeper 3.8; the error codes are KeeperException.Code.
"""

import asyncio
import contextlib
import struct

from quorate.env import Address
from quorate.kernel import errors

_CREATE, _DELETE, _GET_DATA, _SET_DATA, _SYNC, _CLOSE = 1, 2, 4, 5, 9, -11
_NO_NODE, _NO_AUTH, _BAD_VERSION, _NODE_EXISTS, _NOT_EMPTY = -101, -102, -103, -110, -111
# The server looked at the request and refused it. Every other error may come after the fact.
_DEFINITE = {_NO_NODE, _NO_AUTH, _BAD_VERSION, _NODE_EXISTS, _NOT_EMPTY, -108, -114, -115, -119}
_WORDS = {-101: "no node", -102: "no auth", -103: "bad version", -110: "node exists", -112: "session expired"}
_FRAME_BYTES_MAX = 4 << 20
# The stat of a node: the version is its fifth field.
_STAT = struct.Struct(">qqqqiiiqiiq")
# Anyone may do anything.
_OPEN_ACL = struct.pack(">ii", 1, 31) + b"\0\0\0\x05world\0\0\0\x06anyone"
# A session outlives any silence of ours, ms; it holds nothing.
_SESSION_TIMEOUT_MS = 30_000
_ANY_VERSION = -1


class ZooKeeperError(Exception):
    """The server answered with an error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"ZooKeeper says {_WORDS.get(code, code)}")
        self.code = code


class ZooKeeperConnection:
    """One session on one connection, one request at a time; connects when needed.

    Errors: `Unreachable` when nothing was sent, `TimedOut` and `ConnectionLost` after that, `ZooKeeperError` when the
    server says no.
    """

    def __init__(self, address: Address, *, timeout_s: float, connect_timeout_s: float = 1.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._xid = 0
        self._last_zxid = 0

    async def request(self, operation: int, body: bytes) -> bytes:
        """Send one request; return the body of its answer."""
        reader, writer = await self._connected()
        self._xid += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(_frame(struct.pack(">ii", self._xid, operation) + body))
                answer = await self._answer_to(self._xid, reader)
        except TimeoutError as cause:
            await self.close()
            raise errors.TimedOut(f"no answer from {self._address} in {self._timeout_s} s") from cause
        except (OSError, EOFError, ValueError, struct.error) as cause:
            await self.close()
            raise errors.ConnectionLost(f"{self._address}: {cause}") from cause
        except asyncio.CancelledError:
            await self.close()  # its answer would be taken for that of the next request
            raise
        _, zxid, code = struct.unpack_from(">iqi", answer)
        self._last_zxid = max(self._last_zxid, zxid)
        if code:
            raise ZooKeeperError(code)
        return answer[16:]

    async def close(self) -> None:
        """Close the connection; never raises. The session ends with its time-out."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def end_session(self) -> None:
        """Let the server forget the session at once, then close; never raises."""
        if self._writer is not None:
            with contextlib.suppress(errors.OperationError, ZooKeeperError):
                await self.request(_CLOSE, b"")
        await self.close()

    async def _answer_to(self, xid: int, reader: asyncio.StreamReader) -> bytes:
        while True:
            answer = await _read_frame(reader)
            (found,) = struct.unpack_from(">i", answer)
            if found == xid:
                return answer
            if found >= 0:  # below 0: pings and watches, which we never ask for
                raise ValueError(f"an answer to request {found} instead of {xid}")

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and not self._reader.at_eof():
            return self._reader, self._writer
        await self.close()
        hello = struct.pack(">iqiq", 0, self._last_zxid, _SESSION_TIMEOUT_MS, 0) + _bytes(bytes(16)) + b"\0"
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
                self._writer.write(_frame(hello))
                answer = await _read_frame(self._reader)
            _, timeout_ms, _ = struct.unpack_from(">iiq", answer)
            if timeout_ms <= 0:
                raise ValueError("the session was refused")
        except TimeoutError as cause:
            await self.close()
            raise errors.Unreachable(f"{self._address} gave no session in {self._connect_timeout_s} s") from cause
        except (OSError, EOFError, ValueError, struct.error) as cause:
            await self.close()
            raise errors.Unreachable(f"{self._address}: {cause or 'closed'}") from cause
        except asyncio.CancelledError:
            await self.close()
            raise
        return self._reader, self._writer


class ZooKeeperClient:
    """A client of one server. A compare-and-set reads, and writes on the version that it read.

    Args:
        address: the server's door for clients.
        timeout_s: how long an answer may take, seconds.
        syncs: whether a read waits until the server has what the leader had; without, a read may be stale.
        where: the node it talks to, in words, for the report.
        root: the node above all keys; it must exist. Empty for the root itself.
    """

    def __init__(self, address: Address, *, timeout_s: float, syncs: bool, where: str = "", root: str = "") -> None:
        self.where = where
        self._connection = ZooKeeperConnection(address, timeout_s=timeout_s)
        self._syncs = syncs
        self._root = root

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        found = await self._get(key, syncs=self._syncs)
        return None if found is None else found[0]

    async def write(self, key: str, value: int) -> None:
        """Set a key, after creating it when it is not there."""
        if await self._set(key, value, version=_ANY_VERSION):
            return
        if not await self._create(key, value) and not await self._set(key, value, version=_ANY_VERSION):
            raise errors.Conflict("the node came and went")

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Set a key if it has the expected value; return whether it had.

        Raises:
            Conflict: another client changed it in between.
        """
        found = await self._get(key, syncs=True)
        if found is None or found[0] != expected:
            return False
        if not await self._set(key, value, version=found[1]):
            raise errors.Conflict("the node was changed in between")
        return True

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum.

        Raises:
            Conflict: another client changed it in between.
        """
        found = await self._get(key, syncs=True)
        if found is None:
            is_done, total = await self._create(key, 1), 1
        else:
            total = found[0] + 1
            is_done = await self._set(key, total, version=found[1])
        if not is_done:
            raise errors.Conflict("the counter was changed in between")
        return total

    async def make_root(self) -> None:
        """Create the node above all keys."""
        await self._create("", 0)

    async def forget(self, key: str) -> None:
        """Delete a key, if it is there; the empty key is the root."""
        await self._ask(_DELETE, _text(self._path(key)) + struct.pack(">i", _ANY_VERSION), answers={_NO_NODE})

    async def close(self) -> None:
        """End the session and close the connection."""
        await self._connection.end_session()

    async def _get(self, key: str, *, syncs: bool) -> tuple[int, int] | None:
        """Return value and version; a read changes nothing, so no failure of it leaves a doubt."""
        path = _text(self._path(key))
        try:
            if syncs:
                await self._ask(_SYNC, path, answers=set())
            answer = await self._ask(_GET_DATA, path + b"\0", answers={_NO_NODE})
        except errors.IndefiniteError as cause:
            raise errors.Refused(f"read: {cause}") from cause
        if answer is None:
            return None
        (length,) = struct.unpack_from(">i", answer)
        stat = _STAT.unpack_from(answer, 4 + max(length, 0))
        return int(answer[4 : 4 + length]), stat[4]

    async def _set(self, key: str, value: int, *, version: int) -> bool:
        body = _text(self._path(key)) + _bytes(b"%d" % value) + struct.pack(">i", version)
        return await self._ask(_SET_DATA, body, answers={_NO_NODE, _BAD_VERSION}) is not None

    async def _create(self, key: str, value: int) -> bool:
        body = _text(self._path(key)) + _bytes(b"%d" % value) + _OPEN_ACL + struct.pack(">i", 0)
        return await self._ask(_CREATE, body, answers={_NODE_EXISTS}) is not None

    async def _ask(self, operation: int, body: bytes, *, answers: set[int]) -> bytes | None:
        """Return the answer, or None when the server refused with one of the codes that are answers too."""
        try:
            return await self._connection.request(operation, body)
        except ZooKeeperError as error:
            if error.code in answers:
                return None
            if error.code in _DEFINITE:
                raise errors.Refused(str(error)) from error
            await self._connection.close()
            raise errors.ConnectionLost(str(error)) from error

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")


async def ask_four_letters(address: Address, word: str, *, timeout_s: float) -> str:
    """Return what a server says to a four-letter word; nothing when it does not answer."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(word.encode("ascii"))
            return (await reader.read(_FRAME_BYTES_MAX)).decode("utf-8", "replace")
    except OSError:  # TimeoutError is one
        return ""
    finally:
        if writer is not None:
            writer.close()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    if not 0 <= length <= _FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {length} bytes")
    return await reader.readexactly(length)


def _frame(payload: bytes) -> bytes:
    return struct.pack(">i", len(payload)) + payload


def _bytes(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def _text(value: str) -> bytes:
    return _bytes(value.encode("utf-8"))
