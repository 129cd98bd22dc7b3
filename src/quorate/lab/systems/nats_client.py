"""The wire protocol of NATS, and its key-value buckets: as much of them as four operations need.

Why not a library: they reconnect by themselves and send what was pending once more, which would apply it twice.

Source: docs.nats.io, "Client Protocol", "JetStream wire API Reference"; ADR-8 (buckets), ADR-31 (direct get).
"""

import asyncio
import base64
import contextlib
import secrets
from typing import Any

import msgspec

from quorate.env import Address
from quorate.kernel import errors

_PAYLOAD_BYTES_MAX = 4 << 20
# Codes of JetStream's errors: the last sequence is another one; no message was found.
_WRONG_SEQUENCE, _NOT_FOUND = 10_071, 10_037
_NOBODY_LISTENS = b"503"


class Reply(msgspec.Struct, frozen=True):
    """One answer: its headers, the first line included, and its body."""

    headers: bytes
    body: bytes

    @property
    def status(self) -> bytes:
        """The number in the first line of the headers; nothing for a plain message."""
        parts = self.headers.split(b"\r\n", 1)[0].split(b" ")
        return parts[1] if len(parts) > 1 else b""

    def header(self, name: bytes) -> bytes:
        """Return one header; nothing when it is not there."""
        for line in self.headers.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.lower() == name.lower():
                return value.strip()
        return b""


class NATSConnection:
    """One connection, one request at a time; connects when needed, and never sends anything twice.

    Errors: `Unreachable` when nothing was sent, `TimedOut` and `ConnectionLost` after that, `Refused` when nobody
    listens to the subject.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        connect_timeout_s: float = 1.0,
        user: str = "",
        password: str = "",
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._user = user
        self._password = password
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._inbox = ""
        self._asked_count = 0

    async def request(self, subject: str, body: bytes, *, headers: bytes = b"") -> Reply:
        """Publish a request and return its answer.

        Args:
            subject: whom it is for.
            body: its payload.
            headers: lines that end with CRLF, without the first one.
        """
        reader, writer = await self._connected()
        self._asked_count += 1
        inbox = f"{self._inbox}.{self._asked_count}"
        if headers:
            head = b"NATS/1.0\r\n" + headers + b"\r\n"
            line = f"HPUB {subject} {inbox} {len(head)} {len(head) + len(body)}\r\n"
        else:
            head, line = b"", f"PUB {subject} {inbox} {len(body)}\r\n"
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(line.encode() + head + body + b"\r\n")
                reply = await self._answer_to(inbox, reader, writer)
        except TimeoutError as cause:
            await self.close()
            raise errors.TimedOut(f"no answer from {self._address} in {self._timeout_s} s") from cause
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as cause:
            await self.close()
            raise errors.ConnectionLost(f"{self._address}: {cause}") from cause
        except asyncio.CancelledError:
            await self.close()
            raise
        if reply.status == _NOBODY_LISTENS and not reply.body:
            raise errors.Refused(f"nobody listens to {subject}")
        return reply

    async def close(self) -> None:
        """Close the connection; never raises."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer_to(self, inbox: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Reply:
        while True:
            line = (await reader.readuntil(b"\r\n")).decode("latin-1").strip()
            word, *fields = line.split(" ")
            match word.upper():
                case "PING":
                    writer.write(b"PONG\r\n")
                case "MSG" | "HMSG":
                    head_bytes = int(fields[-2]) if word.upper() == "HMSG" else 0
                    total_bytes = int(fields[-1])
                    if not 0 <= head_bytes <= total_bytes <= _PAYLOAD_BYTES_MAX:
                        raise ValueError(f"a message of {total_bytes} bytes")
                    data = (await reader.readexactly(total_bytes + 2))[:-2]
                    if fields[0] == inbox:  # else the late answer to a request that was given up
                        return Reply(data[:head_bytes], data[head_bytes:])
                case "-ERR":
                    raise ValueError(line)
                case "PONG" | "+OK" | "INFO":
                    pass
                case _:
                    raise ValueError(f"no line of NATS: {line[:60]!r}")

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and not self._reader.at_eof():
            return self._reader, self._writer
        await self.close()
        self._inbox = f"_INBOX.{secrets.token_hex(8)}"
        options: dict[str, Any] = {"verbose": False, "headers": True, "no_responders": True, "lang": "quorate"}
        if self._user:
            options |= {"user": self._user, "pass": self._password}
        hello = f"CONNECT {msgspec.json.encode(options).decode()}\r\nSUB {self._inbox}.* 1\r\nPING\r\n"
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._reader, self._writer = await asyncio.open_connection(self._address.host, self._address.port)
                if not (await self._reader.readuntil(b"\r\n")).startswith(b"INFO "):
                    raise ValueError("it does not greet as NATS does")
                self._writer.write(hello.encode())
                while (line := await self._reader.readuntil(b"\r\n")) != b"PONG\r\n":
                    if line.startswith(b"-ERR"):
                        raise ValueError(line.decode("latin-1").strip())
        except TimeoutError as cause:
            await self.close()
            raise errors.Unreachable(f"{self._address} gave no session in {self._connect_timeout_s} s") from cause
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as cause:
            await self.close()
            raise errors.Unreachable(f"{self._address}: {cause}") from cause
        except asyncio.CancelledError:
            await self.close()
            raise
        return self._reader, self._writer


