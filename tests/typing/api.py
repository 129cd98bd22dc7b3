"""Read by the type checkers only: what the public API promises to editors."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import quorate
import quorate.sync
from quorate.api import Member, SyncDatabase, SyncTransaction
from quorate.client import Database, Item, KeyChange, Keyspace, KeyspaceSession, Siblings, Transaction, Versioned
from quorate.server import Node


async def of_a_database(db: Database) -> None:
    assert_type(await db.get("k"), bytes | None)
    assert_type(await db.get(b"k", consistency="local"), bytes | None)
    assert_type(await db.get_versioned("k"), Versioned)
    assert_type((await db.get_versioned("k")).version, int)
    assert_type(await db.put("k", "v"), int)
    assert_type(await db.put("k", 1, if_version=0, ttl=1.5), int)
    assert_type(await db.delete("k", if_version=3), bool)
    assert_type(await db.increment("k", 2), int)
    assert_type(db.scan("p", start="a", end=b""), AsyncIterator[Item])
    async for item in db.scan():
        assert_type(item.key, bytes)
        assert_type(item.value, bytes | None)
    assert_type(db.watch(b"p"), AsyncIterator[KeyChange])
    assert_type(await db.execute("set", "k", 1), Any)
    async with db.transaction() as t:
        assert_type(t, Transaction)
        assert_type(await t.get("k"), bytes | None)
        t.put("k", "v")
        t.delete("k")

    async def body(t: Transaction) -> list[str]:
        t.put("k", "v")
        return ["done"]

    assert_type(await db.run(body), list[str])


async def of_a_keyspace(db: Database) -> None:
    carts = db.keyspace("carts")
    assert_type(carts, Keyspace)
    assert_type(await carts.get("k", level="ALL"), bytes | None)
    assert_type(await carts.siblings("k", level=2), Siblings)
    assert_type(await carts.resolve("k", b"token", None), int)
    assert_type(await carts.increment("n"), int)
    assert_type(await carts.members("s"), list[bytes])
    assert_type(await carts.fields("h"), dict[bytes, bytes])
    async with carts.session(causal=True) as session:
        assert_type(session, KeyspaceSession)
        assert_type(session.export(), bytes)


async def of_the_doors() -> None:
    async with quorate.open("./data") as opened:
        assert_type(opened, Member)
        assert_type(opened.node, Node)
        await of_a_database(opened)
    async with quorate.connect("quorate://localhost:6380", password="p", timeout=3) as connected:
        assert_type(connected, Database)
    async with quorate.join("./data", name="c", node=1, peers={1: "localhost:7100"}) as member:
        assert_type(member, Member)
        await member.wait_until_ready(timeout=1.0)


def of_the_twin() -> None:
    with quorate.sync.open("./data") as db:
        assert_type(db, SyncDatabase)
        assert_type(db.get("k"), bytes | None)
        assert_type(db.put("k", b"v", if_version=1), int)
        assert_type(db.delete("k"), bool)
        assert_type(db.increment("k"), int)
        assert_type(db.scan(), Iterator[Item])
        assert_type(db.watch(), Iterator[KeyChange])
        with db.transaction() as t:
            assert_type(t, SyncTransaction)
            assert_type(t.get("k"), bytes | None)
        assert_type(db.run(lambda t: t.get("k")), bytes | None)
        assert_type(db.keyspace("carts").session().get("k"), bytes | None)
    assert_type(quorate.sync.connect("quorate://localhost:6380"), SyncDatabase)
    assert_type(quorate.sync.join("./data", name="c", node=1, peers={1: "localhost:7100"}), SyncDatabase)
