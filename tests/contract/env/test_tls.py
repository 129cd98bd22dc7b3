"""TLS over streams, with mutual authentication."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from quorate.env import Env
from quorate.runtime import client_context, make_certificates, server_context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    for authority in ("ours", "foreign"):
        directory = tmp_path_factory.mktemp(authority)
        make_certificates(directory, ["node"], hosts=("127.0.0.1", "localhost", "a"))
        found[authority] = directory
    return found


def files(directory: Path) -> tuple[str, str, str]:
    return str(directory / "node.pem"), str(directory / "node.key"), str(directory / "ca.pem")


def test_an_echo_over_tls(lab: Any, recorder: Any, certificates: dict[str, Path]) -> None:
    """Bytes of any size arrive; the transport tells its cipher; the end is clean."""
    accepted: list[Any] = []

    class Echo(recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(data)

    def accept() -> Any:
        accepted.append(Echo())
        return accepted[-1]

    async def server(env: Env) -> Any:
        listener = await env.streams.listen(lab.any_port("a"), accept, tls=server_context(*files(certificates["ours"])))
        lab.put("address", listener.address)
        while not accepted:
            await asyncio.sleep(0.001)
        await accepted[0].lost.wait()
        listener.close()
        return accepted[0].events[-1]

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        protocol = recorder()
        transport = await env.streams.connect(
            address, lambda: protocol, tls=client_context(*files(certificates["ours"]))
        )
        transport.write(bytes(300_000))
        await protocol.count(300_000)
        cipher = transport.get_extra_info("cipher")
        transport.close()
        await protocol.lost.wait()
        return len(protocol.received), cipher is not None, protocol.events[0], protocol.events[-1]

    seen = lab.run(a=server, b=client)
    assert seen["a"] == "lost cleanly"
    assert seen["b"] == (300_000, True, "made", "lost cleanly")


def test_a_server_of_a_foreign_authority_is_not_trusted(lab: Any, recorder: Any, certificates: dict[str, Path]) -> None:
    """The dialler raises an SSL error; neither side's protocol hears of a connection."""
    accepted: list[Any] = []

    def accept() -> Any:
        accepted.append(recorder())
        return accepted[-1]

    async def server(env: Env) -> Any:
        tls = server_context(*files(certificates["foreign"]))
        listener = await env.streams.listen(lab.any_port("a"), accept, tls=tls)
        lab.put("address", listener.address)
        await lab.get("done")
        await asyncio.sleep(0.02)
        listener.close()
        return [event for protocol in accepted for event in protocol.events if event == "made"]

    async def client(env: Env) -> Any:
        address = await lab.get("address")
        protocol = recorder()
        try:
            await env.streams.connect(address, lambda: protocol, tls=client_context(*files(certificates["ours"])))
        except ssl.SSLError as error:
            outcome = error.reason
        else:
            outcome = "trusted"
        lab.put("done", value=True)
        return outcome, protocol.events

    seen = lab.run(a=server, b=client)
    assert seen["a"] == []
    assert seen["b"] == ("CERTIFICATE_VERIFY_FAILED", [])
