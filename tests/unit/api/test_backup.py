"""Backups with leaderless keyspaces: copies are joined by their rule, and what cannot be restored is refused by name."""

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from quorate.api import examine, restore_snapshot, save_snapshot
from quorate.api.joining import CELL_BYTES_MAX, PIECE_BYTES, batches
from quorate.clocks import HybridStamp
from quorate.env import Disk
from quorate.kernel import NodeId, Record
from quorate.kernel.errors import Corrupt, QuorateError, Refused, UsageError
from quorate.protocols.leaderless import RECORDS, Adopted, Born, Delete, Hinted, Preferences, Put, Stored, rule_named
from quorate.runtime import lock_directory, real_env, worker
from quorate.server import (
    Keyspace,
    Replication,
    Share,
    first_topology,
    founding_mark,
    group_of,
    join_known,
    open_state,
    records_at_rest,
)
from quorate.server.absorbing import cells_of
from quorate.server.rest import Unwritten
from quorate.storage import LMDBBase, WriteAheadLog

pytestmark = [pytest.mark.real, pytest.mark.slow]

NODES = tuple(map(NodeId, (1, 2, 3)))
CARTS = "[keyspaces.carts]\nreplication = { by = 'leaderless', replicas = 2 }\n"
DECLARED = Keyspace(replication=Replication(by="leaderless", replicas=2))
TOPOLOGY = first_topology(DECLARED, NODES, {})
GROUP = group_of("carts")
RULE = rule_named("lww")


def put(value: bytes, at: int) -> bytes:
    return RULE.change(b"", Put(value), actor=7, stamp=HybridStamp(at * 10**9, 0, NodeId(1)), context=b"")


def deleted(at: int) -> bytes:
    return RULE.change(b"", Delete(), actor=7, stamp=HybridStamp(at * 10**9, 0, NodeId(1)), context=b"")


async def _log(disk: Disk, node: NodeId, records: list[Record]) -> None:
    wal = await WriteAheadLog.open(disk, cluster="old", node=node, reserve_bytes=0, free_bytes_min=0)
    wal.append(GROUP, [RECORDS.encode(record) for record in records])
    wal.flush()
    await wal.close()


async def _fill(path: Path, node: NodeId, records: list[Record], rule: str) -> None:
    base = LMDBBase(path / "state" / "group-1", worker("test"))
    await founding_mark(open_state(base), NODES)
    base.close()
    base = LMDBBase(path / "state" / f"keyspace-{GROUP}", worker("test"))
    share = Unwritten([Adopted(TOPOLOGY, is_settled=True), Born(int(node), 5)])
    for record in records:
        share.note(record)
    await base.checkpoint(share.changes, share.meta("carts", rule))
    base.close()


def stopped(
    path: Path,
    node: int,
    records: list[Record],
    *,
    cluster: str = "old",
    rule: str = "lww",
    log: list[Record] | None = None,
) -> Path:
    """Return the directory of a stopped node that holds these cells."""
    lock_directory(path, node=NodeId(node), cluster=cluster).close()
    asyncio.run(_fill(path, NodeId(node), records, rule))
    if log:
        asyncio.run(_log(real_env(NodeId(node), path).disk, NodeId(node), log))
    return path


class Shown(Console):
    def __init__(self) -> None:
        self.text = io.StringIO()
        super().__init__(file=self.text, width=200)


def saved(tmp_path: Path, node: int, records: list[Record], **options: object) -> Path:
    file = tmp_path / f"{node}.snapshot"
    save_snapshot(stopped(tmp_path / f"old-{node}", node, records, **options), file, Shown())  # type: ignore[arg-type]
    return file


def configs(tmp_path: Path, declared: str = CARTS) -> list[Path]:
    found = []
    for node in NODES:
        path = tmp_path / f"{node}.toml"
        peers = "\n".join(f"{other} = '127.0.0.1:{7000 + other}'" for other in NODES)
        path.write_text(f"node = {node}\ndata = '{tmp_path}/new-{node}'\ncluster = 'new'\n[peers]\n{peers}\n{declared}")
        found.append(path)
    return found


def restored(tmp_path: Path) -> Mapping[int, dict[bytes, bytes]]:
    """Return node → cells in the directories of the new cluster."""
    found: dict[int, dict[bytes, bytes]] = {}
    for node in NODES:
        base = LMDBBase(tmp_path / f"new-{node}" / "state" / f"keyspace-{GROUP}", worker("test"))
        records = list(records_at_rest(base))
        base.close()
        assert Adopted(TOPOLOGY, is_settled=True) in records
        assert not any(isinstance(record, Born) for record in records), "nobody's name is used again"
        found[node] = {record.key: record.cell for record in records if isinstance(record, Stored)}
    return found


