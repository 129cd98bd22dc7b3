"""A cluster that runs already: workload and verdict, and no faults, for it is not ours to harm."""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from pathlib import Path

from quorate.kernel import NodeId, errors
from quorate.lab.proxy import Links
from quorate.lab.systems.base import Client, Leadership, Signal
from quorate.lab.systems.sites import SITES
from quorate.lab.systems.urls import ClusterURL

_TIDY_TIMEOUT_S = 10.0


class PrefixedClient:
    """A client all of whose keys begin alike.

    Args:
        client: whom to ask.
        prefix: what keys begin with.
        used: where each key that may have been written is noted.
    """

    def __init__(self, client: Client, prefix: str, used: dict[str, None]) -> None:
        self.where = getattr(client, "where", "")
        self._client = client
        self._prefix = prefix
        self._used = used

    async def read(self, key: str) -> int | None:
        """Return a key's value; None when it has none."""
        return await self._client.read(self._prefix + key)

    async def write(self, key: str, value: int) -> None:
        """Give a key a value."""
        await self._client.write(self._noted(key), value)

    async def compare_and_set(self, key: str, *, expected: int, value: int) -> bool:
        """Give a key a value if it has the expected one; return whether it was so."""
        return await self._client.compare_and_set(self._noted(key), expected=expected, value=value)

    async def increment(self, key: str) -> int:
        """Add one to a counter; return the sum."""
        return await self._client.increment(self._noted(key))

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _noted(self, key: str) -> str:
        self._used[self._prefix + key] = None
        return self._prefix + key


class AttachedSystem:
    """Servers at the addresses of a URL; each must accept writes.

    Args:
        url: where they are.
        timeout_s: how long a client waits for an answer, seconds.
    """

    def __init__(self, url: ClusterURL, *, timeout_s: float = 1.0) -> None:
        self.name = str(url)
        self.node_count = len(url.addresses)
        self._url = url
        self._timeout_s = timeout_s
        self._site = SITES[url.family](url, f"quorate-trial-{secrets.token_hex(5)}")
        self._used: dict[str, None] = {}
        self._is_prepared = False

    async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None:
        """Make the trial's place, and read once through every address.

        Raises:
            Unreachable: an address does not answer, or says no; the sentence names it.
        """
        del directory, links
        assert len(nodes) == self.node_count, "a node for each address"
        for place, address in enumerate(self._url.addresses):
            try:
                if place == 0:
                    self._is_prepared = True  # also if the answer gets lost
                    await self._site.prepare()
                client = self.client(place)
                try:
                    await client.read("probe")
                finally:
                    await client.close()
            except errors.OperationError as cause:
                raise errors.Unreachable(f"{self._url.family} at {address} cannot be used: {cause}") from cause

    async def start(self, node: NodeId) -> None:
        """Nothing: it runs."""

    async def stop(self, node: NodeId, how: Signal) -> None:
        """Nothing: it is not ours to stop."""

    async def leader(self) -> Leadership:
        """Say that nobody is known to lead; whether a server serves, the clients find out."""
        return Leadership(answered=tuple(NodeId(place + 1) for place in range(self.node_count)))

    def client(self, process: int) -> Client:
        """Return a client of one address."""
        address = self._url.addresses[process % self.node_count]
        client = self._site.client(address, timeout_s=self._timeout_s)
        return PrefixedClient(client, self._site.prefix, self._used)

    async def close(self) -> None:
        """Remove what the trial wrote, as far as that works in ten seconds."""
        if self._is_prepared:
            with contextlib.suppress(errors.OperationError, TimeoutError):
                async with asyncio.timeout(_TIDY_TIMEOUT_S):
                    await self._site.tidy(list(self._used))
