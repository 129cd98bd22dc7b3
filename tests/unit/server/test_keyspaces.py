"""What a keyspace declares is kept, or refused before anybody relies on it, with the reason."""

import pytest

from quorate.kernel import NodeId
from quorate.kernel.errors import ConfigError
from quorate.server import Config, Keyspace, Placement, Replication, Site, check, load
from quorate.server.declared import quorum_size, refusals
from quorate.server.keyspaces import group_of, replica_counts

THREE = tuple(NodeId(number) for number in (1, 2, 3))
HEAD = 'node = 1\ndata = "d"\n[peers]\n1 = "a:1"\n2 = "a:2"\n3 = "a:3"\n'


def leaderless(**fields: object) -> Keyspace:
    known = {name: value for name, value in fields.items() if name in Keyspace.__struct_fields__}
    inner = {name: value for name, value in fields.items() if name not in known}
    return Keyspace(replication=Replication(by="leaderless", **inner), **known)  # type: ignore[arg-type]


def reasons(keyspace: Keyspace, **fields: object) -> str:
    found = refusals(keyspace, nodes=THREE, sites={}, **fields)  # type: ignore[arg-type]
    return "; ".join(f"{refusal.key}: {refusal.sentence}" for refusal in found)


@pytest.mark.parametrize(
    "keyspace",
    [
        leaderless(),
        leaderless(read=1, write=1, sloppy=True, conflicts="siblings"),
        leaderless(replicas=1, read="ONE", write="ONE"),
        leaderless(write="ANY", consistency="causal"),
        leaderless(acknowledge=False, conflicts="crdt"),
        leaderless(conflicts="siblings", isolation="no-lost-updates"),
        leaderless(hint_window_s=10, tombstone_grace_s=5, purge="never"),
        leaderless(read="LOCAL_QUORUM", write="EACH_QUORUM", placement=Placement(by="ring", virtual_nodes=64)),
        Keyspace(database=2),
        Keyspace(database=2, isolation="serializable", consistency="linearizable", placement=Placement(by="range")),
        Keyspace(prefix="a:", replication=Replication(replicas=3)),
    ],
)
def test_what_can_be_kept_is_taken(keyspace: Keyspace) -> None:
    assert reasons(keyspace) == ""


