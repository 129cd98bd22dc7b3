"""INFO: what this node says of itself."""

import os
import platform
import sys
from typing import TYPE_CHECKING, Final

from quorate.doors.resp.commands.client import type_of
from quorate.doors.resp.table import door_command
from quorate.doors.resp.version import REDIS_VERSION
from quorate.doors.resp.wire import DoorReply, Verbatim
from quorate.kernel import SECOND

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection

_SECTIONS: Final = (
    "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats", "cluster",
    "keyspace", "quorate",
)  # fmt: skip
_GROUPS: Final = ("default", "all", "everything")

Fields = dict[str, object]


def _server(connection: "Connection") -> Fields:
    server = connection.server
    up_s = (server.clock.now() - server.started_ns) // SECOND
    return {
        "redis_version": REDIS_VERSION,
        "redis_mode": "standalone",
        "server_name": "quorate",
        "os": f"{platform.system()} {platform.machine()}",
        "arch_bits": 64 if sys.maxsize > 1 << 32 else 32,
        "python_version": platform.python_version(),
        "process_id": os.getpid(),
        "run_id": f"{server.backend.info().node:040x}",
        "tcp_port": server.address.port if server.address is not None else 0,
        "uptime_in_seconds": up_s,
        "uptime_in_days": up_s // 86_400,
    }


def _clients(connection: "Connection") -> Fields:
    server = connection.server
    everyone = server.connections.values()
    return {
        "connected_clients": len(server.connections),
        "maxclients": server.config.connection_count_max,
        "blocked_clients": server.blocking.count,
        "pubsub_clients": sum(type_of(other) == b"pubsub" for other in everyone),
        "slow_clients": len(server.blocked),
        "backlog_commands": sum(other.backlog_count for other in everyone),
    }


def _memory(connection: "Connection") -> Fields:
    del connection
    # Linux counts in KiB, macOS in bytes; elsewhere the number is simply missing.
    try:
        import resource
    except ImportError:
        return {"maxmemory": 0, "maxmemory_policy": "noeviction"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"used_memory_peak": peak, "maxmemory": 0, "maxmemory_policy": "noeviction"}


def _persistence(connection: "Connection") -> Fields:
    del connection
    # Every write is in the log of a majority before it is answered; there is no other file to be behind.
    return {"loading": 0, "aof_enabled": 1, "rdb_bgsave_in_progress": 0, "aof_rewrite_in_progress": 0}


def _stats(connection: "Connection") -> Fields:
    server = connection.server
    return {
        "total_connections_received": server.accepted_count,
        "total_commands_processed": server.command_count,
        "total_net_input_bytes": server.received_bytes,
        "total_net_output_bytes": server.sent_bytes,
        "rejected_connections": server.refused_count,
        "total_error_replies": server.error_count,
        "client_output_buffer_limit_disconnections": server.overrun_count,
        "pubsub_channels": len(server.pubsub.channels),
        "pubsub_patterns": len(server.pubsub.patterns),
        "pubsubshard_channels": len(server.pubsub.shard_channels),
        "pubsub_delivered": server.pubsub.delivered_count,
    }


def _replication(connection: "Connection") -> Fields:
    info = connection.server.backend.info()
    if info.role == "leader":
        fields: Fields = {"role": "master", "connected_slaves": sum(peer.reachable for peer in info.peers)}
        for number, peer in enumerate(info.peers):
            host, _, port = peer.address.rpartition(":")
            state = "online" if peer.reachable else "offline"
            lag = max(0, info.commit_index - peer.match_index)
            fields[f"slave{number}"] = f"ip={host},port={port},state={state},offset={peer.match_index},lag={lag}"
    else:
        host, _, port = (info.leader_address or "").rpartition(":")
        status = "up" if info.leader is not None else "down"
        fields = {"role": "slave", "master_host": host, "master_port": port or 0, "master_link_status": status}
    return {**fields, "master_repl_offset": info.commit_index}


def _cpu(connection: "Connection") -> Fields:
    del connection
    times = os.times()
    return {"used_cpu_sys": f"{times.system:.6f}", "used_cpu_user": f"{times.user:.6f}"}


def _keyspace(connection: "Connection") -> Fields:
    counters = connection.server.backend.info().counters
    fields: Fields = {}
    for db in range(connection.server.knobs.database_count):
        count = counters.get(f"keys_db{db}", 0)
        if count:
            fields[f"db{db}"] = f"keys={count},expires={counters.get(f'expires_db{db}', 0)},avg_ttl=0"
    for keyspace in connection.server.backend.info().keyspaces:
        if keyspace.by == "leaderless" and keyspace.database is not None and not keyspace.prefix:
            # Of this node's copies.
            fields[f"db{keyspace.database}"] = f"keys={keyspace.counters.get('keys', 0)},expires=0,avg_ttl=0"
    return fields


def quorate_fields(connection: "Connection") -> Fields:
    """Return what a node knows of itself and its cluster, by name."""
    info = connection.server.backend.info()
    fields: Fields = {
        "quorate_node_id": info.node,
        "quorate_role": info.role,
        "quorate_term": info.term,
        "quorate_leader_id": info.leader if info.leader is not None else "",
        "quorate_leader_address": info.leader_address or "",
        "quorate_commit_index": info.commit_index,
        "quorate_applied_index": info.applied_index,
        "quorate_groups": info.counters.get("groups", 1),
    }
    for name, value in sorted(info.counters.items()):
        if name != "groups" and not name.startswith(("keys_db", "expires_db")):
            fields[f"quorate_{name}"] = value
    for keyspace in info.keyspaces:
        for name, value in sorted(keyspace.counters.items()):
            fields[f"quorate_keyspace_{keyspace.name}_{name}"] = value
    for peer in info.peers:
        fields[f"quorate_peer{peer.node}"] = (
            f"address={peer.address},reachable={int(peer.reachable)},match_index={peer.match_index}"
        )
    return fields


def _nothing(connection: "Connection") -> Fields:
    del connection
    return {}


def _cluster(connection: "Connection") -> Fields:
    del connection
    return {"cluster_enabled": 0}


def _errorstats(connection: "Connection") -> Fields:
    return {"errorstat_all": f"count={connection.server.error_count}"}


_WRITERS: Final = {
    "server": _server,
    "clients": _clients,
    "memory": _memory,
    "persistence": _persistence,
    "stats": _stats,
    "replication": _replication,
    "cpu": _cpu,
    "modules": _nothing,
    "errorstats": _errorstats,
    "cluster": _cluster,
    "keyspace": _keyspace,
    "quorate": quorate_fields,
}


@door_command("INFO", -1, "loading stale")
def info(connection: "Connection", args: list[bytes]) -> DoorReply:
    """Returns what this node says of itself: INFO [section ...]."""
    wanted = [word.decode("utf-8", "replace").lower() for word in args[1:]] or ["default"]
    takes_all = any(word in _GROUPS for word in wanted)
    lines: list[str] = []
    for section in _SECTIONS:
        if takes_all or section in wanted:
            if lines:
                lines.append("")
            lines.append(f"# {section.capitalize()}")
            lines += [f"{name}:{value}" for name, value in _WRITERS[section](connection).items()]
    return Verbatim("".join(line + "\r\n" for line in lines).encode())
