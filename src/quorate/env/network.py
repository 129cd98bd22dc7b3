"""How a node reaches others: datagrams, and, as a second and separate thing, reliable streams."""

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple, Protocol


class Address(NamedTuple):
    """Where something listens."""

    host: str
    # 0 asks for any free port.
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Network(Protocol):
    """Best-effort datagrams.

    Guarantees: a datagram arrives whole or not at all; it may be lost, repeated, delayed and reordered; nothing is
    said about failures. At most 65,507 bytes each; larger ones are an assertion.
    """

    async def listen(self, address: Address, receiver: Callable[[Address, bytes], None]) -> "Endpoint":
        """Receive datagrams sent to an address; raise OSError when it cannot be had."""


class Endpoint(Protocol):
    """One open datagram socket."""

    @property
    def address(self) -> Address:
        """The address in use, with the port that was given."""

    def send(self, to: Address, payload: bytes) -> None:
        """Send without waiting; never raises for what the network does."""

    def close(self) -> None:
        """Receive no more."""


class Listener(Protocol):
    """An open listening socket."""

    @property
    def address(self) -> Address:
        """The address in use, with the port that was given."""

    def close(self) -> None:
        """Accept no more; connections that exist go on."""


class Streams(Protocol):
    """Reliable ordered byte streams (TCP, TLS when a context is given), as plain asyncio protocols.

    Guarantees: bytes arrive in order, once, until the connection breaks; after a break nothing is known about the
    bytes still under way. Both worlds call the protocols exactly as asyncio documents, flow control included.
    """

    async def connect(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> asyncio.Transport:
        """Open a connection; raise OSError when refused, unreachable or too slow."""

    async def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None = None
    ) -> Listener:
        """Accept connections; raise OSError when the address cannot be had (its sentence names the address)."""
