"""UDP: datagrams that arrive whole, late, twice or never."""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from quorate.sim.sockets import os_error
from quorate.sim.transports import SocketInfo

if TYPE_CHECKING:
    from quorate.sim.host import Host, Incarnation

DATAGRAM_BYTES_MAX: Final = 65_507
# An Ethernet header, an IP header and a UDP header.
OVERHEAD_BYTES: Final = 42


class SimDatagramSocket:
    """One bound UDP port of an incarnation."""

    def __init__(
        self,
        incarnation: "Incarnation",
        local: tuple[str, int],
        receiver: Callable[[tuple[str, int], bytes], None],
        on_refused: Callable[[OSError], None] | None = None,
    ) -> None:
        self.incarnation = incarnation
        self.local = local
        self.is_closed = False
        self._receiver = receiver
        self._on_refused = on_refused
        self._context = copy_context()

    def send(self, to: tuple[str, int], payload: bytes) -> None:
        """Send to (name or address, port); silence when nobody is there."""
        if self.is_closed or not self.incarnation.is_alive:
            return
        source = self.incarnation.host
        target = source.world.find(to[0], source)
        if target is None:
            return
        departs_at = source.departs_at()
        delays = source.world.links.datagram_delays(
            source.number, target.number, now=departs_at, byte_count=len(payload) + OVERHEAD_BYTES
        )
        for delay in delays:
            source.world.scheduler.at(departs_at + delay, target.kernel_gate, self._arrive, target, to[1], payload)
        observer = source.world.links.observer
        if observer is not None and not delays:
            observer.happened(departs_at, source.name, f"datagram to {target.name} lost")

    def _arrive(self, target: "Host", port: int, payload: bytes) -> None:
        source = self.incarnation.host
        if not target.is_up or source.world.links.is_cut(source.number, target.number):
            return
        receiver = target.datagrams.get(port)
        if receiver is not None:
            observer = source.world.links.observer
            if observer is not None:
                # The moment of sending is not kept for datagrams.
                now = source.world.now
                observer.arrived(now, source, target, now, (payload,))
            receiver.incarnation.enter(receiver._receive, (source.ip, self.local[1]), payload, context=self._context)
        elif self._on_refused is not None and not self.is_closed:
            # Port unreachable comes back; only a connected socket hears of it.
            self.incarnation.loop.call_soon(self._on_refused, os_error(errno.ECONNREFUSED))

    def _receive(self, sender: tuple[str, int], payload: bytes) -> None:
        if not self.is_closed:
            self._receiver(sender, payload)

    def close(self) -> None:
        """Give the port back."""
        if not self.is_closed:
            self.is_closed = True
            self.incarnation.host.datagrams.pop(self.local[1], None)


class SimDatagramTransport(asyncio.DatagramTransport):
    """A UDP endpoint for an asyncio protocol."""

    def __init__(
        self, incarnation: "Incarnation", local: tuple[str, int], protocol: Any, remote: tuple[str, int] | None
    ) -> None:
        super().__init__(
            {"sockname": local, "peername": remote, "socket": SocketInfo(socket.SOCK_DGRAM, local, remote)}
        )
        self._loop = incarnation.loop
        self._protocol = protocol
        self._remote = remote
        self._is_closing = False
        self._socket = incarnation.host.bind_datagrams(
            incarnation, local, self._received, protocol.error_received if remote is not None else None
        )
        self._extra: dict[str, Any]
        self._extra["sockname"] = self._socket.local
        self._extra["socket"] = SocketInfo(socket.SOCK_DGRAM, self._socket.local, remote)

    def _received(self, sender: tuple[str, int], payload: bytes) -> None:
        if not self._is_closing and (self._remote is None or sender == self._remote):
            self._protocol.datagram_received(payload, sender)

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._remote is not None:
            if addr not in {None, self._remote}:
                raise ValueError(f"Invalid address: must be None or {self._remote}")
            addr = self._remote
        if addr is None:
            raise ValueError("an address is needed")
        if len(data) > DATAGRAM_BYTES_MAX:
            self._loop.call_soon(self._protocol.error_received, os_error(errno.EMSGSIZE))
            return
        self._socket.send((addr[0], addr[1]), bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return 0: nothing waits here."""
        return 0

    def is_closing(self) -> bool:
        """Return whether it is closed or on the way."""
        return self._is_closing

    def close(self) -> None:
        """Receive no more."""
        if not self._is_closing:
            self._is_closing = True
            self._socket.close()
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Receive no more."""
        self.close()
