"""One RESP3 connection: requests in, replies in the same order out, pushes to a listener."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis

from quorate.env import Address, Streams
from quorate.kernel.errors import ConnectionLost, QuorateError, Unreachable, from_code

_NOTHING = object()
"""What the parser returns while no reply is complete."""


def encode_request(args: Sequence[bytes]) -> bytes:
    """Return a request as RESP writes it: an array of bulk strings."""
    bulks = b"".join([b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args])
    return b"*%d\r\n%b" % (len(args), bulks)


def to_error(text: str) -> QuorateError:
    """Return the error that an error reply says."""
    code, _, sentence = text.partition(" ")
    return from_code(code, sentence or text)


class Connection(asyncio.Protocol):
    """A connection to one node. A request fails definitely while nothing was sent, indefinitely after."""

    def __init__(self, on_push: Callable[[list[Any]], None] | None = None) -> None:
        self.is_open = False
        # Called once when the connection ends, unless cleared.
        self.on_lost: Callable[[], None] | None = None
        self._on_push = on_push
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = hiredis.Reader(protocolError=ConnectionLost, replyError=to_error, notEnoughData=_NOTHING)

    @classmethod
    async def open(
        cls,
        streams: Streams,
        address: Address,
        *,
        password: str = "",
        on_push: Callable[[list[Any]], None] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> "Connection":
        """Connect and greet; raise Unreachable, or the refusal of the node."""
        connection = cls(on_push)
        try:
            await streams.connect(address, lambda: connection, tls=tls)
        except OSError as cause:
            raise Unreachable(f"no node answers at {address}: {cause}") from cause
        auth = [b"AUTH", b"default", password.encode()] if password else []
        try:
            await connection.request([b"HELLO", b"3", *auth])
        except BaseException:
            connection.close()
            raise
        return connection

    async def request(self, args: Sequence[bytes]) -> Any:
        """Send a request and return its reply; raise the error that it is."""
        if not self.is_open or self._transport is None:
            raise Unreachable("the connection is closed; nothing was sent")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(encode_request(args))
        reply = await future
        if isinstance(reply, QuorateError):
            raise reply
        return reply

    def close(self) -> None:
        """Close; what waits fails indefinitely."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not asyncio's by inheritance
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Hand replies to those who wait, pushes to the listener."""
        self._reader.feed(data)
        while True:
            try:
                reply = self._reader.gets()
            except ConnectionLost:  # not RESP: nothing behind it can be trusted
                self.close()
                return
            if reply is _NOTHING:
                return
            if isinstance(reply, hiredis.PushNotification):
                if self._on_push is not None:
                    self._on_push(list(reply))
            elif self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits: it may have happened."""
        self.is_open = False
        if self.on_lost is not None:
            self.on_lost()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(ConnectionLost("the connection broke; the request may have happened"))
