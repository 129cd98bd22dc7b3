"""Our small wire clients against servers that answer with garbage: an error that says whether it happened, never more."""

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from quorate.env import Address
from quorate.kernel import errors
from quorate.lab.systems.nats_client import NATSClient, NATSConnection
from quorate.lab.systems.postgres_client import PostgresClient, PostgresConnection, Scram
from quorate.lab.systems.zookeeper_client import ZooKeeperClient

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Make = Callable[[Address], Any]


def zookeeper(address: Address) -> Any:
    return ZooKeeperClient(address, timeout_s=2.0, syncs=False)


def postgres(address: Address) -> Any:
    return PostgresClient(PostgresConnection(lambda: address, timeout_s=2.0))


def nats(address: Address) -> Any:
    return NATSClient(NATSConnection(address, timeout_s=2.0), bucket="b", is_direct=False)


# What each server says when a client comes, so that garbage meets a session.
GREETINGS: list[tuple[Make, bytes]] = [
    (zookeeper, struct.pack(">iiiq", 36, 0, 30_000, 1) + struct.pack(">i", 16) + bytes(16)),
    (postgres, b"R" + struct.pack(">ii", 8, 0) + b"Z" + struct.pack(">i", 5) + b"I"),
    (nats, b'INFO {"headers":true}\r\nPONG\r\n'),
]


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes) -> str:
    """Begin a session; NATS speaks first. Return what the client said."""
    first, _, rest = (
        greeting.rpartition(b"\r\n")[0].rpartition(b"\r\n") if greeting.startswith(b"INFO") else (b"", b"", b"")
    )
    if first:
        writer.write(first + b"\r\n")
    hello = await reader.read(4096)
    writer.write(rest + b"\r\n" if first else greeting)
    return hello.decode("latin-1")


async def against(make: Make, play: Play, use: Callable[[Any], Awaitable[None]]) -> None:
    """Let a client meet a server that plays a part."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await play(reader, writer)
        except OSError:
            pass  # the client has left
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = make(Address(*server.sockets[0].getsockname()[:2]))
        try:
            await use(client)
        finally:
            await client.close()


@pytest.mark.parametrize(("make", "greeting"), GREETINGS)
def test_a_write_that_garbage_answers_may_have_happened(make: Make, greeting: bytes) -> None:
    rng = random.Random(7)
    answers = [
        b"",
        b"\xff" * 64,
        b"\0" * 64,
        bytes(range(256)),
        *(rng.randbytes(rng.randrange(200)) for _ in range(40)),
    ]

    async def meet(answer: bytes) -> None:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await greet(reader, writer, greeting)
            await reader.read(4096)
            writer.write(answer)

        async def use(client: Any) -> None:
            with pytest.raises(errors.IndefiniteError):
                await client.write("k", 1)

        await against(make, play, use)

    async def meet_all() -> None:
        for answer in answers:
            await meet(answer)

    asyncio.run(meet_all())


@pytest.mark.parametrize(("make", "greeting"), GREETINGS)
def test_a_read_that_garbage_answers_did_not_happen(make: Make, greeting: bytes) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, greeting)
        await reader.read(4096)
        writer.write(b"\x01\x02garbage\r\n" * 9)

    async def use(client: Any) -> None:
        with pytest.raises(errors.DefiniteError):
            await client.read("k")

    asyncio.run(against(make, play, use))


@pytest.mark.parametrize("make", [zookeeper, postgres, nats])
def test_a_greeting_that_is_none_means_that_nothing_was_sent(make: Make) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n" * 20)
        await reader.read(4096)

    async def use(client: Any) -> None:
        with pytest.raises(errors.Unreachable):
            await client.write("k", 1)

    asyncio.run(against(make, play, use))


def test_a_commit_with_a_warning_may_have_been_kept_by_the_primary_alone() -> None:
    """The wait for a standby was cancelled: PostgreSQL then warns, and answers success."""
    words = b"VWARNING\0C01000\0Mcanceling wait for synchronous replication due to user request\0\0"
    answer = b"N" + struct.pack(">i", len(words) + 4) + words + b"Z" + struct.pack(">i", 5) + b"I"

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer, GREETINGS[1][1])
        await reader.read(4096)
        writer.write(answer)

    async def use(client: Any) -> None:
        with pytest.raises(errors.IndefiniteError, match="canceling wait"):
            await client.write("k", 1)

    asyncio.run(against(postgres, play, use))


def test_a_late_answer_of_nats_is_not_taken_for_the_next_one() -> None:
    """Inboxes are numbered: what answers another request is passed over."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inbox = (await greet(reader, writer, GREETINGS[2][1])).split("SUB ")[1].split("*")[0]
        await reader.read(4096)
        for number, body in ((9, b'{"seq":9}'), (1, b'{"seq":1}')):
            writer.write(b"MSG %s 1 %d\r\n%s\r\n" % (f"{inbox}{number}".encode(), len(body), body))

    async def use(client: Any) -> None:
        reply = await client._connection.request("subject", b"")
        assert reply.body == b'{"seq":1}'

    asyncio.run(against(nats, play, use))


def test_scram_is_that_of_the_rfc() -> None:
    """RFC 7677, section 3; the user's name is left to PostgreSQL's first message, so it is empty in ours."""
    scram = Scram("pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    scram._bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert scram.answer(challenge).endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    scram.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ValueError, match="does not know our password"):
        scram.check(b"v=AAAA")
    for odd in (b"", b"r=x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", challenge.replace(b"4096", b"99999999999")):
        with pytest.raises(ValueError, match="challenge"):
            Scram("pencil", nonce="rOprNGfwEbeRWgbNEkqO").answer(odd)
