"""CLUSTER: one shard with all slots, so that a cluster-aware client learns who leads.

Every node answers every key (a follower forwards), so nobody is ever sent elsewhere with MOVED or ASK.
"""

from typing import TYPE_CHECKING, Final

from quorate.doors.resp.slots import SLOT_COUNT, slot_of
from quorate.doors.resp.subcommand import Subcommands, list_subcommands, run_subcommand
from quorate.doors.resp.table import NoReply, door_command
from quorate.doors.resp.wire import DoorReply, Verbatim
from quorate.kernel import NodeId
from quorate.store import OK, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_NO_LEADER: Final = ReplyError("CLUSTERDOWN", "no leader is known")


class Member:
    """One node as clients see it."""

    def __init__(self, node: NodeId, address: str, *, is_leader: bool, is_me: bool, is_reachable: bool) -> None:
        host, _, port = address.rpartition(":")
        self.name = f"{node:040x}".encode()
        self.host = host.encode()
        self.port = int(port) if port.isdigit() else 0
        self.is_leader = is_leader
        self.is_me = is_me
        self.is_reachable = is_reachable


def members(connection: "Connection") -> list[Member]:
    """Return all members, the leader first, then by id."""
    info = connection.server.backend.info()
    transport = connection.transport
    mine = str(connection.server.address or "")
    # Behind a wildcard address only the connection knows how this node was reached.
    found = transport.get_extra_info("sockname") if transport is not None else None
    if found:
        mine = f"{found[0]}:{found[1]}"
    everyone = [Member(info.node, mine, is_leader=info.leader == info.node, is_me=True, is_reachable=True)]
    for peer in info.peers:
        is_leader = peer.node == info.leader
        address = (info.leader_address if is_leader else None) or peer.address
        everyone.append(Member(peer.node, address, is_leader=is_leader, is_me=False, is_reachable=peer.reachable))
    return sorted(everyone, key=lambda member: (not member.is_leader, member.name))


def _info(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the state of the cluster."""
    info = connection.server.backend.info()
    fields = {
        "cluster_enabled": 1,
        "cluster_state": "ok" if info.leader is not None else "fail",
        "cluster_slots_assigned": SLOT_COUNT,
        "cluster_slots_ok": SLOT_COUNT if info.leader is not None else 0,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": 0,
        "cluster_known_nodes": len(info.peers) + 1,
        "cluster_size": 1,
        "cluster_current_epoch": info.term,
        "cluster_my_epoch": info.term,
    }
    return Verbatim("".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode())


def _myid(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the name of this node."""
    return f"{connection.server.backend.info().node:040x}".encode()


def _keyslot(_connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns the slot of a key."""
    return slot_of(args[2])


def _nodes(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the members, one a line."""
    info = connection.server.backend.info()
    everyone = members(connection)
    leader = next((member.name.decode() for member in everyone if member.is_leader), "-")
    lines: list[str] = []
    for member in everyone:
        role = "master" if member.is_leader else "slave"
        flags = f"myself,{role}" if member.is_me else role
        place = f"{member.host.decode()}:{member.port}@{member.port}"
        link = "connected" if member.is_reachable else "disconnected"
        line = f"{member.name.decode()} {place} {flags} {'-' if member.is_leader else leader} 0 0 {info.term} {link}"
        lines.append(line + (f" 0-{SLOT_COUNT - 1}\n" if member.is_leader else "\n"))
    return Verbatim("".join(lines).encode())


def _slots(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns who serves the slots: the leader, then the others."""
    everyone = members(connection)
    if not everyone[0].is_leader:
        return _NO_LEADER
    reachable = [member for member in everyone if member.is_leader or (member.is_reachable and member.port)]
    return [[0, SLOT_COUNT - 1, *([member.host, member.port, member.name, []] for member in reachable)]]


def _shards(connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns the one shard with its members."""
    info = connection.server.backend.info()
    nodes: list[DoorReply] = [
        {
            b"id": member.name,
            b"port": member.port,
            b"ip": member.host,
            b"endpoint": member.host,
            b"role": b"master" if member.is_leader else b"replica",
            b"replication-offset": info.commit_index,
            b"health": b"online" if member.is_reachable else b"failed",
        }
        for member in members(connection)
    ]
    return [{b"slots": [0, SLOT_COUNT - 1], b"nodes": nodes}]


def _countkeysinslot(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is refused: keys are not kept by slot."""
    return ReplyError("ERR", "keys are not kept by slot here; there is one shard")


def _help(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Returns this."""
    return list(list_subcommands("CLUSTER", _SUBCOMMANDS))


_SUBCOMMANDS: Subcommands = {
    b"INFO": (2, _info),
    b"MYID": (2, _myid),
    b"KEYSLOT": (3, _keyslot),
    b"NODES": (2, _nodes),
    b"SLOTS": (2, _slots),
    b"SHARDS": (2, _shards),
    b"COUNTKEYSINSLOT": (3, _countkeysinslot),
    b"HELP": (2, _help),
}


@door_command("CLUSTER", -2, "loading stale")
def cluster(connection: "Connection", args: list[bytes]) -> "DoorReply | NoReply":
    """Tells a cluster-aware client who the members are and who leads."""
    return run_subcommand(connection, args, "cluster", _SUBCOMMANDS)


@door_command("READONLY", 1, "fast loading stale")
def readonly(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is accepted; reads stay linearizable (QUORATE.READ local is the way to old ones)."""
    return OK


@door_command("READWRITE", 1, "fast loading stale")
def readwrite(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is accepted; see READONLY."""
    return OK


@door_command("ASKING", 1, "fast")
def asking(_connection: "Connection", _args: list[bytes]) -> DoorReply:
    """Is accepted; nobody is ever sent elsewhere."""
    return OK
