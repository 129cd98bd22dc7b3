"""The real world keeps what its interfaces promise."""

import asyncio
import errno
import os
import signal
import ssl
from pathlib import Path
from random import Random

import pytest

from quorate.env import Address
from quorate.kernel import MILLISECOND, GroupId, NodeId
from quorate.kernel.errors import ConfigError, DiskError, DiskFull, ForeignData, SyncFailed, UsageError
from quorate.runtime import (
    RealClock,
    RealDisk,
    RealNetwork,
    RealStreams,
    client_context,
    lock_directory,
    make_certificates,
    real_env,
    run,
    server_context,
)
from quorate.storage import WriteAheadLog

pytestmark = pytest.mark.real
LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    return RealDisk(tmp_path)


def test_a_timer_never_runs_early() -> None:
    async def main() -> None:
        clock = RealClock()
        begin = clock.now()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        clock.call_after(3 * MILLISECOND, lambda: done.set_result(clock.now()))
        clock.call_after(1 * MILLISECOND, lambda: done.set_result(0)).cancel()
        assert await done - begin >= 3 * MILLISECOND

    run(main())


def test_files_are_written_read_cut_renamed_and_removed(disk: RealDisk) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            disk.open("log/a")
        file = disk.open("log/a", create=True)
        file.write(0, b"hello")
        file.write(5, b" world")
        assert (file.read(3, 100), file.size_bytes()) == (b"lo world", 11)
        file.truncate(5)
        await file.sync()
        file.sync_now()
        file.close()
        disk.rename("log/a", "state/b")
        disk.sync_names()
        assert disk.names() == ["state/b"]
        assert disk.names("log") == []
        disk.remove("state/b")
        assert disk.names() == []
        assert disk.free_bytes() > 0
        disk.close()

    run(main())


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/"])
def test_no_name_leads_out_of_the_directory(disk: RealDisk, name: str) -> None:
    for act in (lambda: disk.open(name, create=True), lambda: disk.remove(name), lambda: disk.rename(name, "x")):
        with pytest.raises(UsageError):
            act()


