"""What a trial needs of a system under test: five methods, and a client with four.

To put another server on trial, write these five methods (docs/trials.md has a worked example). The trial owns time,
faults, recording and the verdict; an adapter knows only how to start, stop and talk to its server.
"""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from quorate.kernel import NodeId
from quorate.lab.proxy import Links

Signal = Literal["crash", "pause", "terminate"]

SIGNALS: Mapping[Signal, signal.Signals] = {
    "crash": signal.SIGKILL,
    "pause": signal.SIGSTOP,
    "terminate": signal.SIGTERM,
}


class Leadership(msgspec.Struct, frozen=True):
    """Who leads, as far as the nodes say."""

    # None when no node that answers says that it leads.
    node: NodeId | None = None
    # Grows with every change of leader; 0 where the system has no such number.
    term: int = 0
    # Nodes that answered.
    answered: tuple[NodeId, ...] = ()


class Client(Protocol):
    """One client process's connection to the system. One call at a time.

    Every call either returns, or raises one of `quorate.kernel.errors`: a `DefiniteError` only when the operation did
    not and will not happen, an `IndefiniteError` whenever it may have. This line is what a trial stands on: a client
    that retries behind our back, or calls a lost write failed, makes every verdict worthless.
    """

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""

    async def write(self, key: str, value: int) -> None:
        """Give a key a value."""

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Give a key a value if it has the expected one; return whether it was so."""

    async def increment(self, key: str) -> int:
        """Add one to a counter (absent is 0); return the sum."""

    async def close(self) -> None:
        """Close the connection; never raises."""


class System(Protocol):
    """A system under test: five methods. One instance serves one trial.

    `name` is printed; `model_note` is one sentence for the report about what is expected of it.
    """

    name: str

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Prepare data directories, ports and configurations; start nothing.

        Every address by which one node reaches another must come from `links.route(source, target, address)`,
        or faults between nodes will harm nothing. Raise UsageError when the system cannot run here.
        """

    async def start(self, node: NodeId) -> None:
        """Start a node, also after a crash, on the data it left; let a paused one go on. Do not wait for it."""

    async def stop(self, node: NodeId, how: Signal) -> None:
        """Harm a node's process: "crash" (kill -9), "pause" (SIGSTOP), "terminate" (SIGTERM). Harmless twice."""

    async def leader(self) -> Leadership:
        """Ask all nodes who leads, with a short timeout (at most 0.5 s); never raises. One call at a time."""

    def client(self, process: int) -> Client:
        """Return a new, unconnected client; processes are spread over the nodes by their number."""


@runtime_checkable
class Skewing(Protocol):
    """A system whose nodes can be given wrong wall clocks; without these two methods `skew` is refused."""

    def allow_skew(self) -> None:
        """Prepare for it, before `setup`. Raise UsageError when it cannot be had."""

    def skew(self, node: NodeId, offset_s: float) -> None:
        """Let a node's wall clock differ from the true one by so many seconds, a monotonic one not at all."""


class Closing(Protocol):
    """A system that holds connections or processes."""

    async def close(self) -> None:
        """Kill all processes and close all connections; never raises."""
