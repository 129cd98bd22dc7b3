"""Streams: what each side observes is the same in every world."""

import asyncio
from typing import Any

import pytest

from quorate.env import Address, Env

BREAKS = ("lost ConnectionResetError", "lost BrokenPipeError")


def test_nobody_listens(lab: Any, recorder: Any) -> None:
    """Connecting to a port without a listener is refused."""

    async def server(env: Env) -> None:
        listener = await env.streams.listen(lab.any_port("a"), recorder)
        listener.close()
        lab.put("address", listener.address)

    async def client(env: Env) -> str:
        address = await lab.get("address")
        try:
            await env.streams.connect(address, recorder)
        except ConnectionRefusedError:
            return "refused"
        return "connected"

    assert lab.run(a=server, b=client)["b"] == "refused"


def test_a_port_is_given_once(lab: Any, recorder: Any) -> None:
    """Listening where somebody listens raises OSError whose sentence names the address."""

    async def server(env: Env) -> str:
        listener = await env.streams.listen(lab.any_port("a"), recorder)
        try:
            await env.streams.listen(listener.address, recorder)
        except OSError as error:
            return "named" if str(listener.address.port) in str(error) else str(error)
        finally:
            listener.close()
        return "twice"

    assert lab.run(a=server)["a"] == "named"


def pair(lab: Any, recorder: Any, *, on_server: Any, on_client: Any, keeps_half_open: bool = False) -> dict[str, Any]:
    """Run a scenario on both ends of one connection; return what each returned."""
    accepted: list[Any] = []

    def accept() -> Any:
        accepted.append(recorder(keeps_half_open=keeps_half_open))
        return accepted[0]

    async def server(env: Env) -> Any:
        listener = await env.streams.listen(lab.any_port("a"), accept)
        lab.put("address", listener.address)
        while not accepted:
            await asyncio.sleep(0.001)
        protocol = accepted[0]
        await protocol.made.wait()
        result = await on_server(protocol)
        listener.close()
        lab.put("server done", value=True)
        return result

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        protocol = recorder(keeps_half_open=keeps_half_open)
        await env.streams.connect(address, lambda: protocol)
        result = await on_client(protocol)
        await lab.get("server done")
        return result

    return lab.run(a=server, b=client)  # type: ignore[no-any-return]


def test_bytes_and_a_goodbye(lab: Any, recorder: Any) -> None:
    """What was written before close arrives; then end of file; both ends are lost cleanly."""

    async def on_server(protocol: Any) -> Any:
        await protocol.lost.wait()
        return protocol.events, bytes(protocol.received)

    async def on_client(protocol: Any) -> Any:
        protocol.transport.write(b"hello ")
        protocol.transport.write(b"world")
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == (["made", "eof", "lost cleanly"], b"hello world")
    assert seen["b"] == ["made", "lost cleanly"]


def test_half_close(lab: Any, recorder: Any) -> None:
    """After write_eof the other direction still carries bytes."""

    async def on_server(protocol: Any) -> Any:
        await protocol.ended.wait()
        protocol.transport.write(b"answer")
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events, bytes(protocol.received)

    async def on_client(protocol: Any) -> Any:
        protocol.transport.write(b"question")
        protocol.transport.write_eof()
        await protocol.ended.wait()
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events, bytes(protocol.received)

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client, keeps_half_open=True)
    assert seen["a"] == (["made", "eof", "lost cleanly"], b"question")
    assert seen["b"] == (["made", "eof", "lost cleanly"], b"answer")


def test_abort_looks_like_end_of_file(lab: Any, recorder: Any) -> None:
    """abort() sets no linger: the peer reads what was sent, then end of file."""

    async def on_server(protocol: Any) -> Any:
        await protocol.lost.wait()
        return protocol.events, bytes(protocol.received)

    async def on_client(protocol: Any) -> Any:
        protocol.transport.write(b"last words")
        protocol.transport.abort()
        await protocol.lost.wait()
        return protocol.events

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == (["made", "eof", "lost cleanly"], b"last words")
    assert seen["b"] == ["made", "lost cleanly"]


def test_closing_with_unread_bytes_resets_the_peer(lab: Any, recorder: Any) -> None:
    """The kernel answers with a reset, since what arrived was never read."""

    async def on_server(protocol: Any) -> Any:
        protocol.transport.pause_reading()
        lab.put("paused", value=True)
        await lab.get("written")
        await asyncio.sleep(0.05)  # in the kernel by now; there is no way to see it
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events

    async def on_client(protocol: Any) -> Any:
        await lab.get("paused")
        protocol.transport.write(b"never read")
        lab.put("written", value=True)
        await protocol.lost.wait()
        return protocol.events

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == ["made", "lost cleanly"]
    assert seen["b"] == ["made", "lost ConnectionResetError"]


def test_writing_to_a_closed_peer_breaks(lab: Any, recorder: Any) -> None:
    """The first write is answered with a reset, a later one meets it."""

    async def on_server(protocol: Any) -> Any:
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events

    async def on_client(protocol: Any) -> Any:
        await protocol.ended.wait()
        for _ in range(200):
            if protocol.lost.is_set():
                break
            protocol.transport.write(b"anybody there?")
            await asyncio.sleep(0.005)
        return protocol.events[:2], protocol.events[2] in BREAKS

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client, keeps_half_open=True)
    assert seen["a"] == ["made", "lost cleanly"]
    assert seen["b"] == (["made", "eof"], True)