def test_what_the_system_reports_becomes_our_errors(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(number: int):
        def fail(*_args: object) -> int:
            raise OSError(number, os.strerror(number))

        return fail

    file = disk.open("a", create=True)
    for number, expected in ((errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, DiskError)):
        monkeypatch.setattr(os, "pwrite", failing(number))
        with pytest.raises(expected, match="/a: "):
            file.write(0, b"x")
    monkeypatch.setattr(os, "fdatasync", failing(errno.EIO))
    with pytest.raises(SyncFailed):
        file.sync_now()
    with pytest.raises(SyncFailed):
        run(file.sync())
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(SyncFailed):
        disk.sync_names()


def test_a_directory_has_one_owner_and_is_never_anothers(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "data"
    lock = lock_directory(directory, node=NodeId(1), cluster="c")
    with pytest.raises(ForeignData, match="in use"):
        lock_directory(directory, node=NodeId(1), cluster="c")
    lock.close()
    with pytest.raises(ForeignData, match="belongs to node 1 of cluster 'c'"):
        lock_directory(directory, node=NodeId(2), cluster="c")
    with pytest.raises(ForeignData, match="not to node 1 of cluster 'other'"):
        lock_directory(directory, node=NodeId(1), cluster="other")
    lock_directory(directory, node=NodeId(1), cluster="c").close()
    (directory / "identity.json").write_text("[1]")
    with pytest.raises(ForeignData, match="not what a node writes"):
        lock_directory(directory, node=NodeId(1), cluster="c")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        lock_directory(tmp_path / "file", node=NodeId(1), cluster="c")


def test_datagrams_arrive_with_their_sender() -> None:
    async def main() -> None:
        network = RealNetwork()
        got: asyncio.Future[tuple[Address, bytes]] = asyncio.get_running_loop().create_future()
        one = await network.listen(LOOPBACK, lambda sender, payload: got.set_result((sender, payload)))
        two = await network.listen(LOOPBACK, lambda _sender, _payload: None)
        two.send(one.address, b"x" * 60_000)
        async with asyncio.timeout(5):
            assert await got == (two.address, b"x" * 60_000)
        with pytest.raises(OSError, match=str(one.address)):
            await network.listen(one.address, lambda _sender, _payload: None)
        one.close()
        two.close()
        two.send(one.address, b"after the end")

    run(main())


class Echo(asyncio.Protocol):
    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Ask(asyncio.Protocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:
        transport.write(b"ping")

    def data_received(self, data: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(data)

    def connection_lost(self, error) -> None:
        if not self.answer.done():
            self.answer.set_exception(error or ConnectionResetError())


async def ask(address: Address, tls: ssl.SSLContext | None = None) -> bytes:
    asks: list[Ask] = []

    def factory() -> Ask:
        asks.append(Ask())
        return asks[0]

    transport = await RealStreams().connect(address, factory, tls=tls)
    try:
        async with asyncio.timeout(5):
            return await asks[0].answer
    finally:
        transport.abort()
        asks[0].answer.cancel()


def test_streams_carry_bytes_and_errors_name_the_address() -> None:
    async def main() -> None:
        streams = RealStreams()
        listener = await streams.listen(LOOPBACK, Echo)
        assert await ask(listener.address) == b"ping"
        with pytest.raises(OSError, match=str(listener.address)):
            await streams.listen(listener.address, Echo)
        listener.close()
        with pytest.raises(OSError, match=str(listener.address)):
            await ask(listener.address)

    run(main())


def test_tls_admits_only_certificates_of_the_same_authority(tmp_path: Path) -> None:
    make_certificates(tmp_path / "ours", ["node-1", "node-2"])
    make_certificates(tmp_path / "theirs", ["node-9"])

    def files(directory: str, name: str, authority: str = "") -> tuple[str, str, str]:
        place = tmp_path / directory
        return (
            str(place / f"{name}.pem"),
            str(place / f"{name}.key"),
            str(tmp_path / (authority or directory) / "ca.pem"),
        )

    async def main() -> None:
        listener = await RealStreams().listen(LOOPBACK, Echo, tls=server_context(*files("ours", "node-1")))
        assert await ask(listener.address, client_context(*files("ours", "node-2"))) == b"ping"
        # It does not trust the server; then the server does not trust it.
        with pytest.raises(OSError):
            await ask(listener.address, client_context(*files("theirs", "node-9")))
        with pytest.raises(OSError):
            await ask(listener.address, client_context(*files("theirs", "node-9", "ours")))
        listener.close()

    run(main())
    assert (tmp_path / "ours" / "node-1.key").stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="exists"):
        make_certificates(tmp_path / "ours", ["node-1"])
    with pytest.raises(ConfigError, match=r"nothing\.pem"):
        server_context("nothing.pem", "nothing.key", "ca.pem")


def test_a_signal_cancels_the_main_coroutine_and_its_finally_blocks_run() -> None:
    done: list[str] = []

    async def main() -> str:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.get_running_loop().create_future()
        finally:
            done.append("finally")
        return "never"

    assert run(main()) is None
    assert done == ["finally"]


def test_an_env_with_a_seed_has_the_same_chance_each_time(tmp_path: Path) -> None:
    one, two = (real_env(NodeId(1), tmp_path, seed=7) for _ in range(2))
    assert isinstance(one.rng, Random)
    assert one.rng.randbytes(8) == two.rng.randbytes(8)
    assert real_env(NodeId(1), tmp_path).rng.randbytes(8) != one.rng.randbytes(8)
    assert one.buggify("anything") is False


def test_the_log_works_on_real_files(disk: RealDisk) -> None:
    async def main() -> None:
        wal = await WriteAheadLog.open(disk, node=NodeId(1), cluster="c", segment_bytes_max=20_000)
        for number in range(20):
            wal.append(GroupId(1), [b"%d" % number * 3_000])
            wal.flush()
        await wal.close()
        again = await WriteAheadLog.open(disk, node=NodeId(1), cluster="c", segment_bytes_max=20_000)
        assert [record for _, record in again.recovered(GroupId(1))] == [b"%d" % number * 3_000 for number in range(20)]
        await again.close()
        disk.close()

    run(main())
