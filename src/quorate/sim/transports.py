"""The program's side of TCP: an asyncio transport over a simulated socket."""

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from quorate.sim.scheduler import DEAD, OPEN
from quorate.sim.sockets import SimSocket

if TYPE_CHECKING:
    from quorate.sim.host import Incarnation

log = logging.getLogger("quorate.sim")

READ_BYTES_MAX = 256 << 10
# As asyncio does: after so many writes into a broken connection it says so.
LOST_WRITES_TOLD = 5


class SocketInfo:
    """What programs ask a transport's socket: its names and options, nothing that moves bytes."""

    family = socket.AF_INET
    proto = 0

    def __init__(self, kind: int, local: tuple[str, int], remote: tuple[str, int] | None) -> None:
        self.type = kind
        self._local = local
        self._remote = remote

    def getsockname(self) -> tuple[str, int]:
        """Return the own address."""
        return self._local

    def getpeername(self) -> tuple[str, int]:
        """Return the other side's address."""
        if self._remote is None:
            raise OSError(errno.ENOTCONN, "not connected")
        return self._remote

    def setsockopt(self, *_: object) -> None:
        """Take any option; none changes the simulation."""

    def getsockopt(self, *_: object) -> int:
        """Return 0."""
        return 0

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1


class SimTransport(asyncio.Transport):
    """A connection of one incarnation; calls its protocol exactly as asyncio's own transports do."""

    def __init__(
        self, incarnation: "Incarnation", sock: SimSocket, protocol: asyncio.BaseProtocol, extra: dict[str, Any]
    ) -> None:
        super().__init__(
            {
                "sockname": sock.local,
                "peername": sock.remote,
                "socket": SocketInfo(socket.SOCK_STREAM, sock.local, sock.remote),
                **extra,
            }
        )
        self._incarnation = incarnation
        self._loop = incarnation.loop
        self._sock = sock
        self._context = copy_context()
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._high = 64 << 10
        self._low = 16 << 10
        self._is_protocol_paused = False
        self._is_paused = False
        # Between connection_made and end of file or close.
        self._is_reading = False
        self._is_eof_asked = False
        self._is_closing = False
        self._is_lost = False
        self._lost_writes = 0
        self._is_read_asked = False
        self.on_lost: Callable[[], None] | None = None
        self.set_protocol(protocol)
        sock.owner = self

    def begin(self, waiter: asyncio.Future[None] | None = None) -> None:
        """Tell the protocol, then read, then wake who waits for the connection."""
        self._loop.call_soon(self._protocol.connection_made, self, context=self._context)
        self._loop.call_soon(self._start_reading, context=self._context)
        if waiter is not None:
            self._loop.call_soon(_wake, waiter)

    def _start_reading(self) -> None:
        if not self._is_closing and not self._is_lost:
            self._is_reading = True
            sock = self._sock
            if sock.inbox or sock.is_fin_received or sock.error is not None:
                self._ask_read()

    # -- protocol ---------------------------------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol go on."""
        self._protocol: Any = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol  # type: ignore[no-any-return]

    # -- reading ----------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        """Return whether arriving bytes are handed on."""
        return not self._is_closing and not self._is_paused

    def pause_reading(self) -> None:
        """Leave arriving bytes in the kernel."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Hand on what arrives again."""
        if self._is_paused and not self._is_closing:
            self._is_paused = False
            self._ask_read()

    def wake_reader(self) -> None:
        """Read now when the program can, else when it can again."""
        if not self._is_reading or self._is_paused:
            return
        if self._incarnation.gate.state == OPEN:
            self._context.run(self._read)
        else:
            self._ask_read()

    def _ask_read(self) -> None:
        if not self._is_read_asked and self._incarnation.gate.state != DEAD:
            self._is_read_asked = True
            self._loop.call_soon(self._read_asked, context=self._context)

    def _read_asked(self) -> None:
        self._is_read_asked = False
        self._read()

    def _read(self) -> None:
        if not self._is_reading or self._is_paused:
            return
        sock = self._sock
        try:
            if sock.inbox:
                self._hand_on(sock)
                if sock.inbox or sock.is_fin_received or sock.error is not None:
                    self._ask_read()
            elif sock.error is not None:
                self._break(sock.error)
            elif sock.is_fin_received:
                self._is_reading = False
                if not self._protocol.eof_received():
                    self.close()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  as asyncio: a protocol that raises loses its connection
            self._fatal(error, "Fatal error: a protocol's callback failed.")

    def _hand_on(self, sock: SimSocket) -> None:
        if self._is_buffered:
            room = self._protocol.get_buffer(-1)
            data = sock.read(len(room))
            room[: len(data)] = data
            self._protocol.buffer_updated(len(data))
        else:
            self._protocol.data_received(sock.read(READ_BYTES_MAX))

    # -- writing ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or buffer what does not fit."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._is_eof_asked:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not data:
            return
        if self._is_lost or self._lost_writes:
            if self._lost_writes >= LOST_WRITES_TOLD:
                log.warning("socket.send() raised exception.")
            self._lost_writes += 1
            return
        whole = data if isinstance(data, bytes) else bytes(data)
        if not self._buffer:
            try:
                count = self._sock.send(whole)
            except OSError as error:
                self._break(error)
                return
            if count == len(whole):
                return
            whole = whole[count:]
        self._buffer.append(whole)
        self._buffer_bytes += len(whole)
        self._maybe_pause()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all parts as one."""
        self.write(b"".join(list_of_data))

    def wake_writer(self) -> None:
        """Go on with what is buffered, now or when the program can again."""
        if (self._buffer or self._is_closing) and self._incarnation.gate.state != DEAD:
            self._loop.call_soon(self._write_on, context=self._context)

    def _write_on(self) -> None:
        if self._is_lost or not self._buffer:
            return
        try:
            while self._buffer:
                data = self._buffer[0]
                count = self._sock.send(data)
                self._buffer_bytes -= count
                if count < len(data):
                    self._buffer[0] = data[count:]
                    break
                self._buffer.popleft()
        except OSError as error:
            self._break(error)
            return
        self._maybe_resume()
        if not self._buffer:
            if self._is_closing:
                self._lose(None)
            elif self._is_eof_asked:
                self._sock.shut_writing()

    def can_write_eof(self) -> bool:
        """Return True: streams can be half closed."""
        return True

    def write_eof(self) -> None:
        """Send end of file after what is buffered."""
        if self._is_closing or self._is_eof_asked:
            return
        self._is_eof_asked = True
        if not self._buffer:
            self._sock.shut_writing()

    # -- flow control -----------------------------------------------------------------------------------------------

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait in this transport."""
        return self._buffer_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return (low, high)."""
        return (self._low, self._high)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set where the protocol is told to pause and to go on; as asyncio computes them."""
        if high is None:
            high = 64 << 10 if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._maybe_pause()

    def _maybe_pause(self) -> None:
        if self._buffer_bytes > self._high and not self._is_protocol_paused:
            self._is_protocol_paused = True
            self._protocol.pause_writing()

    def _maybe_resume(self) -> None:
        if self._is_protocol_paused and self._buffer_bytes <= self._low:
            self._is_protocol_paused = False
            self._protocol.resume_writing()

    # -- ending -----------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Return whether it is closed or on the way."""
        return self._is_closing

    def close(self) -> None:
        """Close after what is buffered is sent."""
        if self._is_closing:
            return
        self._is_closing = True
        self._is_reading = False
        if not self._buffer:
            self._lose(None)

    def abort(self) -> None:
        """Close at once; what is buffered here is lost. The peer sees FIN, or RST if something was unread."""
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        self._buffer.clear()
        self._buffer_bytes = 0
        self._is_closing = True
        self._is_reading = False
        self._lose(error)

    def _break(self, error: OSError) -> None:
        """End because the connection is broken: no report, as asyncio does for the common errors."""
        self._lost_writes += 1
        self._force_close(error)

    def _fatal(self, error: BaseException, message: str) -> None:
        if not isinstance(error, OSError):
            self._loop.call_exception_handler(
                {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
            )
        self._force_close(error)

    def _lose(self, error: BaseException | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._loop.call_soon(self._tell_lost, error, context=self._context)

    def _tell_lost(self, error: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(error)
        finally:
            self._incarnation.sockets.pop(self._sock, None)
            self._sock.close()
            if self.on_lost is not None:
                self.on_lost()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