class NATSClient:
    """A client of one bucket. A compare-and-set reads, and writes on the sequence that it read.

    Args:
        connection: to any server of the cluster.
        bucket: the bucket's name; it must exist.
        is_direct: whether reads ask any replica, as libraries do; else they ask the stream's leader.
        where: the node it talks to, in words, for the report.
    """

    def __init__(self, connection: NATSConnection, *, bucket: str, is_direct: bool, where: str = "") -> None:
        self.where = where
        self._connection = connection
        self._bucket = bucket
        self._is_direct = is_direct

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        return (await self._get(key, is_direct=self._is_direct))[0]

    async def write(self, key: str, value: int) -> None:
        """Put a key."""
        await self._put(key, value)

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Put a key if it has the expected value; return whether it had.

        Raises:
            Conflict: another client changed it in between.
        """
        found, sequence = await self._get(key, is_direct=False)
        if found != expected:
            return False
        await self._put(key, value, after=sequence)
        return True

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum.

        Raises:
            Conflict: another client changed it in between.
        """
        found, sequence = await self._get(key, is_direct=False)
        total = (found or 0) + 1
        await self._put(key, total, after=sequence)
        return total

    async def make_bucket(self, *, replica_count: int) -> None:
        """Create the bucket; harmless when it is there."""
        await self._api(
            f"STREAM.CREATE.KV_{self._bucket}",
            {
                "name": f"KV_{self._bucket}",
                "subjects": [f"$KV.{self._bucket}.>"],
                "max_msgs_per_subject": 1,
                "num_replicas": replica_count,
                "storage": "file",
                "discard": "new",
                "allow_rollup_hdrs": True,
                "allow_direct": True,
            },
        )

    async def drop_bucket(self) -> None:
        """Delete the bucket and all that is in it."""
        await self._api(f"STREAM.DELETE.KV_{self._bucket}", {})

    async def state(self) -> dict[str, Any]:
        """Return what the bucket's leader says of the stream below it."""
        return await self._api(f"STREAM.INFO.KV_{self._bucket}", {})

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _get(self, key: str, *, is_direct: bool) -> tuple[int | None, int]:
        """Return value and sequence; a read changes nothing, so no failure of it leaves a doubt."""
        subject = f"$KV.{self._bucket}.{key}"
        try:
            if is_direct:
                reply = await self._connection.request(f"$JS.API.DIRECT.GET.KV_{self._bucket}.{subject}", b"")
                if reply.status == b"404":
                    return None, 0
                return int(reply.body), int(reply.header(b"Nats-Sequence"))
            answer = await self._api(f"STREAM.MSG.GET.KV_{self._bucket}", {"last_by_subj": subject})
        except (errors.IndefiniteError, ValueError) as cause:
            raise errors.Refused(f"read: {cause}") from cause
        if not answer:
            return None, 0
        return int(base64.b64decode(answer["message"]["data"])), int(answer["message"]["seq"])

    async def _put(self, key: str, value: int, *, after: int | None = None) -> None:
        headers = b"" if after is None else b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % after
        reply = await self._connection.request(f"$KV.{self._bucket}.{key}", b"%d" % value, headers=headers)
        _checked(reply)

    async def _api(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        return _checked(await self._connection.request(f"$JS.API.{call}", msgspec.json.encode(body)))


def _checked(reply: Reply) -> dict[str, Any]:
    """Return the decoded answer, nothing for "not found"; raise what an error in it says about the request."""
    try:
        answer: dict[str, Any] = msgspec.json.decode(reply.body, type=dict[str, Any])
    except msgspec.MsgspecError as cause:
        raise errors.ConnectionLost(f"an answer that is no JSON: {reply.body[:60]!r}") from cause
    error = answer.get("error")
    if not error:
        return answer
    code, words = int(error.get("err_code", 0)), str(error.get("description", error))
    if code == _WRONG_SEQUENCE:
        raise errors.Conflict(words)
    if code == _NOT_FOUND:
        return {}
    if 400 <= int(error.get("code", 0)) < 500:
        raise errors.Refused(words)
    raise errors.ConnectionLost(words)
