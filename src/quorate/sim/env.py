"""The Env of one incarnation: every call first asks whether that life still lasts."""

import asyncio
import errno
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from quorate.env import Address, Endpoint, Env, File, Listener, Timer
from quorate.kernel import Duration, Instant
from quorate.sim.datagrams import DATAGRAM_BYTES_MAX, SimDatagramSocket
from quorate.sim.disk import Inode
from quorate.sim.listeners import SimServer

if TYPE_CHECKING:
    from quorate.sim.host import Incarnation


class SimClock:
    """The clocks of one host, as one incarnation sees them."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self._host = incarnation.host
        self._loop = incarnation.loop

    def now(self) -> Instant:
        """Return monotonic time in nanoseconds."""
        return Instant(self._loop.time_ns())

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970 as this host believes them."""
        return self._loop.time_ns() + self._host.time.wall_offset_ns

    def call_after(self, after: Duration, callback: Callable[[], None]) -> Timer:
        """Call back once, exactly after the span by `now`, or later when the host is stalled."""
        self._incarnation.check()
        return self._loop.call_at_ns(self._loop.time_ns() + max(0, after), callback)


class SimEndpoint:
    """One open datagram socket."""

    def __init__(self, socket: SimDatagramSocket, name: str) -> None:
        self._socket = socket
        self._name = name

    @property
    def address(self) -> Address:
        """The address in use, with the port that was given."""
        return Address(self._name, self._socket.local[1])

    def send(self, to: Address, payload: bytes) -> None:
        """Send without waiting."""
        assert len(payload) <= DATAGRAM_BYTES_MAX, "a datagram has at most 65,507 bytes"
        self._socket.send((to.host, to.port), payload)

    def close(self) -> None:
        """Receive no more."""
        self._socket.close()


class SimNetwork:
    """Best-effort datagrams of one incarnation."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation

    async def listen(self, address: Address, receiver: Callable[[Address, bytes], None]) -> Endpoint:
        """Receive datagrams sent to an address."""
        self._incarnation.check()
        host = self._incarnation.host
        _check_own(self._incarnation, address)

        def received(sender: tuple[str, int], payload: bytes) -> None:
            receiver(Address(*sender), payload)

        return SimEndpoint(host.bind_datagrams(self._incarnation, (host.ip, address.port), received), address.host)


class SimListener:
    """An open listening socket."""

    def __init__(self, server: SimServer, name: str) -> None:
        self._server = server
        self._port = server.sockets[0].getsockname()[1]
        self._name = name

    @property
    def address(self) -> Address:
        """The address in use, with the port that was given."""
        return Address(self._name, self._port)

    def close(self) -> None:
        """Accept no more."""
        self._server.close()


class SimStreams:
    """Reliable byte streams of one incarnation."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation

    async def connect(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> asyncio.Transport:
        """Open a connection; raise OSError when refused, unreachable or too slow."""
        self._incarnation.check()
        transport, _ = await self._incarnation.loop.create_connection(factory, address.host, address.port, ssl=tls)
        assert isinstance(transport, asyncio.Transport), "both kinds of connection are transports"
        return transport

    async def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accept connections; raise OSError when the address cannot be had."""
        self._incarnation.check()
        _check_own(self._incarnation, address)
        server = await self._incarnation.loop.create_server(factory, address.host, address.port, ssl=tls)
        return SimListener(server, address.host)


class SimFile:
    """One open file."""

    def __init__(self, incarnation: "Incarnation", name: str, inode: Inode) -> None:
        self.name = name
        self._incarnation = incarnation
        self._disk = incarnation.host.disk
        self._inode = inode

    def size_bytes(self) -> int:
        """Return the current length."""
        return len(self._inode.cache)

    def read(self, offset: int, byte_count: int) -> bytes:
        """Return up to so many bytes. Raise DiskError."""
        self._incarnation.check()
        return self._disk.read(self.name, self._inode, offset, byte_count)

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset. Raise DiskFull."""
        self._incarnation.check()
        self._disk.write(self.name, self._inode, offset, data)

    def truncate(self, size_bytes: int) -> None:
        """Cut the file."""
        self._incarnation.check()
        self._disk.truncate(self._inode, size_bytes)

    async def sync(self) -> None:
        """Make content and length durable; takes a seeded time. Raise SyncFailed."""
        self._incarnation.check()
        host = self._incarnation.host
        done = self._incarnation.loop.create_future()
        snapshot = self._disk.snapshot(self._inode)
        delay = self._disk.sync_delay(host.world.scheduler.now)
        host.world.scheduler.at(
            host.departs_at() + delay, host.kernel_gate, self._finish, snapshot, done, host.power_count
        )
        await done

    def _finish(
        self, snapshot: tuple[int, int, dict[int, bytes]], done: "asyncio.Future[None]", power_count: int
    ) -> None:
        # After a power cut nothing of it reaches the platter; without the process it does, and nobody hears of it.
        host = self._incarnation.host
        if not host.is_up or host.power_count != power_count:
            return
        try:
            self._disk.finish_sync(self.name, self._inode, snapshot)
        except Exception as error:  # noqa: BLE001  it belongs to whoever awaits
            self._incarnation.enter(_settle, done, error)
        else:
            self._incarnation.enter(_settle, done, None)

    def sync_now(self) -> None:
        """Make content and length durable, stalling the host for a seeded time. Raise SyncFailed."""
        self._incarnation.check()
        self._incarnation.stall(self._disk.sync_delay(self._incarnation.host.world.scheduler.now))
        self._disk.finish_sync(self.name, self._inode, self._disk.snapshot(self._inode))

    def close(self) -> None:
        """Give the file back."""


class SimDirectory:
    """The disk of one host, as one incarnation may use it."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self._disk = incarnation.host.disk

    def open(self, name: str, *, create: bool = False) -> File:
        """Open for reading and writing. Raise FileNotFoundError."""
        self._incarnation.check()
        return SimFile(self._incarnation, name, self._disk.open(name, create=create))

    def names(self, prefix: str = "") -> list[str]:
        """Return the names that begin with a prefix, sorted."""
        self._incarnation.check()
        return self._disk.names(prefix)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        self._incarnation.check()
        self._disk.rename(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._incarnation.check()
        self._disk.remove(name)

    def sync_names(self) -> None:
        """Make all changes of names durable. Raise SyncFailed."""
        self._incarnation.check()
        self._incarnation.stall(self._disk.sync_delay(self._incarnation.host.world.scheduler.now))
        self._disk.sync_names()

    def free_bytes(self) -> int:
        """Return how much can still be written."""
        return self._disk.free_bytes


def make_env(incarnation: "Incarnation") -> Env:
    """Return the world of one incarnation."""
    host = incarnation.host
    buggify = host.world.buggify

    def dice(site: str) -> bool:
        return buggify(host, site)

    return Env(
        node=host.node,
        clock=SimClock(incarnation),
        network=SimNetwork(incarnation),
        streams=SimStreams(incarnation),
        disk=SimDirectory(incarnation),
        rng=host.world.choices.random("env", host.name, incarnation.boot_count),
        buggify=dice,
    )


def _check_own(incarnation: "Incarnation", address: Address) -> None:
    host = incarnation.host
    if address.host not in {"", "0.0.0.0"} and host.world.find(address.host, host) is not host:
        raise OSError(errno.EADDRNOTAVAIL, f"{address} is not an address of {host.name}")


def _settle(future: "asyncio.Future[Any]", error: BaseException | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
