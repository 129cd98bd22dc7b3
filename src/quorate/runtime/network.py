"""Sockets of this machine: datagrams and streams."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

from quorate.env import Address, Endpoint, Listener

DATAGRAM_BYTES_MAX = 65_507


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams to a receiver; what the network reports is not our concern."""

    def __init__(self, receiver: Callable[[Address, bytes], None]) -> None:
        self._receiver = receiver

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand over what came."""
        self._receiver(Address(addr[0], addr[1]), data)


class RealEndpoint:
    """An open UDP socket."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport
        host, port = transport.get_extra_info("sockname")[:2]
        self._address = Address(host, port)

    @property
    def address(self) -> Address:
        """The address in use."""
        return self._address

    def send(self, to: Address, payload: bytes) -> None:
        """Send without waiting; what cannot be sent is lost."""
        assert len(payload) <= DATAGRAM_BYTES_MAX, "a datagram is at most 65,507 bytes"
        if not self._transport.is_closing():
            with contextlib.suppress(OSError):
                self._transport.sendto(payload, tuple(to))

    def close(self) -> None:
        """Receive no more."""
        self._transport.close()


class RealNetwork:
    """UDP."""

    async def listen(self, address: Address, receiver: Callable[[Address, bytes], None]) -> Endpoint:
        """Open a socket; raise OSError that names the address."""
        loop = asyncio.get_running_loop()
        # Bound here and not by the loop: uvloop leaves its transport open when the address is in use.
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _name, place = found[0]
            bound = socket.socket(family, kind, protocol)
            try:
                bound.settimeout(0)
                bound.bind(place)
            except OSError:
                bound.close()
                raise
        except OSError as cause:
            raise _named(cause, address) from cause
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(receiver), sock=bound)
        return RealEndpoint(transport)


class RealListener:
    """An open listening socket."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        host, port = server.sockets[0].getsockname()[:2]
        self._address = Address(host, port)

    @property
    def address(self) -> Address:
        """The address in use."""
        return self._address

    def close(self) -> None:
        """Accept no more."""
        self._server.close()


class RealStreams:
    """TCP, and TLS over it."""

    async def connect(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> asyncio.Transport:
        """Open a connection without Nagle's delay; raise OSError that names the address."""
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                factory, address.host, address.port, ssl=tls, server_hostname=address.host if tls else None
            )
        except ssl.SSLError:
            raise
        except OSError as cause:
            raise _named(cause, address) from cause
        _no_delay(transport)
        return transport

    async def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accept connections; raise OSError that names the address."""
        try:
            server = await asyncio.get_running_loop().create_server(
                factory, address.host, address.port, ssl=tls, backlog=1024, reuse_address=True
            )
        except OSError as cause:
            raise _named(cause, address) from cause
        return RealListener(server)


def _no_delay(transport: asyncio.BaseTransport) -> None:
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _named(cause: OSError, address: Address) -> OSError:
    named = type(cause)(cause.errno, f"{address}: {cause.strerror or cause}")
    return named if cause.errno is not None else OSError(f"{address}: {cause}")
