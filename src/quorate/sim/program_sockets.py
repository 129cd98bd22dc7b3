"""The socket object that a program on a host makes for itself: `socket.socket` without a descriptor."""

import asyncio
import errno
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from quorate.sim.failures import Unsimulated
from quorate.sim.sockets import SimSocket, os_error

if TYPE_CHECKING:
    from quorate.sim.host import Incarnation

BLOCKING = "blocking sockets are not simulated: call setblocking(False) and use asyncio"


class ProgramSocket(socket.socket):
    """A TCP socket of one incarnation. The constructor of the base never runs, so there is nothing to leak.

    It can be bound, connected (`loop.sock_connect`), listened on, read and written through the loop, and handed over
    to `create_connection`, `create_server`.
    """

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002  the signature of the base
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        from quorate.sim.loop import running_incarnation

        if fileno is not None or family not in {-1, socket.AF_INET, socket.AF_INET6}:
            raise Unsimulated("only sockets of the internet are simulated: no descriptors, no Unix sockets")
        if type not in {-1, socket.SOCK_STREAM}:
            raise Unsimulated("datagram sockets are simulated by loop.create_datagram_endpoint only")
        incarnation = running_incarnation()
        assert incarnation is not None, "sockets of a host are made by its program"
        self._setup(incarnation)

    def _setup(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self._birth = incarnation.host.world.scheduler.birth()
        self._timeout: float | None = None
        self._bound: tuple[Any, int] | None = None
        self._stream: SimSocket | None = None
        # What the base's context manager and `repr` look at.
        self._closed = False
        self._is_listening = False
        self._waiters: list[asyncio.Future[None]] = []
        self._arrived: deque[SimSocket] = deque()

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make the object without asking the operating system."""
        base: Any = socket.socket.__base__
        return base.__new__(cls)  # type: ignore[no-any-return]

    def __hash__(self) -> int:
        return self._birth

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return f"<ProgramSocket {self._birth} of {self._incarnation.host.name}>"

    # -- what a program asks ----------------------------------------------------------------------------------------

    @property
    def family(self) -> socket.AddressFamily:
        """Return AF_INET."""
        return socket.AF_INET

    @property
    def type(self) -> socket.SocketKind:
        """Return SOCK_STREAM."""
        return socket.SOCK_STREAM

    @property
    def proto(self) -> int:
        """Return the protocol's number."""
        return socket.IPPROTO_TCP

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001  the signature of the base
        """Set whether calls may block; such calls are refused."""
        self._timeout = None if flag else 0.0

    def settimeout(self, value: float | None, /) -> None:
        """Set how long calls may block; such calls are refused unless it is 0."""
        self._timeout = value

    def gettimeout(self) -> float | None:
        """Return what was set."""
        return self._timeout

    def getblocking(self) -> bool:
        """Return whether calls may block."""
        return self._timeout != 0.0

    def setsockopt(self, *_: Any) -> None:
        """Take any option; none changes the simulation."""

    def getsockopt(self, *_: Any) -> int:  # type: ignore[override]
        """Return 0: no error."""
        return 0

    def getsockname(self) -> tuple[str, int]:
        """Return the own address."""
        if self._stream is not None:
            return self._stream.local
        return (self._incarnation.host.ip, self._bound[1]) if self._bound else ("0.0.0.0", 0)

    def getpeername(self) -> tuple[str, int]:
        """Return the other side's address."""
        return self._connected().remote

    def bind(self, address: Any, /) -> None:
        """Choose the own address; the port is taken when listening begins."""
        host, port = self._incarnation.host, int(address[1])
        if address[0] not in {"", "0.0.0.0", "::"} and host.world.find(address[0], host) is not host:
            raise os_error(errno.EADDRNOTAVAIL)
        if port in host.listeners:
            raise os_error(errno.EADDRINUSE)
        self._bound = (address[0] or None, port or host.ephemeral_port())

    def listen(self, backlog: int = 128, /) -> None:
        """Take connections from now on."""
        if not self._is_listening:
            if self._bound is None:
                self.bind(("", 0))
            assert self._bound is not None, "just bound"
            self._incarnation.host.bind_listener(self._bound[1], _Doorman(self))
            self._is_listening = True

    def shutdown(self, how: int, /) -> None:
        """Send FIN unless only reading ends."""
        if how != socket.SHUT_RD:
            self._connected().shut_writing()

    def close(self) -> None:
        """Give it up."""
        if self._closed:
            return
        self._closed = True
        self._stop_listening()
        if self._stream is not None:
            self._incarnation.sockets.pop(self._stream, None)
            self._stream.close()

    def detach(self) -> int:
        """Give it up without closing; there is no descriptor to return."""
        self._stream = None
        return -1

    def _refuse_blocking(self, *_: Any, **__: Any) -> Any:
        raise Unsimulated(BLOCKING)

    connect = connect_ex = accept = recv = recv_into = recvfrom = send = sendall = sendto = _refuse_blocking
    makefile = dup = sendfile = recvmsg = sendmsg = _refuse_blocking

    # -- what the loop asks -----------------------------------------------------------------------------------------

    def _connected(self) -> SimSocket:
        if self._stream is None:
            raise os_error(errno.EBADF if self._closed else errno.ENOTCONN)
        return self._stream

    def connected(self, stream: SimSocket) -> None:
        """Take the connection that the loop made."""
        if self._closed:
            stream.close()
            raise os_error(errno.EBADF)
        self._stream = stream
        stream.owner = self

    def hand_over(self) -> SimSocket:
        """Give the connection to a transport."""
        stream = self._connected()
        self._stream = None
        return stream

    def hand_over_bound(self) -> tuple[Any, int]:
        """Give the bound address to a server."""
        if self._bound is None:
            raise os_error(errno.EINVAL)
        self._stop_listening()
        return self._bound

    def _stop_listening(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self._incarnation.host.listeners.pop(self._bound[1] if self._bound else 0, None)

    def hold(self, stream: SimSocket) -> None:
        """Hold a new connection until the program asks for it."""
        self._arrived.append(stream)
        self._wake()

    async def accept_one(self) -> tuple["ProgramSocket", tuple[str, int]]:
        """Return the next connection and its other side's address."""
        while not self._arrived:
            await self._wait()
        stream = self._arrived.popleft()
        taken = ProgramSocket.__new__(ProgramSocket)
        taken._setup(self._incarnation)
        taken.settimeout(0.0)
        taken.connected(stream)
        return taken, stream.remote

    async def receive(self, byte_count: int) -> bytes:
        """Return what arrived; empty at the end."""
        stream = self._connected()
        while not (stream.inbox or stream.is_fin_received):
            if stream.error is not None:
                raise stream.error
            await self._wait()
        return stream.read(byte_count)

    async def send_all(self, data: bytes) -> None:
        """Send, waiting for room."""
        stream = self._connected()
        while data:
            data = data[stream.send(data) :]
            if data:
                await self._wait()

    async def _wait(self) -> None:
        waiter = self._incarnation.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # The kernel's side calls these when something arrives and when there is room.
    wake_reader = wake_writer = _wake


class _Doorman:
    """Takes the connections of a listening socket, whose own `accept` is the blocking call."""

    def __init__(self, sock: ProgramSocket) -> None:
        self._sock = sock

    def accept(self, sock: SimSocket) -> None:
        """Hold a connection until the program asks for it."""
        self._sock.hold(sock)


def own_socket(sock: Any) -> ProgramSocket:
    """Return a socket of the world; raise ValueError for one from outside."""
    if not isinstance(sock, ProgramSocket):
        raise ValueError(f"{sock!r} exists outside the world and cannot be used in it")  # noqa: TRY004  as asyncio says it
    return sock
