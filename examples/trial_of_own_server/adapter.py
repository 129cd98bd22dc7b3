"""Puts the server beside this file on trial: an adapter of five methods, and a client that says what it does not know.

python examples/trial_of_own_server/adapter.py              kill -9 and SIGSTOP, again and again: VALID
python examples/trial_of_own_server/adapter.py --careless   INVALID: what was acknowledged is gone
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from quorate.env import Address
from quorate.kernel import NodeId, errors, seconds
from quorate.lab import (
    SIGNALS,
    Children,
    Client,
    Leadership,
    Links,
    Signal,
    TrialOptions,
    TrialResult,
    free_address,
    run_trial,
)

SERVER = Path(__file__).with_name("server.py")
TIMEOUT_S = 1.0


class OwnClient:
    """One connection. Three rules: a definite error only for what did not happen, no retries, no late answers."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        try:
            answer = await self._ask(f"GET {key}")
        except errors.IndefiniteError as cause:
            raise errors.Refused(str(cause)) from cause  # a read changes nothing, so no doubt is left
        return None if answer == "nil" else int(answer)

    async def write(self, key: str, value: int) -> None:
        """Give a key a value."""
        await self._ask(f"SET {key} {value}")

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Give a key a value if it has the expected one; return whether it was so."""
        return await self._ask(f"CAS {key} {expected} {value}") == "yes"

    async def increment(self, key: str) -> int:
        """Add one; return the sum."""
        return int(await self._ask(f"ADD {key}"))

    async def close(self) -> None:
        """Close the connection; never raises."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, request: str) -> str:
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection(self._address.host, self._address.port)
            except OSError as cause:
                raise errors.Unreachable(str(cause)) from cause  # nothing was sent: it did not happen
        reader, writer = self._streams
        try:
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(f"{request}\n".encode())
                line = await reader.readline()
        except TimeoutError as cause:
            await self.close()  # an answer that comes now belongs to a request that was given up
            raise errors.TimedOut(request) from cause
        except OSError as cause:
            await self.close()
            raise errors.ConnectionLost(str(cause)) from cause
        if not line.endswith(b"\n"):
            await self.close()
            raise errors.ConnectionLost("closed before it answered")
        return line.decode().strip()


class OwnSystem:
    """The adapter. One node here; several would reach each other through `links.route(source, target, address)`."""

    name = "own server"

    def __init__(self, *flags: str) -> None:
        self._flags = flags
        self._children = Children()
        self._addresses: dict[NodeId, Address] = {}
        self._directory = Path()

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Choose ports; start nothing."""
        self._directory = directory
        self._addresses = {node: free_address() for node in nodes}

    async def start(self, node: NodeId) -> None:
        """Start a node on the log that it left; let a paused one go on. Do not wait for it."""
        log, port = self._directory / f"log-{node}", str(self._addresses[node].port)
        command = [sys.executable, str(SERVER), port, str(log), *self._flags]
        self._children.start(node, command, log=self._directory / f"node-{node}.log")

    async def stop(self, node: NodeId, how: Signal) -> None:
        """Crash, pause or terminate a node."""
        self._children.send(node, SIGNALS[how])

    async def leader(self) -> Leadership:
        """Say who serves; here whoever runs."""
        running = tuple(node for node in self._addresses if self._children.is_running(node))
        return Leadership(node=running[0] if running else None, answered=running)

    def client(self, process: int) -> Client:
        """Return a new client, not connected yet."""
        addresses = list(self._addresses.values())
        return OwnClient(addresses[process % len(addresses)])

    async def close(self) -> None:
        """Kill all nodes; optional, and called at the end."""
        self._children.close()


def try_it(output: Path, *flags: str, duration_s: float = 8.0) -> TrialResult:
    """Run one trial; print its card, write report and history."""
    options = TrialOptions(
        node_count=1,
        duration=seconds(duration_s),
        faults=("crash-leader", "pause-leader"),
        fault_duration=seconds(0.5),
        output=output,
    )
    return run_trial(options, system=OwnSystem(*flags))


if __name__ == "__main__":
    sys.exit(try_it(Path("trial"), *sys.argv[1:]).exit_status)
