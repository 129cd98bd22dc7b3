"""A client over the network: never twice, and true about what it does not know. Nodes here say what a script says."""

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from quorate.client import Database, RemoteExecutor, SessionForgotten
from quorate.env import Address, Env
from quorate.kernel import Duration, seconds
from quorate.kernel.errors import ConnectionLost, DiskFull, NotLeader, Refused, TimedOut, Unreachable, UsageError
from quorate.sim import World
from quorate.sim.env import make_env

PORT = 6379
Script = Callable[[list[bytes]], bytes | None]
"""Answers a request: bytes to send; b"" closes the connection; None says nothing."""

STATUS = b'{"leader_address": null, "counters": {"groups": 1}}'


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


class Door(asyncio.Protocol):
    def __init__(self, script: Script, heard: list[list[bytes]]) -> None:
        self._script = script
        self._heard = heard
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (request := self._reader.gets()) is not False:
            if request[0] == b"HELLO":
                self._transport.write(b"%0\r\n")
                continue
            if request[0] == b"QUORATE.STATUS":
                self._transport.write(bulk(STATUS))
                continue
            self._heard.append(request)
            answer = self._script(request)
            if answer == b"":
                self._transport.close()
            elif answer is not None:
                self._transport.write(answer)


class Town:
    """Hosts with scripted doors, and a client in the lab."""

    def __init__(self, world: World, *scripts: Script, timeout_s: float = 3.0) -> None:
        self.world = world
        self.heard: list[list[bytes]] = []
        self.hosts = [world.host(f"n{number}") for number in range(len(scripts))]
        for host, script in zip(self.hosts, scripts, strict=True):
            host.start(lambda env, script=script: self._serve(env, script))
        addresses = [Address(host.ip, PORT) for host in self.hosts]
        self.executor = RemoteExecutor(make_env(world.lab), addresses, timeout=seconds(timeout_s))
        self.executor._next = -1
        self.db = Database(self.executor)

    async def _serve(self, env: Env, script: Script) -> None:
        await env.streams.listen(Address("", PORT), lambda: Door(script, self.heard))
        await asyncio.get_running_loop().create_future()

    def run(self, work: Any) -> Any:
        async def main() -> Any:
            await asyncio.sleep(0.1)
            return await work

        return self.world.run(main(), timeout=Duration(100 * 10**9))

    @property
    def keys(self) -> list[tuple[bytes, bytes]]:
        """Session and number of every write that a node heard of."""
        return [(request[1], request[2]) for request in self.heard if request[0] == b"QUORATE.ONCE"]


@pytest.fixture
def world() -> Any:
    with World(1) as made:
        yield made


def test_a_lost_answer_is_asked_for_again_with_the_same_key_at_another_node(world: World) -> None:
    town = Town(world, lambda _request: b"", lambda _request: b":7\r\n")
    assert town.run(town.db.increment("n")) == 7
    assert len(town.keys) == 2
    assert town.keys[0] == town.keys[1]


def test_each_write_has_its_own_number_and_writes_go_side_by_side(world: World) -> None:
    town = Town(world, lambda _request: b":1\r\n")

    async def main() -> None:
        await asyncio.gather(*(town.db.increment("n") for _ in range(5)))
        for _ in range(5):
            await town.db.increment("n")

    town.run(main())
    assert len(set(town.keys)) == 10
    sessions = {client for client, _ in town.keys}
    assert 1 < len(sessions) <= 5
    for session in sessions:
        numbers = [int(number) for client, number in town.keys if client == session]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_silent_node_is_given_up_for_another(world: World) -> None:
    town = Town(world, lambda _request: None, lambda _request: b":1\r\n")
    assert town.run(town.db.increment("n")) == 1
    assert world.now < 2 * 10**9


def test_when_nobody_answers_it_may_have_happened(world: World) -> None:
    town = Town(world, lambda _request: None)
    with pytest.raises(TimedOut):
        town.run(town.db.put("k", "v"))


def test_when_nobody_was_reached_it_did_not_happen(world: World) -> None:
    town = Town(world, lambda _request: None)
    town.hosts[0].crash()
    with pytest.raises(Unreachable):
        town.run(town.db.put("k", "v"))
    assert town.heard == []