def test_copies_are_joined_and_given_to_the_new_owners(tmp_path: Path) -> None:
    """What is newest wins whoever has it: at rest, in the log of a node that crashed, or as a hint; so do tombstones."""
    files = [
        saved(tmp_path, 1, [Stored(b"a", put(b"old", 1)), Stored(b"gone", put(b"alive", 1)), Stored(b"b", put(b"b", 4))]),
        saved(tmp_path, 2, [Stored(b"a", put(b"new", 2)), Hinted(NodeId(3), b"c", put(b"hinted", 3), 3)]),
        saved(tmp_path, 3, [Stored(b"b", put(b"older", 2))], log=[Stored(b"gone", deleted(5)), Stored(b"d", put(b"d", 1))]),
    ]  # fmt: skip
    shown = Shown()
    restore_snapshot(files, configs(tmp_path), shown)
    expected = {
        b"a": put(b"new", 2), b"b": put(b"b", 4), b"c": put(b"hinted", 3), b"d": put(b"d", 1), b"gone": deleted(5)
    }  # fmt: skip
    owners = Preferences(TOPOLOGY).owners
    for node, cells in restored(tmp_path).items():
        assert cells == {key: cell for key, cell in expected.items() if node in owners(key)}
    assert "keyspace carts: 4 keys, 1 tombstones, joined from 3 nodes: at least 2 of 2 copies of each" in " ".join(
        shown.text.getvalue().split()
    )


def test_files_of_some_nodes_are_enough_while_each_key_has_a_copy(tmp_path: Path) -> None:
    files = [saved(tmp_path, node, []) for node in (1, 2)]
    paths = configs(tmp_path)
    with pytest.raises(Refused, match=r"of some keys no file holds a copy; its nodes are \[1, 2, 3\], .* of \[1\]"):
        restore_snapshot(files[:1], paths, Shown())
    assert not list(tmp_path.glob("new-*")), "nothing was written"
    shown = Shown()
    restore_snapshot(files, paths, shown)
    assert "at least 1 of 2 copies" in shown.text.getvalue()


def test_a_part_is_restored_when_it_is_asked_for(tmp_path: Path) -> None:
    file = saved(tmp_path, 1, [Stored(b"a", put(b"1", 1))])
    restore_snapshot([file], configs(tmp_path), Shown(), is_partial=True)
    assert {key for cells in restored(tmp_path).values() for key in cells} == {b"a"}


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ("", "keyspace carts, and the configuration declares none of this name"),
        ("[keyspaces.carts]\ndatabase = 3\n", "leaderless in the snapshot, and on Raft in the configuration"),
        (CARTS + "[keyspaces.carts.placement]\n[keyspaces.x]\nprefix = 'x:'\n", ""),
        (CARTS.replace("]\n", "]\nconflicts = 'siblings'\n", 1), "conflicts = 'lww' in the snapshot, not 'siblings'"),
    ],
)
def test_what_is_declared_otherwise_is_refused(tmp_path: Path, declared: str, sentence: str) -> None:
    file = saved(tmp_path, 1, [Stored(b"a", put(b"1", 1))])
    if not sentence:
        restore_snapshot([file], configs(tmp_path, declared), Shown(), is_partial=True)
        return
    with pytest.raises(Refused, match=sentence):
        restore_snapshot([file], configs(tmp_path, declared), Shown(), is_partial=True)
    assert not list(tmp_path.glob("new-*"))


def test_cells_of_an_older_version_that_names_no_rule_are_judged_one_by_one(tmp_path: Path) -> None:
    file = saved(tmp_path, 1, [Stored(b"a", put(b"1", 1))], rule="")
    siblings = CARTS.replace("]\n", "]\nconflicts = 'siblings'\n", 1)
    with pytest.raises(Refused, match="cells of another rule than 'siblings'"):
        restore_snapshot([file], configs(tmp_path, siblings), Shown(), is_partial=True)
    restore_snapshot([file], configs(tmp_path), Shown(), is_partial=True)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    one = saved(tmp_path, 1, [])
    other = tmp_path / "other"
    other.mkdir()
    stranger = saved(other, 2, [], cluster="another")
    paths = configs(tmp_path)
    with pytest.raises(UsageError, match=r"different clusters: \['another', 'old'\]"):
        restore_snapshot([one, stranger], paths, Shown())
    with pytest.raises(UsageError, match=r"two files are of one node"):
        restore_snapshot([one, one], paths, Shown())


