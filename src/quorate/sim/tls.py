"""TLS over simulated connections: asyncio's own protocol, which asks nothing of a loop but time."""

import asyncio
import ssl
from asyncio import sslproto
from typing import Any


def make_shell(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    waiter: "asyncio.Future[None] | None",
    *,
    server_side: bool,
    **rest: Any,
) -> sslproto.SSLProtocol:
    """Return the protocol that encrypts for another one. The bytes are random: only their count is reproducible."""
    # The stubs ask for the concrete base loop and insist on a waiter; the code asks for neither.
    kind: Any = sslproto.SSLProtocol
    return kind(loop, protocol, context, waiter, server_side=server_side, **rest)  # type: ignore[no-any-return]
