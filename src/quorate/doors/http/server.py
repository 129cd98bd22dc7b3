"""Serves `/health`, `/ready`, `/status` and `/metrics`, one request a connection."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

import msgspec

from quorate.doors.http.metrics import render_metrics
from quorate.doors.http.request import HttpRequest, Refusal, RequestReader
from quorate.env import Address, Env, Listener, Timer
from quorate.kernel import SECOND, Duration
from quorate.store import NodeInfo

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Limits of the HTTP door."""

    # Connections at once; one more is closed without a word.
    connection_count_max: int = 256
    # How long a client may take from its first byte to the last of the answer; then it is disconnected.
    timeout: Duration = Duration(5 * SECOND)
    # A node further behind than this many entries is alive but not ready.
    ready_lag_count_max: int = 10_000


class HttpServer:
    """The HTTP door of one node.

    Args:
        env: the world; streams and clock are used.
        info: what the node knows of itself.
        config: limits.
        numbers: further counters by name, for `/metrics` and `/status` (those of the other doors, say).
    """

    def __init__(
        self,
        env: Env,
        info: Callable[[], NodeInfo],
        config: HttpConfig | None = None,
        numbers: Callable[[], Mapping[str, int | float]] = dict,
    ) -> None:
        self.env = env
        self.config = config or HttpConfig()
        self._info = info
        self._numbers = numbers
        self._listeners: list[Listener] = []
        self.connections: dict[_Connection, None] = {}
        self.request_count = 0
        self.refused_count = 0

    async def start(self, address: Address, tls: ssl.SSLContext | None = None) -> Address:
        """Listen; return the address in use.

        Raises:
            OSError: the address cannot be had; the sentence names it.
        """
        listener = await self.env.streams.listen(address, lambda: _Connection(self), tls=tls)
        self._listeners.append(listener)
        return listener.address

    async def stop(self) -> None:
        """Accept nobody more and close every connection; answers are short, so none is waited for."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)

    def answer(self, request: HttpRequest) -> tuple[int, str, bytes]:
        """Return status, content type and body of an answer."""
        self.request_count += 1
        info = self._info()
        match request.path:
            case "/health":
                return self._verdict(_illness(info))
            case "/ready":
                lag_count = info.commit_index - info.applied_index
                slow = f"{lag_count} entries behind" if lag_count > self.config.ready_lag_count_max else None
                return self._verdict(_illness(info) or slow)
            case path if path.startswith("/ready/"):
                return self._verdict(_illness_of(info, path.removeprefix("/ready/")))
            case "/status":
                body = {"node": msgspec.to_builtins(info), "numbers": dict(self._numbers())}
                return 200, _JSON, msgspec.json.format(msgspec.json.encode(body)) + b"\n"
            case "/metrics":
                return 200, _METRICS, render_metrics(info, self._numbers())
            case _:
                return 404, _TEXT, b"there are /health, /ready, /ready/KEYSPACE, /status and /metrics\n"

    @staticmethod
    def _verdict(reason: str | None) -> tuple[int, str, bytes]:
        if reason is None:
            return 200, _TEXT, b"ok\n"
        return 503, _TEXT, reason.encode() + b"\n"


def _illness(info: NodeInfo) -> str | None:
    """Return why a node cannot serve now, None when it can."""
    if info.leader is None:
        return f"no leader is known (this node is {info.role} in term {info.term})"
    if info.role != "leader" and info.peers:
        leader = next((peer for peer in info.peers if peer.node == info.leader), None)
        if leader is not None and not leader.reachable:
            return f"the leader, node {info.leader}, is not reachable from here"
    return None


def _illness_of(info: NodeInfo, name: str) -> str | None:
    """Return why a node cannot serve a keyspace now, None when it can: a leaderless one needs no leader."""
    keyspace = next((one for one in info.keyspaces if one.name == name), None)
    if keyspace is None:
        return f"there is no keyspace {name!r}"
    if keyspace.by != "leaderless":
        return _illness(info)
    return None if keyspace.counters.get("topology_version") else "this node has not been told which nodes hold it"


class _Connection(asyncio.Protocol):
    """One client: one request, one answer, then the end."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._reader = RequestReader()
        self._transport: asyncio.Transport | None = None
        self._timer: Timer | None = None
        self._is_answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        server = self._server
        if len(server.connections) >= server.config.connection_count_max:
            server.refused_count += 1
            self._transport.abort()
            return
        server.connections[self] = None
        self._timer = server.env.clock.call_after(server.config.timeout, self._abort)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._server.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_answered or self._transport is None:
            return
        found = self._reader.feed(data)
        match found:
            case None:
                return
            case Refusal():
                self._server.refused_count += 1
                self._answer(found.status, _TEXT, found.reason.encode() + b"\n", has_body=True)
            case HttpRequest():
                self._answer(*self._server.answer(found), has_body=found.method == "GET")

    def close(self) -> None:
        """End after what was written."""
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self, status: int, content_type: str, body: bytes, *, has_body: bool) -> None:
        assert self._transport is not None, "an answer needs a connection"
        self._is_answered = True
        allow = "Allow: GET, HEAD\r\n" if status == 405 else ""
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
        )
        self._transport.write(head.encode("ascii") + (body if has_body else b""))
        self._transport.close()