def test_damage_anywhere_is_found_before_anything_is_written(tmp_path: Path) -> None:
    """Every byte, every cut: also one between two parts, where nothing of what is left is wrong."""
    file = saved(tmp_path, 1, [Stored(b"a", put(b"1", 1))])
    paths, whole = configs(tmp_path), file.read_bytes()
    cuts = [whole[:end] for end in range(0, len(whole), 7)]
    starts = [place for place in range(len(whole)) if whole.startswith(b"QRCH", place)]
    cuts += [whole[:start] for start in starts]
    flips = [whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :] for at in range(0, len(whole), 5)]
    for damaged in [*cuts, *flips, whole + whole, b"garbage"]:
        file.write_bytes(damaged)
        with pytest.raises(QuorateError) as caught:
            restore_snapshot([file], paths, Shown(), is_partial=True)
        assert isinstance(caught.value, Corrupt) or "format" in str(caught.value)
        assert not list(tmp_path.glob("new-*"))


def test_a_keyspace_that_was_never_at_rest_is_not_left_out_in_silence(tmp_path: Path) -> None:
    path = stopped(tmp_path / "old", 1, [])
    other = group_of("other")
    LMDBBase(path / "state" / f"keyspace-{other}", worker("test")).close()
    save_snapshot(path, tmp_path / "one", Shown())  # never told who holds it: it holds nothing

    async def log() -> None:
        wal = await WriteAheadLog.open(real_env(NodeId(1), path).disk, cluster="old", node=NodeId(1), reserve_bytes=0)
        wal.append(other, [RECORDS.encode(Stored(b"a", put(b"1", 1)))])
        wal.flush()
        await wal.close()

    asyncio.run(log())
    with pytest.raises(UsageError, match="has no checkpoint yet: stop its node in good order first"):
        save_snapshot(path, tmp_path / "two", Shown())
    assert not list(tmp_path.glob("two*"))


def test_the_doctor_looks_into_cells_at_rest_and_in_the_log(tmp_path: Path) -> None:
    shown = Shown()
    path = stopped(
        tmp_path / "a", 1, [Stored(b"a", put(b"1", 1)), Stored(b"b", deleted(1))], log=[Stored(b"c", put(b"1", 2))]
    )
    assert examine(path, shown)
    assert "(carts): checkpoint of 2 cells, 0 hints; conflicts: lww; with the log 2 keys, 1 tombstones" in (
        shown.text.getvalue()
    )
    shown = Shown()
    rotten = stopped(tmp_path / "b", 1, [Stored(b"[x]", b"\x01rot"), Hinted(NodeId(2), b"h", b"\x77", 1)], log=[])
    assert not examine(rotten, shown)
    assert "2 cells are damaged, the first is of key b'[x]'" in shown.text.getvalue()
    shown = Shown()
    assert not examine(stopped(tmp_path / "c", 1, [], log=[Stored(b"k", b"no cell")]), shown)
    assert "1 cells are damaged" in shown.text.getvalue()


def test_cells_travel_in_pieces_that_the_redis_door_takes() -> None:
    """Whatever the cells' sizes; those that no request could hold are left out, and counted by the caller."""
    cells = {b"a": b"x", b"": b"y" * (PIECE_BYTES * 2 + 5), b"huge": b"z" * (CELL_BYTES_MAX + 1)}
    cells |= {b"k%d" % number: b"v" * 1_000 for number in range(900)}
    made = list(batches(cells))
    assert len(made) > 3
    assert all(len(word) <= PIECE_BYTES for batch in made for word in batch)
    assert {key: cell for batch in made for key, cell in cells_of(batch)} == {
        key: cell for key, cell in cells.items() if key != b"huge"
    }


def test_shares_are_joined_by_the_rule_that_they_name() -> None:
    """A merge function of the user is not at hand where a backup is sent from, and is not needed."""
    siblings = rule_named("siblings")
    made = [
        siblings.change(b"", Put(value), actor=actor, stamp=HybridStamp(actor, 0, NodeId(1)), context=b"")
        for actor, value in ((1, b"x"), (2, b"y"))
    ]
    shares = [Share(NODES[place], "carts", "merge:mine", [Stored(b"k", made[place])]) for place in (0, 1)]
    assert join_known(shares) == {b"k": siblings.merge(*made)}
    for rules in (("", ""), ("lww", "siblings")):
        with pytest.raises(Refused, match="no one conflict rule"):
            join_known([share._replace(rule=rule) for share, rule in zip(shares, rules, strict=True)])
