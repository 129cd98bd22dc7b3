"""What is wrong gets one clear sentence, and the node lives on."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import google_crc32c
import msgspec
import pytest

import quorate
from quorate.kernel.errors import OperationError
from quorate.runtime import client_context, lock_directory

pytestmark = [pytest.mark.real, pytest.mark.slow]

Command = Callable[..., CompletedProcess[str]]

GOOD = """node = 1
data = "{data}"
[listen]
peer = "127.0.0.1:0"
redis = "127.0.0.1:0"
http = ""
[peers]
1 = "127.0.0.1:1"
"""


def hello(*, version: int = 1, cluster: str = "test", node: int = 2) -> bytes:
    payload = msgspec.msgpack.encode([version, cluster, node])
    return framed(1, payload)


def framed(kind: int, payload: bytes) -> bytes:
    return struct.pack(">IIB", len(payload), google_crc32c.extend(kind, payload), kind) + payload


def sent_to(address: str, data: bytes, *, wait_s: float = 5.0) -> bytes:
    """Send bytes to a port and return all that comes back until the other side closes."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection, contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65_536):
            found += part
        return found
    return b""


# -- what is wrong with a configuration or a directory --------


def one_sentence(result: CompletedProcess[str]) -> str:
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    sentences = [line for line in lines if " INFO " not in line and " WARNING " not in line]
    assert len(sentences) == 1, result.stderr
    return sentences[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("node = 1", "node = 1\nclutser = 'x'"), "config: {path}: unknown key clutser; did you mean cluster?"),
        (("[peers]", "[limits]\nvalue_byte_max = 3\n[peers]"), "did you mean limits.value_bytes_max?"),
        (("node = 1", "node = 2"), "peers: node 2 itself must be listed"),
        (("node = 1", "node = 0"), "ids are whole numbers from 1"),
        (("node = 1\n", ""), "missing required field `node`"),
        (('1 = "127.0.0.1:1"', '1 = "127.0.0.1"'), "peers.1: '127.0.0.1' is not host:port"),
        (('1 = "127.0.0.1:1"', '1 = "127.0.0.1:1"\n2 = "127.0.0.1:1"'), "nodes [1, 2] have the same address"),
        (('1 = "127.0.0.1:1"', '1 = "127.0.0.1:1"\none = "127.0.0.1:2"'), "peers.one: a node id is a whole number"),
        (("[peers]", "[timing]\nheartbeat_interval_ms = 300\n[peers]"), "at most a third of election_timeout_ms"),
        (("[peers]", "[timing]\nrequest_timeout_ms = 0\n[peers]"), "request_timeout_ms: must be 1 or more"),
        (("[peers]", "[tls]\nkey = 'x'\n[peers]"), "certificate, key and authority are needed together"),
        (("[peers]", "[tls]\nkey='x'\ncertificate='x'\nauthority='x'\n[peers]"), "No such file"),
        (('http = ""', 'http = "nowhere"'), "listen.http: 'nowhere' is not host:port"),
        (("node = 1", "node = "), "not TOML"),
        (("node = 1", "node = 'one'"), "Expected `int`"),
        (("node = 1", "node = 1\ngroup_count = 2000"), "group_count: must be from 1 to 1024"),
    ],
)
def test_a_bad_configuration_is_one_sentence(
    change: tuple[str, str], sentence: str, tmp_path: Path, run_main: Any
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(GOOD.format(data=tmp_path / "data").replace(*change))
    found = one_sentence(run_main("serve", "--config", path))
    assert sentence.format(path=path) in found


def test_a_configuration_that_is_not_there_or_not_text(tmp_path: Path, run_main: Any) -> None:
    path = tmp_path / "node.toml"
    assert one_sentence(run_main("serve", "--config", path)).endswith("node.toml: No such file or directory")
    path.write_bytes(b"\xff\xfe\x00")
    assert "not a text in UTF-8" in one_sentence(run_main("serve", "--config", path))


def test_a_directory_that_cannot_be_used(tmp_path: Path, quorate_command: Command) -> None:
    path, data = tmp_path / "node.toml", tmp_path / "data"
    path.write_text(GOOD.format(data=data))
    lock = lock_directory(data, node=1, cluster="quorate")  # type: ignore[arg-type]
    assert "is in use by another process" in one_sentence(quorate_command("serve", "--config", path))
    lock.close()
    lock_directory(tmp_path / "other", node=7, cluster="else").close()  # type: ignore[arg-type]
    path.write_text(GOOD.format(data=tmp_path / "other"))
    found = one_sentence(quorate_command("serve", "--config", path))
    assert "belongs to node 7 of cluster 'else'" in found
    # /proc takes no directories, from nobody.
    path.write_text(GOOD.format(data="/proc/quorate"))
    assert "/proc/quorate" in one_sentence(quorate_command("serve", "--config", path))
    (tmp_path / "file").write_text("x")
    path.write_text(GOOD.format(data=tmp_path / "file"))
    assert str(tmp_path / "file") in one_sentence(quorate_command("serve", "--config", path))


@pytest.mark.parametrize("key", ["peer", "redis", "http"])
def test_a_port_in_use_is_named(key: str, tmp_path: Path, quorate_command: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = tmp_path / "node.toml"
        text = GOOD.format(data=tmp_path / "data").replace('http = ""', 'http = "127.0.0.1:0"')
        path.write_text(text.replace(f'{key} = "127.0.0.1:0"', f'{key} = "127.0.0.1:{port}"'))
        found = one_sentence(quorate_command("serve", "--config", path))
    assert f"127.0.0.1:{port}" in found
    assert "in use" in found


# -- what strangers send --------


def test_strangers_on_the_peer_port_are_refused_by_name_and_the_node_lives_on(shared_cluster: Any) -> None:
    cluster = shared_cluster
    node = cluster.nodes[1]
    answers = {
        "cluster": sent_to(node.peer, hello(cluster="elsewhere")),
        "version": sent_to(node.peer, hello(version=99)),
        "itself": sent_to(node.peer, hello(node=1)),
        "stranger": sent_to(node.peer, hello(node=77)),
    }
    assert b"cluster 'elsewhere' is not 'test'" in answers["cluster"]
    assert b"protocol version 99 is not 1" in answers["version"]
    assert b"node 1 is this node itself" in answers["itself"]
    assert b"node 77 is not a member" in answers["stranger"]
    assert "refused a peer: cluster 'elsewhere' is not 'test'" in node.text()
    for garbage in (
        b"GET / HTTP/1.1\r\n\r\n",
        os.urandom(4096),
        b"\x00" * 9,
        framed(4, b"no greeting first"),
        struct.pack(">IIB", 70 << 20, 0, 1) + b"x" * 10_000,
        hello()[:-1] + b"\x00",
        framed(1, b"\xc1"),
        b"",
    ):
        sent_to(node.peer, garbage)
    # A half greeting is not waited for for ever.
    host, port = node.peer.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as silent:
        silent.sendall(hello()[:5])
        while silent.recv(1024):
            pass
    assert "garbage from a stranger" in node.text()
    assert "Traceback" not in node.text()

    async def use() -> bytes | None:
        async with quorate.connect("quorate://" + node.redis) as db:
            await db.put("alive", 1)
            return await db.get("alive")

    assert asyncio.run(use()) == b"1"


def test_garbage_behind_a_good_greeting_ends_the_link_and_nothing_else(make_cluster: Any) -> None:
    """Somebody who greets as a member that is away, and then sends nonsense of every kind."""
    cluster = make_cluster()
    for number in (1, 2):
        cluster.nodes[number].start()
    cluster.wait_for_leader()
    node = cluster.nodes[1]
    for kind in range(10):
        for payload in (b"", b"\x00", b"\x00\x00\x00\x01", b"\x00\x00\x00\x01" + os.urandom(40), os.urandom(300)):
            if kind != 1:
                sent_to(node.peer, hello(node=3) + framed(kind, payload))
    assert "Traceback" not in node.text()
    assert "garbage from node 3" in node.text()

    async def use() -> int:
        async with quorate.connect("quorate://" + node.redis) as db:
            return await db.increment("alive")

    assert asyncio.run(use()) == 1


# -- TLS --------


def test_nodes_and_clients_know_each_other_by_certificate(
    make_cluster: Any, quorate_command: Command, tmp_path: Path
) -> None:
    """Mutual TLS with `quorate certs`; a certificate of another authority is refused, and the cluster lives on."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    assert quorate_command("certs", "node", "client", "--dir", mine).returncode == 0
    assert quorate_command("certs", "node", "--dir", theirs).returncode == 0
    assert quorate_command("certs", "node", "--dir", mine).returncode == 1

    def tls(directory: Path) -> str:
        files = {"certificate": "node.pem", "key": "node.key", "authority": "ca.pem"}
        return "[tls]\nredis = true\n" + "\n".join(f'{key} = "{directory / name}"' for key, name in files.items())

    cluster = make_cluster(extra=tls(mine))
    cluster.write_config(cluster.nodes[3], extra=tls(theirs))
    for node in cluster.nodes.values():
        node.start()

    def two_agree() -> bool:
        found = [(cluster.nodes[number].status() or {}).get("leader") for number in (1, 2)]
        return found[0] == found[1] and found[0] is not None

    cluster.wait(two_agree, "leader among the two")
    assert (cluster.nodes[3].status() or {}).get("leader") is None
    paths = {
        "certificate": str(mine / "client.pem"),
        "key": str(mine / "client.key"),
        "authority": str(mine / "ca.pem"),
    }

    async def use() -> bytes | None:
        url = f"quorate://{cluster.nodes[1].redis}"
        async with quorate.connect(url, timeout=10, **paths) as db:
            await db.put("a", "secret")
            value = await db.get("a")
        async with quorate.connect(url, timeout=1) as db:
            with pytest.raises(OperationError):
                await db.get("a")
        wrong = {key: str(theirs / Path(path).name.replace("client", "node")) for key, path in paths.items()}
        async with quorate.connect(url, timeout=1, **wrong) as db:
            with pytest.raises(OperationError):
                await db.get("a")
        return value

    assert asyncio.run(use()) == b"secret"
    options = [part for key, path in paths.items() for part in (f"--{key}", path)]
    shown = quorate_command("status", "--at", cluster.nodes[1].redis, *options)
    assert shown.returncode == 0, shown.stderr
    cluster.wait(lambda: "node 3 cannot be trusted" in cluster.nodes[1].text(), "a refusal")
    for node in cluster.nodes.values():
        assert "Traceback" not in node.text(), node.text()
    assert client_context(**paths) is not None


# -- doctor --------


def test_the_doctor_tells_sound_torn_and_damaged(make_cluster: Any, quorate_command: Command) -> None:
    # Without reserved space, so that the end of the file is the end of the log.
    cluster = make_cluster(1, extra="[storage]\nreserve_bytes = 0")
    cluster.start()
    node = cluster.nodes[1]

    async def fill() -> None:
        async with quorate.connect(cluster.url) as db:
            for place in range(30):
                await db.put(f"k{place}", "x" * 500)

    asyncio.run(fill())
    busy = quorate_command("doctor", node.data)
    assert busy.returncode == 1
    assert "in use by another process" in busy.stderr
    node.end(9)
    before = {path: path.read_bytes() for path in (node.data / "log").iterdir()}
    sound = quorate_command("doctor", node.data)
    assert (sound.returncode, sound.stdout.splitlines()[-1]) == (0, "sound"), sound.stdout
    assert "node 1 of cluster 'test'" in sound.stdout
    assert "log up to index" in sound.stdout
    (path,) = before
    path.write_bytes(before[path] + b"half a block")
    torn = quorate_command("doctor", node.data)
    assert torn.returncode == 0
    assert "ends in 12 bytes that were never acknowledged" in torn.stdout
    assert path.read_bytes() == before[path] + b"half a block"
    data = bytearray(before[path])
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)
    damaged = quorate_command("doctor", node.data)
    assert (damaged.returncode, damaged.stdout.splitlines()[-1]) == (1, "not sound")
    assert "damaged (offset " in damaged.stdout
    assert path.name in damaged.stdout
    start = quorate_command("serve", "--config", node.path)
    assert "damaged (offset " in one_sentence(start)
    nowhere = quorate_command("doctor", node.data / "nowhere")
    assert one_sentence(nowhere) == f"usage: {node.data / 'nowhere'} is not a node's data directory"