@pytest.mark.slow
def test_back_pressure(lab: Any, recorder: Any) -> None:
    """A reader that stops makes the writer pause; when it goes on, all bytes arrive and the writer is told."""
    size = 16 << 20

    async def on_server(protocol: Any) -> Any:
        protocol.transport.pause_reading()
        lab.put("deaf", value=True)
        await lab.get("paused")
        before = len(protocol.received)
        protocol.transport.resume_reading()
        await protocol.lost.wait()
        return before, len(protocol.received), protocol.events

    async def on_client(protocol: Any) -> Any:
        await lab.get("deaf")
        protocol.transport.write(bytes(size))
        await protocol.paused.wait()
        buffered = protocol.transport.get_write_buffer_size()
        lab.put("paused", value=True)
        while protocol.paused.is_set():
            await asyncio.sleep(0.001)
        protocol.transport.close()
        await protocol.lost.wait()
        return buffered > 64 << 10, protocol.events

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == (0, size, ["made", "eof", "lost cleanly"])
    assert seen["b"] == (True, ["made", "paused", "resumed", "lost cleanly"])


def test_close_sends_what_is_buffered(lab: Any, recorder: Any) -> None:
    """Three megabytes and close: all arrive."""
    size = 3 << 20

    async def on_server(protocol: Any) -> Any:
        await protocol.lost.wait()
        return len(protocol.received), protocol.events

    async def on_client(protocol: Any) -> Any:
        protocol.transport.write(bytes(size))
        protocol.transport.close()
        await protocol.lost.wait()
        return protocol.events[-1]

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == (size, ["made", "eof", "lost cleanly"])
    assert seen["b"] == "lost cleanly"


def test_a_writer_that_waits_is_told_of_the_break(lab: Any, recorder: Any) -> None:
    """A full transport whose peer goes away with unread bytes loses its connection with an error."""

    async def on_server(protocol: Any) -> Any:
        protocol.transport.pause_reading()
        lab.put("deaf", value=True)
        await lab.get("paused")
        protocol.transport.abort()
        await protocol.lost.wait()
        return protocol.events

    async def on_client(protocol: Any) -> Any:
        await lab.get("deaf")
        protocol.transport.write(bytes(16 << 20))
        await protocol.paused.wait()
        lab.put("paused", value=True)
        await protocol.lost.wait()
        return protocol.events[-1] in BREAKS

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen["a"] == ["made", "lost cleanly"]
    assert seen["b"] is True


def test_writing_after_the_end_is_refused(lab: Any, recorder: Any) -> None:
    """write after write_eof is a programming error; after close it is ignored."""

    async def on_server(protocol: Any) -> Any:
        await protocol.lost.wait()
        return bytes(protocol.received)

    async def on_client(protocol: Any) -> Any:
        protocol.transport.write(b"all")
        protocol.transport.write_eof()
        try:
            protocol.transport.write(b"more")
        except RuntimeError:
            outcome = "refused"
        else:
            outcome = "accepted"
        protocol.transport.close()
        await protocol.lost.wait()
        return outcome

    seen = pair(lab, recorder, on_server=on_server, on_client=on_client)
    assert seen == {"a": b"all", "b": "refused"}


def test_a_cancelled_connect_leaves_nothing(lab: Any, recorder: Any) -> None:
    """Who gives up while dialling gets no connection; the listener goes on."""

    async def server(env: Env) -> str:
        listener = await env.streams.listen(lab.any_port("a"), recorder)
        lab.put("address", listener.address)
        await lab.get("done")
        listener.close()
        return "served"

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        made: list[Any] = []

        def make() -> Any:
            made.append(recorder())
            return made[-1]

        task = asyncio.ensure_future(env.streams.connect(address, make))
        await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        protocol = recorder()
        await env.streams.connect(address, lambda: protocol)
        protocol.transport.close()
        await protocol.lost.wait()
        lab.put("done", value=True)
        return type(outcome).__name__, [events for one in made if (events := one.events)]

    seen = lab.run(a=server, b=client)
    assert seen["b"] == ("CancelledError", [])


def test_closing_a_listener_keeps_its_connections(lab: Any, recorder: Any) -> None:
    """Accepted connections go on; new ones are refused."""
    protocols: list[Any] = []

    def accept() -> Any:
        protocols.append(recorder())
        return protocols[-1]

    async def server(env: Env) -> Any:
        listener = await env.streams.listen(lab.any_port("a"), accept)
        lab.put("address", listener.address)
        await lab.get("connected")
        while not protocols:
            await asyncio.sleep(0.001)
        listener.close()
        await asyncio.sleep(0.01)
        lab.put("closed", value=True)
        await protocols[0].lost.wait()
        return bytes(protocols[0].received)

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        protocol = recorder()
        await env.streams.connect(address, lambda: protocol)
        lab.put("connected", value=True)
        await lab.get("closed")
        protocol.transport.write(b"still here")
        try:
            await env.streams.connect(address, recorder)
        except ConnectionRefusedError:
            outcome = "refused"
        else:
            outcome = "connected"
        protocol.transport.close()
        await protocol.lost.wait()
        return outcome

    assert lab.run(a=server, b=client) == {"a": b"still here", "b": "refused"}


def test_an_unknown_name_is_an_os_error(lab: Any, recorder: Any) -> None:
    """Names that nobody has do not resolve."""

    async def client(env: Env) -> str:
        try:
            await env.streams.connect(Address("no-such-host.invalid", 1), recorder)
        except OSError:
            return "unknown"
        return "connected"

    assert lab.run(b=client)["b"] == "unknown"