@pytest.mark.parametrize(
    ("keyspace", "reason"),
    [
        (leaderless(consistency="linearizable", read=1, write=2), "R + W <= N (1 + 2 <= 3)"),
        (leaderless(consistency="linearizable"), "clock is behind has the older stamp"),
        (leaderless(consistency="linearizable", sloppy=True), "linearizable with sloppy quorums"),
        (leaderless(consistency="sequential", read="ONE", write="ONE"), "sequential with R + W <= N"),
        (leaderless(isolation="serializable"), "needs one order of all transactions"),
        (leaderless(isolation="snapshot"), "must prevent lost updates"),
        (leaderless(isolation="read-committed"), "have no transactions"),
        (leaderless(isolation="no-lost-updates"), "strings of lww keep one of two concurrent writes"),
        (leaderless(isolation="no-lost-updates", acknowledge=False, conflicts="siblings"), "nobody is told"),
        (leaderless(consistency="causal", acknowledge=False), "may be lost unseen"),
        (leaderless(write="TWO", acknowledge=False), "TWO waits for copies"),
        (leaderless(write="NONE"), "say so with acknowledge = false"),
        (leaderless(hint_window_s=100, tombstone_grace_s=100), "bring a deleted key back"),
        (leaderless(purge="repair", anti_entropy=False), "nothing is purged"),
        (leaderless(replicas=4), "4 copies need as many nodes; the cluster has 3"),
        (leaderless(replicas=0), "1 to 15 copies, not 0"),
        (leaderless(replicas={"east": 2}), "'east' has 0 (see [nodes.N] datacenter)"),
        (leaderless(read=4), "4 of 3 copies cannot be had"),
        (leaderless(write=0), "0 of 3 copies cannot be had"),
        (leaderless(replicas=2, write="THREE"), "THREE of 2 copies cannot be had"),
        (leaderless(read="ANY"), "'ANY' (a write's level) is not known"),
        (leaderless(write="MOST"), "'MOST' is not known"),
        (leaderless(placement=Placement(by="range")), "'range' is Raft's"),
        (leaderless(placement=Placement(virtual_nodes=0)), "must be from 1 to 1024"),
        (leaderless(hint_rate=0), "hint_rate: must be 1 or more"),
        (leaderless(speculative_delay_ms=-1), "must be 0 or more"),
        (leaderless(read_repair="sometimes"), "known are blocking, background, none"),
        (leaderless(conflicts="magic"), "known are lww, siblings, crdt, merge:NAME"),
        (leaderless(consistency="strong"), "'strong' is not known"),
        (leaderless(isolation="acid"), "'acid' is not known"),
        (Keyspace(replication=Replication(by="paxos")), "known are raft, leaderless"),
        (Keyspace(database=1, replication=Replication(replicas=2)), "a copy on every member: 3"),
        (Keyspace(database=1, placement=Placement(by="ring")), "go by slots or range"),
        (Keyspace(database=1, placement=Placement(by="heap")), "known are ring, slots, range"),
        (Keyspace(database=1, conflicts="lww"), "there are none on Raft"),
        (Keyspace(database=1, acknowledge=False), "declare it leaderless for less"),
        (Keyspace(database=1, replication=Replication(sloppy=True)), "a stand-in has no vote"),
        (Keyspace(), "is one of the databases 0 to 15"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(keyspace: Keyspace, reason: str) -> None:
    assert reason in reasons(keyspace)


def test_ordered_placement_needs_one_raft_group() -> None:
    assert "range needs one group" in reasons(Keyspace(database=1, placement=Placement(by="range")), group_count=4)


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ("[keyspaces.a]\ndatabase = 16", "keyspaces.a.database: must be from 0 to 15"),
        ("[keyspaces.'a b']\ndatabase = 1", "keyspaces.a b: a name has 1 to 64 letters"),
        ("[keyspaces.a]\ndatabase = 1\n[keyspaces.b]\ndatabase = 1", "keyspaces.b.database: database 1"),
        ("[keyspaces.a]\nprefix = 'x'\n[keyspaces.b]\nprefix = 'xy'", "also claimed by a"),
        ("[keyspaces.a]\ndatabase = 0\n[keyspaces.b]\nprefix = 'x'", "keyspaces.b.database: database 0"),
        ("[keyspaces.a]\ndatabse = 1", "unknown key keyspaces.a.databse; did you mean keyspaces.a.database?"),
        ("[keyspaces.a]\nreplication = { sloopy = true }", "did you mean keyspaces.a.replication.sloppy?"),
        ("[keyspaces.a]\nconflicts = 'merge:m'\nreplication.by = 'leaderless'", "merges.m is not declared"),
        ("[merges]\nm = 'os.path'", "merges.m: 'os.path' is not module:function"),
        ("[nodes.1]\nweight = 0", "nodes.1.weight: must be above 0"),
        ("[nodes.x]\nzone = 'a'", "nodes.x: a node id is a whole number from 1"),
        ("[nodes.1]\nrak = 'a'", "unknown key nodes.1.rak; did you mean nodes.1.rack?"),
        ("keyspaces.a = 3", "Expected `object`, got `int`"),
    ],
)
def test_a_configuration_names_the_keyspace_and_the_key(tables: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(HEAD + tables if "[" in tables[:1] else tables + "\n" + HEAD, name="n.toml")
    assert sentence in str(refused.value)


def test_two_keyspaces_may_share_a_database_by_prefix_and_none_needs_one() -> None:
    config = load(
        HEAD + "[keyspaces.a]\nprefix = 'a:'\nreplication.by = 'leaderless'\n[keyspaces.b]\nprefix = 'b:'\n"
        "[keyspaces.c]\nreplication.by = 'leaderless'\n"
    )
    assert sorted(config.keyspaces) == ["a", "b", "c"]
    assert not config.keyspaces["c"].is_selectable


def test_copies_are_three_or_all_in_each_data_centre() -> None:
    sites = {NodeId(1): Site("east"), NodeId(2): Site("east"), NodeId(3): Site("west")}
    assert replica_counts(leaderless(), THREE, {}) == {"": 3}
    assert replica_counts(leaderless(), THREE[:2], {}) == {"": 2}
    assert replica_counts(leaderless(), THREE, sites) == {"east": 2, "west": 1}
    assert replica_counts(leaderless(replicas={"west": 1, "east": 1}), THREE, sites) == {"east": 1, "west": 1}
    assert quorum_size("EACH_QUORUM", {"east": 3, "west": 3}) == 4
    assert quorum_size("quorum", {"": 3}) == 2


def test_the_group_of_a_keyspace_depends_on_its_name_alone() -> None:
    """A keyspace that is added or removed must not make another one read foreign records after a restart."""
    assert group_of("carts") == group_of("carts") != group_of("ledger")
    assert group_of("carts") >= 1 << 20


def test_a_configuration_made_in_python_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="4 copies need as many nodes"):
        check(Config(node=1, data="d", peers={1: "a:1"}, keyspaces={"a": leaderless(replicas=4)}))
