"""Connections of the load generator: raw asyncio Protocols, one request in flight each, and nothing else.

Redis' protocol is read by length alone, because every answer to the same request has the same length. gRPC is spoken
with constant header blocks and without decoding the answers' headers: an answer with a message is a success, one that
ends without any is a failure.

Source: RESP specification; RFC 9113 (HTTP/2); RFC 7541 (HPACK: literals without indexing, no Huffman);
gRPC over HTTP/2.
"""

import asyncio
import struct
import time
from array import array
from collections.abc import Callable
from typing import cast


class Sink:
    """Where all connections of a generator count; latencies in nanoseconds while `is_measuring`."""

    def __init__(self) -> None:
        self.is_measuring = False
        self.is_over = False
        self.latencies_ns = array("q")
        self.error_count = 0
        self.first_error = ""

    def answered(self, begin_ns: int, now_ns: int) -> None:
        """Count one success."""
        if self.is_measuring:
            self.latencies_ns.append(now_ns - begin_ns)

    def failed(self, words: str) -> None:
        """Count one failure."""
        self.error_count += 1
        self.first_error = self.first_error or words


class Requester(asyncio.Protocol):
    """Sends a request, waits for its answer, sends the next."""

    def __init__(self, sink: Sink, request: Callable[[], bytes]) -> None:
        self._sink = sink
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._begin_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; `begin` sends."""
        self._transport = cast("asyncio.Transport", transport)

    def begin(self) -> None:
        """Send the first request."""
        self._send()

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a failure unless all is over."""
        if not self._sink.is_over:
            self._sink.failed(f"connection lost: {exc}")

    def _send(self) -> None:
        if self._sink.is_over or self._transport is None:
            return
        self._begin_ns = time.perf_counter_ns()
        self._transport.write(self._request())

    def _answered(self) -> None:
        self._sink.answered(self._begin_ns, time.perf_counter_ns())
        self._send()


class RedisRequester(Requester):
    """One Redis connection.

    Args:
        sink: where to count.
        request: makes the next request (one or more commands).
        answer_bytes: how long its whole answer is; an answer that begins with "-" is a failure.
    """

    def __init__(self, sink: Sink, request: Callable[[], bytes], *, answer_bytes: int) -> None:
        super().__init__(sink, request)
        self._answer_bytes = answer_bytes
        self._received_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count bytes until the answer is whole."""
        if self._received_bytes == 0 and (data[:1] in {b"-", b"_"} or data[:3] == b"$-1"):
            self._sink.failed(data[:80].decode("utf-8", "replace").strip())
            self._send()
            return
        self._received_bytes += len(data)
        if self._received_bytes >= self._answer_bytes:
            self._received_bytes = 0
            self._answered()


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_WINDOW_BYTES = 1 << 30
_STREAM_ID_MAX = (1 << 31) - 1


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: bytes, value: bytes) -> bytes:
    """A header without indexing; a name of one byte below 64 is a place in the static table."""
    head = name if len(name) == 1 and name[0] < 64 else b"\x00" + bytes([len(name)]) + name
    return head + bytes([len(value)]) + value


class GRPCRequester(Requester):
    """One gRPC connection over plain HTTP/2, unary calls, one at a time."""

    def __init__(self, sink: Sink, request: Callable[[], bytes], *, path: str, authority: str) -> None:
        super().__init__(sink, request)
        self._make = request
        self._request = self._framed
        # :method POST, :scheme http from the static table, then :path (4), :authority (1), content-type, te.
        self._headers = (
            b"\x83\x86"
            + _literal(b"\x04", path.encode())
            + _literal(b"\x01", authority.encode())
            + _literal(b"content-type", b"application/grpc")
            + _literal(b"te", b"trailers")
        )
        self._stream = -1
        self._buffer = b""
        self._has_message = False
        self._send_window_bytes = 65_535
        self._is_waiting = False
        self._unacknowledged_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what opens HTTP/2, with windows that never bind."""
        super().connection_made(transport)
        assert self._transport is not None, "a connection that was made has a transport"
        settings = struct.pack(">HIHI", 0x4, _WINDOW_BYTES, 0x2, 0)  # initial window; no push
        window = struct.pack(">I", _WINDOW_BYTES)
        self._transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW_UPDATE, 0, 0, window))

    def data_received(self, data: bytes) -> None:
        """Take whole frames."""
        buffer = self._buffer + data if self._buffer else data
        place = 0
        while len(buffer) - place >= 9:
            length = int.from_bytes(buffer[place : place + 3], "big")
            if len(buffer) - place < 9 + length:
                break
            kind, flags = buffer[place + 3], buffer[place + 4]
            is_whole = buffer[place + 5 : place + 9] == b"\0\0\0\0"  # about the connection, not one stream
            self._on_frame(kind, flags, buffer[place + 9 : place + 9 + length], is_whole=is_whole)
            place += 9 + length
        self._buffer = buffer[place:]

    def _on_frame(self, kind: int, flags: int, payload: bytes, *, is_whole: bool) -> None:
        assert self._transport is not None, "frames come on a connection"
        if kind == _DATA:
            self._has_message = self._has_message or len(payload) >= 5
            self._unacknowledged_bytes += len(payload)
            if self._unacknowledged_bytes > _WINDOW_BYTES // 2:
                self._transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unacknowledged_bytes)))
                self._unacknowledged_bytes = 0
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW_UPDATE and is_whole:
            # A stream carries one request, far below its first window, so only the connection's can run out.
            self._send_window_bytes += int.from_bytes(payload, "big") & 0x7FFF_FFFF
            if self._is_waiting:
                self._is_waiting = False
                self._send()
        elif kind in {_RST_STREAM, _GOAWAY}:
            self._sink.failed(f"HTTP/2 frame {kind}: {payload[:60]!r}")
        if flags & _END_STREAM and kind in {_DATA, _HEADERS}:
            self._ended()

    def _ended(self) -> None:
        if self._has_message:
            self._answered()
        else:
            self._sink.failed("an answer without a message")
            self._send()

    def _send(self) -> None:
        if self._send_window_bytes < 4_096:
            self._is_waiting = True
            return
        super()._send()

    def _framed(self) -> bytes:
        self._stream += 2
        assert self._stream <= _STREAM_ID_MAX, "a connection has a bounded number of streams"
        self._has_message = False
        message = self._make()
        body = b"\x00" + struct.pack(">I", len(message)) + message
        self._send_window_bytes -= len(body)
        head = _frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
        return head + _frame(_DATA, _END_STREAM, self._stream, body)
