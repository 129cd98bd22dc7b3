"""Listening sockets, dialling, and the asyncio server object."""

import asyncio
import errno
import socket
import ssl
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from quorate.sim.sockets import SimSocket, os_error
from quorate.sim.tls import make_shell
from quorate.sim.transports import SimTransport, SocketInfo

if TYPE_CHECKING:
    from quorate.sim.host import Host, Incarnation
    from quorate.sim.loop import SimLoop

SYN_PAUSE_NS: Final = 1_000_000_000
PACKET_BYTES: Final = 40


class Dial:
    """One attempt to connect: SYN until an answer, the listener's refusal, or silence for too long."""

    def __init__(
        self, incarnation: "Incarnation", target: "Host", port: int, done: "asyncio.Future[SimSocket]"
    ) -> None:
        self._incarnation = incarnation
        self._host = incarnation.host
        self._target = target
        self._port = port
        self._done = done
        self._links = self._host.world.links
        self._scheduler = self._host.world.scheduler
        self._began_at = self._scheduler.now
        self._pause = SYN_PAUSE_NS
        self._syn()

    def _syn(self) -> None:
        if self._done.done():
            return
        if self._scheduler.now - self._began_at >= self._links.tcp.connect_timeout:
            self._incarnation.enter(self._fail, errno.ETIMEDOUT)
            return
        departs_at = self._host.departs_at()
        delay = self._links.stream_delay(
            self._host.number, self._target.number, now=departs_at, byte_count=PACKET_BYTES
        )
        self._scheduler.at(departs_at + delay, self._target.kernel_gate, self._syn_arrives)
        self._scheduler.at(departs_at + self._pause, self._host.kernel_gate, self._syn)
        self._pause *= 2

    def _syn_arrives(self) -> None:
        target = self._target
        if self._done.done() or not target.is_up or self._links.is_cut(self._host.number, target.number):
            return
        delay = self._links.stream_delay(
            target.number, self._host.number, now=self._scheduler.now, byte_count=PACKET_BYTES
        )
        is_listening = self._port in target.listeners
        self._scheduler.at(
            self._scheduler.now + delay, self._host.kernel_gate, self._answer_arrives, is_listening, target.power_count
        )

    def _answer_arrives(self, is_listening: bool, power_count: int) -> None:  # noqa: FBT001  an event's argument
        host, target = self._host, self._target
        if self._done.done() or not self._incarnation.is_alive or self._links.is_cut(target.number, host.number):
            return
        if self._links.observer is not None:
            how = "connected to" if is_listening else "refused by"
            text = f"{how} {target.name}:{self._port}"
            self._links.observer.happened(self._scheduler.now, host.name, text)
        if not is_listening:
            self._incarnation.enter(self._fail, errno.ECONNREFUSED)
            return
        port = host.ephemeral_port()
        mine = SimSocket(host, local=(host.ip, port), remote=(target.ip, self._port))
        theirs = SimSocket(target, local=mine.remote, remote=mine.local)
        theirs.power_count = power_count
        mine.peer, theirs.peer = theirs, mine
        self._incarnation.sockets[mine] = None
        mine.begin()
        self._incarnation.enter(self._finish, mine)

    def _finish(self, sock: SimSocket) -> None:
        if self._done.done():
            sock.close()
        else:
            self._done.set_result(sock)

    def _fail(self, number: int) -> None:
        if not self._done.done():
            self._done.set_exception(os_error(number))


class SimServer(asyncio.AbstractServer):
    """What `create_server` returns."""

    def __init__(
        self,
        loop: "SimLoop",
        incarnation: "Incarnation",
        addresses: list[tuple[str, int]],
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ssl.SSLContext | None,
        handshake: dict[str, float | None],
    ) -> None:
        self._loop = loop
        self._incarnation = incarnation
        self._factory = factory
        self._tls = tls
        self._handshake = handshake
        self._addresses = addresses
        self._is_serving = False
        self._is_closed = False
        self._active_count = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        for address in addresses:
            incarnation.host.bind_listener(address[1], self)

    @property
    def sockets(self) -> tuple[SocketInfo, ...]:
        """Return what tells the addresses in use; none once closed."""
        if self._is_closed:
            return ()
        return tuple(SocketInfo(socket.SOCK_STREAM, address, None) for address in self._addresses)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that serves."""
        return self._loop

    def is_serving(self) -> bool:
        """Return whether connections are accepted."""
        return self._is_serving

    def start(self) -> None:
        """Accept, also what knocked before."""
        self._is_serving = True

    async def start_serving(self) -> None:
        """Accept connections."""
        self.start()

    async def serve_forever(self) -> None:
        """Accept connections until cancelled."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        if self._is_closed:
            raise RuntimeError(f"server {self!r} is closed")
        self.start()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Accept no more; connections that exist go on."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_serving = False
        for _, port in self._addresses:
            self._incarnation.host.listeners.pop(port, None)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_waiters()

    async def wait_closed(self) -> None:
        """Wait for the end of all connections (before Python 3.12: return at once when closed)."""
        if self._is_closed and (sys.version_info < (3, 12) or not self._active_count):
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def accept(self, sock: SimSocket) -> None:
        """Give a new connection its protocol; the program's part of accepting."""
        if self._is_closed:
            sock.close()
            return
        protocol = self._factory()
        self._active_count += 1
        if self._tls is None:
            transport = SimTransport(self._incarnation, sock, protocol, {})
        else:
            shell = make_shell(self._loop, protocol, self._tls, None, server_side=True, **self._handshake)
            transport = SimTransport(self._incarnation, sock, shell, {})
        transport.on_lost = self._lost
        transport.begin()

    def _lost(self) -> None:
        self._active_count -= 1
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        if self._is_closed and not self._active_count:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)


def addresses_of(host: "Host", name: Any, port: int | None) -> list[tuple[str, int]]:
    """Return where a server binds: this host's own address, whatever wildcard was written."""
    names = name if isinstance(name, list | tuple) else [name]
    found = []
    for one in names:
        target = host if one in {None, "", "0.0.0.0", "::"} else host.world.find(one, host)
        if target is not host:
            raise OSError(errno.EADDRNOTAVAIL, f"error while attempting to bind on address {(one, port)!r}")
        found.append((host.ip, port or host.ephemeral_port()))
    # Names of one host are one address.
    return list(dict.fromkeys(found)) if port else found[:1]