def test_a_refusal_says_nothing_about_an_earlier_attempt(world: World) -> None:
    """Once the second node's full disk was reported as if nothing could have happened at the first."""
    town = Town(world, lambda _request: b"", lambda _request: b"-DISKFULL no space\r\n")
    with pytest.raises(ConnectionLost):
        town.run(town.db.put("k", "v"))
    fresh = Town(World(2), lambda _request: b"-DISKFULL no space\r\n")
    with fresh.world, pytest.raises(DiskFull):
        fresh.run(fresh.db.put("k", "v"))


def test_a_node_that_does_not_know_the_leader_is_asked_again(world: World) -> None:
    answers = [b"-NOTLEADER x\r\n", b"-NOTLEADER x\r\n", b":1\r\n"]
    town = Town(world, lambda _request: answers.pop(0))
    assert town.run(town.db.increment("n")) == 1
    town = Town(World(2), lambda _request: b"-NOTLEADER the leader changed\r\n", timeout_s=0.5)
    with town.world, pytest.raises(NotLeader):
        town.run(town.db.increment("n"))


def test_a_forgotten_session_begins_anew_unless_something_may_have_happened(world: World) -> None:
    def forgets(request: list[bytes]) -> bytes:
        return b":1\r\n" if request[2] == b"1" else b"-SESSION the session is unknown\r\n"

    town = Town(world, forgets)

    async def twice() -> None:
        await town.db.increment("n")
        await town.db.increment("n")

    town.run(twice())
    assert [number for _, number in town.keys] == [b"1", b"2", b"1"]
    assert town.keys[0][0] != town.keys[2][0]

    answers = [b":1\r\n", b"", b"-SESSION the session is unknown\r\n", b":5\r\n"]
    doubtful = Town(World(2), lambda _request: answers.pop(0))

    async def doubt() -> None:
        await doubtful.db.increment("n")
        with pytest.raises(SessionForgotten):
            await doubtful.db.increment("n")
        assert await doubtful.db.increment("n") == 5

    with doubtful.world:
        doubtful.run(doubt())


def test_what_is_not_resp_ends_the_connection(world: World) -> None:
    answers = [b"\x00garbage\r\n", b":3\r\n"]
    town = Town(world, lambda _request: answers.pop(0))
    assert town.run(town.db.increment("n")) == 3


def test_a_closed_client_sends_nothing(world: World) -> None:
    town = Town(world, lambda _request: b":1\r\n")

    async def main() -> None:
        await town.db.increment("n")
        await town.db.close()
        with pytest.raises(Unreachable, match="closed"):
            await town.db.increment("n")

    town.run(main())
    assert len(town.heard) == 1


def test_changes_come_with_key_kind_and_revision(world: World) -> None:
    def watched(request: list[bytes]) -> bytes:
        assert request == [b"QUORATE.WATCH", b"w/"]
        change = b">6\r\n" + b"".join(map(bulk, (b"quorate.change", b"w/", b"put", b"w/1"))) + b":42\r\n:0\r\n"
        return b"%0\r\n" + change

    town = Town(world, watched)

    async def main() -> Any:
        changes = town.db.watch("w/")
        first = await anext(changes)
        town.hosts[0].crash()
        with pytest.raises(ConnectionLost, match="missed"):
            await asyncio.wait_for(anext(changes), 60)
        return first

    found = town.run(main())
    assert (found.key, found.kind, found.revision) == (b"w/1", "put", 42)
    assert town.executor._watchers == {}


def test_a_watch_tries_the_next_node(world: World) -> None:
    town = Town(world, lambda _request: None, lambda _request: b"-ERR no\r\n")
    town.hosts[0].crash()
    with pytest.raises(Refused, match="no"):
        town.run(anext(town.db.watch()))


def test_only_keys_and_values_are_taken(world: World) -> None:
    town = Town(world, lambda _request: b":1\r\n")
    for wrong in (None, 1.5, True, ["x"]):
        with pytest.raises(UsageError, match="bytes, str or int"):
            town.run(town.db.put(wrong, "v"))  # type: ignore[arg-type]
    assert town.heard == []
