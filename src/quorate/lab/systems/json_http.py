"""JSON over HTTP/1.1 on one kept connection: as much of it as an adapter needs."""

import asyncio
import contextlib
from typing import Any

import msgspec

from quorate.env import Address
from quorate.kernel import errors

_BODY_BYTES_MAX = 16 << 20


class JSONConnection:
    """Posts JSON and reads JSON, one request at a time; connects when needed.

    Errors: `Unreachable` when nothing was sent, `TimedOut` and `ConnectionLost` after that.
    """

    def __init__(self, address: Address, *, timeout_s: float, connect_timeout_s: float = 0.5) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Return the status and the decoded answer."""
        reader, writer = await self._connected()
        payload = msgspec.json.encode(body)
        head = f"POST {path} HTTP/1.1\r\nHost: {self._address}\r\nContent-Length: {len(payload)}\r\n\r\n"
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(head.encode("ascii") + payload)
                return await _read_answer(reader)
        except TimeoutError as cause:
            await self.close()
            raise errors.TimedOut(f"no answer from {self._address} in {self._timeout_s} s") from cause
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as cause:
            await self.close()
            raise errors.ConnectionLost(f"{self._address}: {cause}") from cause

    async def close(self) -> None:
        """Close the connection; never raises."""
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is not None and self._writer is not None and not self._reader.at_eof():
            return self._reader, self._writer
        await self.close()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                self._reader, self._writer = await asyncio.open_connection(*self._address)
        except OSError as cause:
            raise errors.Unreachable(f"{self._address}: {cause}") from cause
        return self._reader, self._writer


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1."):
        raise ValueError(f"no HTTP status line: {lines[0][:60]!r}")
    status = int(lines[0].split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        length = int(headers.get("content-length", "0"))
        if length > _BODY_BYTES_MAX:
            raise ValueError(f"an answer of {length} bytes")
        body = await reader.readexactly(length)
    try:
        return status, msgspec.json.decode(body) if body else None
    except msgspec.DecodeError:
        return status, body.decode("utf-8", "replace")


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while length := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        if len(body) + length > _BODY_BYTES_MAX:
            raise ValueError("an answer without an end")
        body += await reader.readexactly(length)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers, which gRPC gateways send
    return bytes(body)
