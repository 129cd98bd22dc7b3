"""TLS over simulated connections: asyncio's own protocol, which asks nothing of a loop but time."""

import asyncio
import contextlib
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
    """Return the protocol that encrypts for another one.

    In a patched world its bytes are the seed's (`foreign.ciphers`); elsewhere they are random, and with keys of
    elliptic curves even their count may differ by a few. No session tickets: they hold the real time.
    """
    if server_side:
        context.options |= ssl.OP_NO_TICKET
        # A context of the client's kind serves nobody, and says so itself.
        with contextlib.suppress(ValueError):
            context.num_tickets = 0
    # The stubs ask for the concrete base loop and insist on a waiter; the code asks for neither.
    kind: Any = sslproto.SSLProtocol
    return kind(loop, protocol, context, waiter, server_side=server_side, **rest)  # type: ignore[no-any-return]
