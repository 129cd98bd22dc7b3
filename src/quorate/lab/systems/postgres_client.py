"""PostgreSQL's wire protocol: as much of it as four operations need.

Why not a library: each of the common ones sends a cancel request when a caller's time is over. A cancelled wait for a
synchronous standby leaves the transaction committed on the primary alone, visible to all, and answers success with a
warning; the client would do the harm that the trial then blames on the server. Here a time-out closes the connection.

Source: PostgreSQL 15 documentation, chapter 55 (frontend/backend protocol); RFC 5802 and 7677 for SCRAM.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import struct
from collections.abc import Callable

from quorate.env import Address
from quorate.kernel import errors

_PROTOCOL = 196_608  # 3.0
_MESSAGE_BYTES_MAX = 4 << 20
_ITERATION_COUNT_MAX = 1_000_000  # of a password's hash: a server must not keep us busy for ever


class PostgresError(Exception):
    """The server answered with an error; `is_fatal` when it then closes the connection."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(f"{fields.get('M', '')} ({fields.get('C', '?')})")
        self.state = fields.get("C", "")
        # V is S, never translated.
        self.is_fatal = fields.get("V", fields.get("S", "ERROR")) != "ERROR"


class PostgresConnection:
    """One session, one statement at a time; connects when needed.

    Args:
        address_of: tells where to connect; asked before each statement, so that a client can follow a primary.
        timeout_s: how long an answer may take, seconds.
        user: the role.
        password: its password, for servers that ask.
        database: its database.

    Errors: `Unreachable` when nothing was sent, `TimedOut` and `ConnectionLost` after that, `Refused` for an error
    that rolled the statement back.
    """

    def __init__(
        self,
        address_of: Callable[[], Address],
        *,
        timeout_s: float,
        connect_timeout_s: float = 1.0,
        user: str = "postgres",
        password: str = "",
        database: str = "postgres",
    ) -> None:
        self._address_of = address_of
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._user = user
        self._password = password
        self._database = database
        self._address: Address | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def query(self, statement: str, *values: str | int) -> list[list[str | None]]:
        """Run one statement as a transaction of its own; return its rows as text."""
        reader, writer = await self._connected()
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(_statement(statement, values))
                return await _rows(reader)
        except TimeoutError as cause:
            await self.close()
            raise errors.TimedOut(f"no answer from {self._address} in {self._timeout_s} s") from cause
        except PostgresError as error:
            if not error.is_fatal:
                raise errors.Refused(str(error)) from error
            await self.close()
            raise errors.ConnectionLost(str(error)) from error
        except (OSError, EOFError, ValueError, struct.error) as cause:
            await self.close()
            raise errors.ConnectionLost(f"{self._address}: {cause}") from cause
        except asyncio.CancelledError:
            await self.close()  # its answer would be taken for that of the next statement
            raise

    async def close(self) -> None:
        """Close the connection; never raises. Nothing is cancelled at the server."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._address_of()
        if address == self._address and self._reader and self._writer and not self._reader.at_eof():
            return self._reader, self._writer
        await self.close()
        self._address = address
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._reader, self._writer = await asyncio.open_connection(address.host, address.port)
                names = f"user\0{self._user}\0database\0{self._database}\0application_name\0quorate-trial\0\0"
                hello = struct.pack(">i", _PROTOCOL) + names.encode()
                self._writer.write(struct.pack(">i", len(hello) + 4) + hello)
                await self._log_in(self._reader, self._writer)
        except TimeoutError as cause:
            await self.close()
            raise errors.Unreachable(f"{address} gave no session in {self._connect_timeout_s} s") from cause
        except (OSError, EOFError, ValueError, struct.error, PostgresError) as cause:
            await self.close()
            raise errors.Unreachable(f"{address}: {cause}") from cause
        except asyncio.CancelledError:
            await self.close()
            raise
        return self._reader, self._writer

    async def _log_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        scram = Scram(self._password)
        while True:
            kind, body = await _read_message(reader)
            if kind == b"E":
                raise PostgresError(_fields(body))
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (wanted,) = struct.unpack_from(">i", body)
            match wanted:
                case 0:
                    pass  # welcome
                case 3:
                    writer.write(_message(b"p", self._password.encode() + b"\0"))
                case 5:
                    writer.write(_message(b"p", _md5(self._user, self._password, body[4:8])))
                case 10:
                    if b"SCRAM-SHA-256" not in body[4:].split(b"\0"):
                        raise ValueError("the server wants a way to log in that we do not know")
                    first = scram.first()
                    writer.write(_message(b"p", b"SCRAM-SHA-256\0" + struct.pack(">i", len(first)) + first))
                case 11:
                    writer.write(_message(b"p", scram.answer(body[4:])))
                case 12:
                    scram.check(body[4:])
                case _:
                    raise ValueError(f"the server wants a way to log in that we do not know ({wanted})")


class Scram:
    """One SCRAM-SHA-256 exchange, without channel binding.

    Source: RFC 5802 §3 and §5, RFC 7677. Passwords outside ASCII are sent as they are, without SASLprep.
    """

    def __init__(self, password: str, *, nonce: str | None = None) -> None:
        self._password = password.encode()
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(18)).decode()
        self._bare = f"n=,r={self._nonce}"
        self._proven = b""

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._bare}".encode()

    def answer(self, challenge: bytes) -> bytes:
        """Return the proof that we know the password. Raise ValueError for a challenge that is none."""
        parts = dict(part.split("=", 1) for part in challenge.decode("ascii").split(",") if "=" in part)
        nonce, salt, count = parts.get("r", ""), base64.b64decode(parts.get("s", "")), int(parts.get("i", "0"))
        if not nonce.startswith(self._nonce) or not 0 < count <= _ITERATION_COUNT_MAX:
            raise ValueError("the server's challenge is none")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, count)
        client_key = _hmac(salted, b"Client Key")
        last = f"c=biws,r={nonce}"
        signed = f"{self._bare},{challenge.decode('ascii')},{last}".encode()
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._proven = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{last},p={base64.b64encode(proof).decode()}".encode()

    def check(self, verdict: bytes) -> None:
        """Check that the server knows the password too. Raise ValueError when it does not."""
        expected = b"v=" + base64.b64encode(self._proven)
        if not hmac.compare_digest(verdict.split(b",")[0], expected):
            raise ValueError("the server does not know our password: it is not the one that it seems to be")


class PostgresClient:
    """A client of a primary. Every operation is one statement, and one transaction.

    Args:
        connection: how to reach it.
        table: the table of keys and values; it must exist.
        where: the node it talks to, in words, for the report.
    """

    def __init__(self, connection: PostgresConnection, *, table: str = "kv", where: str = "") -> None:
        self.where = where
        self._connection = connection
        self._table = table

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        try:
            rows = await self._connection.query(f"SELECT v FROM {self._table} WHERE k = $1", key)
        except errors.IndefiniteError as cause:
            raise errors.Refused(f"read: {cause}") from cause  # a read changes nothing
        return _number(rows)

    async def write(self, key: str, value: int) -> None:
        """Insert a key or set it."""
        sql = f"INSERT INTO {self._table} VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = EXCLUDED.v"
        await self._connection.query(sql, key, value)

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Set a key if it has the expected value; return whether it had."""
        sql = f"UPDATE {self._table} SET v = $3 WHERE k = $1 AND v = $2 RETURNING v"
        return bool(await self._connection.query(sql, key, expected, value))

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum."""
        table = self._table
        sql = f"INSERT INTO {table} VALUES ($1, 1) ON CONFLICT (k) DO UPDATE SET v = {table}.v + 1 RETURNING v"
        total = _number(await self._connection.query(sql, key))
        assert total is not None, "RETURNING returns a row"
        return total

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _number(rows: list[list[str | None]]) -> int | None:
    return int(rows[0][0]) if rows and rows[0][0] is not None else None


def _statement(statement: str, values: tuple[str | int, ...]) -> bytes:
    """Return Parse, Bind, Execute and Sync in one piece; the last makes it a transaction of its own."""
    bind = b"\0\0" + struct.pack(">hh", 0, len(values))
    for value in values:
        text = str(value).encode()
        bind += struct.pack(">i", len(text)) + text
    return (
        _message(b"P", b"\0" + statement.encode() + b"\0\0\0")
        + _message(b"B", bind + b"\0\0")
        + _message(b"E", b"\0" + struct.pack(">i", 0))
        + _message(b"S", b"")
    )


async def _rows(reader: asyncio.StreamReader) -> list[list[str | None]]:
    rows: list[list[str | None]] = []
    failure: PostgresError | None = None
    while True:
        kind, body = await _read_message(reader)
        if kind == b"D":
            rows.append(_row(body))
        elif kind == b"E":
            failure = PostgresError(_fields(body))
            if failure.is_fatal:
                raise failure
        elif kind == b"N" and _fields(body).get("V") == "WARNING":
            # It may say "committed locally, but might not have been replicated", and success after that.
            raise ValueError(f"a warning: {_fields(body).get('M', '')}")
        elif kind == b"Z":
            if failure is not None:
                raise failure
            return rows


def _row(body: bytes) -> list[str | None]:
    (count,) = struct.unpack_from(">h", body)
    row: list[str | None] = []
    place = 2
    for _ in range(count):
        (length,) = struct.unpack_from(">i", body, place)
        place += 4
        row.append(None if length < 0 else body[place : place + length].decode())
        place += max(length, 0)
    return row


def _fields(body: bytes) -> dict[str, str]:
    return {part[:1].decode("latin-1"): part[1:].decode("utf-8", "replace") for part in body.split(b"\0") if part}


async def _read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind, length = struct.unpack(">ci", await reader.readexactly(5))
    if not 4 <= length <= _MESSAGE_BYTES_MAX:
        raise ValueError(f"a message of {length} bytes")
    return kind, await reader.readexactly(length - 4)


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">i", len(body) + 4) + body


def _md5(user: str, password: str, salt: bytes) -> bytes:
    inner = hashlib.md5(f"{password}{user}".encode(), usedforsecurity=False).hexdigest()
    outer = hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
    return f"md5{outer}\0".encode()


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
