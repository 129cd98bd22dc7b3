"""Save what a stopped node holds to a file; found a new cluster from the files of an old one.

    file   = header Raft share*       streams of chunks, one behind another (see `storage.chunks`)
    header = a stream without pairs; its meta is MAGIC and a `Header`
    Raft   = the state of group 1
    share  = what the node holds of one leaderless keyspace (see `server.saved`), as many as the header names

A file of version 0.1 before leaderless keyspaces were saved is the stream of Raft's state alone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from rich.console import Console

from quorate.api.maintenance import groups_of, owned
from quorate.api.process import load_config
from quorate.kernel import Codec, GroupId, Malformed, NodeId
from quorate.kernel.errors import ConfigError, Corrupt, Refused, UsageError
from quorate.runtime import lock_directory, real_env, worker
from quorate.server import (
    Config,
    Joined,
    Share,
    first_topology,
    found_keyspace,
    founding_mark,
    group_of,
    join_shares,
    load_merges,
    load_share,
    open_state,
    share_chunks,
)
from quorate.storage import ChunkReader, LMDBBase, chunks_of, split_streams
from quorate.storage import inspect as inspect_log
from quorate.store import MemoryBase

CHUNK_BYTES: Final = 1 << 20
MAGIC: Final = b"quorate snapshot 1\n"


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What stands first in a snapshot."""

    cluster: str
    node: NodeId
    # Of Raft's state.
    applied_index: int
    # Names of the shares that follow, in their order.
    keyspaces: list[str]


_HEADERS: Codec[Header] = Codec(Header)


class SnapshotFile(NamedTuple):
    """What a file holds, every checksum looked at."""

    name: str
    # None: of a version that saved no leaderless keyspaces.
    header: Header | None
    raft: list[bytes]
    shares: list[Share]


# Saving.


def save_snapshot(directory: Path, file: Path, console: Console) -> None:
    """Write what a stopped node holds to a file; a node that was stopped in good order has all of Raft at rest.

    Raises:
        UsageError: the file exists, this is no node's directory, or nothing was ever at rest.
        Corrupt: what is in the directory is damaged.
    """
    if file.exists():
        raise UsageError(f"{file} exists; nothing was written")
    partial = file.with_name(file.name + ".partial")
    with owned(directory) as identity:
        groups = groups_of(directory)
        if len(groups) > 1:
            raise UsageError("a snapshot holds one group; this node has several")
        base = LMDBBase(groups[0][1], worker("snapshot"))
        try:
            state = open_state(base)
            if state.applied_index == 0:
                raise UsageError(f"{directory} has no checkpoint yet: stop its node in good order first")
            # One after the other in memory, as each keyspace was while its node ran.
            shares = _shares(directory)
            names = [name for name, _count, _chunks in shares]
            header = Header(str(identity["cluster"]), NodeId(int(str(identity["node"]))), state.applied_index, names)
            source = base.snapshot()
            try:
                with partial.open("wb") as target:
                    for chunk in chunks_of(MAGIC + _HEADERS.encode(header), (), CHUNK_BYTES):
                        target.write(chunk)
                    for chunk in source.chunks(CHUNK_BYTES):
                        target.write(chunk)
                    for _name, _count, chunks in shares:
                        target.writelines(chunks)
            finally:
                source.close()
            partial.replace(file)
            console.print(f"{file}: {sum(state.key_counts()):,} keys as of index {state.applied_index}")
            for name, count, _chunks in shares:
                # Of one node: the other files are needed as well.
                console.print(f"{file}: {count:,} copies of keyspace {name}, those of this node", soft_wrap=True)
        finally:
            base.close()


def _shares(directory: Path) -> list[tuple[str, int, list[bytes]]]:
    """Return name, count of cells and chunks of what a node holds of each leaderless keyspace, by name."""
    logged = inspect_log(real_env(NodeId(0), directory).disk).groups
    found: list[tuple[str, int, list[bytes]]] = []
    for path in sorted((directory / "state").glob("keyspace-*")):
        group = GroupId(int(path.name.removeprefix("keyspace-")))
        base = LMDBBase(path, worker("snapshot"))
        try:
            if base.meta is None and not logged.get(group):
                continue  # a node that was never told who holds the keyspace
            name, count, chunks = share_chunks(base, group, logged.get(group, ()), CHUNK_BYTES)
            found.append((name, count, list(chunks)))
        finally:
            base.close()
    return sorted(found)


# Restoring.


def restore_snapshot(
    files: Sequence[Path], configs: Sequence[Path], console: Console, *, is_partial: bool = False
) -> None:
    """Make the data directories of a new cluster from snapshots of an old one; leaderless copies are joined.

    Raises:
        Corrupt: a file is damaged; nothing was written.
        UsageError: a directory is not empty, or the files are not of different nodes of one cluster.
        ConfigError: the configurations are not of one cluster.
        Refused: a keyspace cannot be restored as it is declared, or some of its keys are in no file.
    """
    snapshots = [read_snapshot(path) for path in files]
    check_files(snapshots)
    loaded = [load_config(path) for path in configs]
    _check_configs(loaded)
    joined = _join(snapshots, loaded[0], is_partial=is_partial)
    for config in loaded:
        directory = Path(config.data)
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty; nothing was written")
    newest = max(snapshots, key=lambda one: one.header.applied_index if one.header is not None else 0)
    for name, one in joined.items():
        console.print(
            f"keyspace {name}: {len(one.cells) - one.tombstone_count:,} keys, {one.tombstone_count:,} tombstones, "
            f"joined from {one.share_count} nodes: at least {one.copy_count} of {one.replica_count} copies of each",
            soft_wrap=True,
        )
    for config in loaded:
        directory = Path(config.data)
        lock = lock_directory(directory, node=config.node_id, cluster=config.cluster)
        try:
            index = asyncio.run(_found(directory, config, newest.raft, joined))
        finally:
            lock.close()
        console.print(f"{directory}: node {config.node} of {config.cluster!r}, state as of index {index}")


def read_snapshot(path: Path) -> SnapshotFile:
    """Return what is in a file; raise Corrupt, or UsageError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror}") from cause
    streams = list(split_streams(path.name, data))
    if not streams:
        raise Corrupt(f"{path.name}: is empty")
    bases = [_check_stream(path.name, stream) for stream in streams]
    meta = bases[0].meta
    if meta is None or not meta.startswith(MAGIC):
        if len(streams) > 1:
            raise Corrupt(f"{path.name}: goes on behind its end")
        return SnapshotFile(path.name, None, streams[0], [])
    try:
        header = _HEADERS.decode(meta[len(MAGIC) :])
        if len(streams) != 2 + len(header.keyspaces):
            raise Corrupt(f"{path.name}: {len(streams)} parts, and {2 + len(header.keyspaces)} were written")
        shares = [load_share(header.node, base) for base in bases[2:]]
    except Malformed as cause:
        raise Corrupt(f"{path.name}: holds something else than a snapshot: {cause}") from cause
    if [share.name for share in shares] != header.keyspaces:
        raise Corrupt(f"{path.name}: holds other keyspaces than it says")
    return SnapshotFile(path.name, header, streams[1], shares)


def _check_stream(name: str, stream: list[bytes]) -> MemoryBase:
    """Look at every checksum of a stream, and return what is in it."""
    reader, base = ChunkReader(name), MemoryBase()
    pairs = [pair for chunk in stream for pair in reader.feed(chunk)]
    reader.require_complete()
    base.replace(reader.meta, pairs)
    return base


def check_files(snapshots: Sequence[SnapshotFile]) -> None:
    """Raise UsageError when files are not of different nodes of one cluster."""
    headers = [one.header for one in snapshots if one.header is not None]
    if len(snapshots) > 1 and len(headers) < len(snapshots):
        raise UsageError("a snapshot without leaderless keyspaces of an older version is restored alone")
    if len({header.cluster for header in headers}) > 1:
        raise UsageError(f"the files are of different clusters: {sorted({header.cluster for header in headers})}")
    nodes = [header.node for header in headers]
    if len(dict.fromkeys(nodes)) < len(nodes):
        raise UsageError(f"two files are of one node; the files are of nodes {sorted(nodes)}")


def _check_configs(loaded: Sequence[Config]) -> None:
    if len({config.cluster for config in loaded}) != 1 or len({tuple(sorted(config.peers)) for config in loaded}) != 1:
        raise ConfigError("the configurations name different clusters or different peers")
    if sorted(config.node for config in loaded) != sorted(loaded[0].peers):
        raise ConfigError(f"one configuration per node is needed: {sorted(loaded[0].peers)}")
    if any(config.group_count != 1 for config in loaded):
        raise UsageError("a snapshot holds one group, so group_count must be 1")
    first = loaded[0]
    if any((one.keyspaces, one.nodes, one.merges) != (first.keyspaces, first.nodes, first.merges) for one in loaded):
        raise ConfigError("the configurations declare different keyspaces, places of nodes or merges")


def _join(snapshots: Sequence[SnapshotFile], config: Config, *, is_partial: bool) -> dict[str, Joined]:
    """Return keyspace → what all files amount to."""
    by_name: dict[str, list[Share]] = {}
    for snapshot in snapshots:
        for share in snapshot.shares:
            by_name.setdefault(share.name, []).append(share)
    merges = load_merges(config.merges)
    found: dict[str, Joined] = {}
    for name, shares in sorted(by_name.items()):
        joined = join_shares(name, config.keyspaces.get(name), shares, merges)
        if not joined.copy_count and not is_partial:
            nodes = sorted({int(node) for share in shares if (at := share.topology()) for node in at.nodes()})
            raise Refused(
                f"keyspace {name}: of some keys no file holds a copy; its nodes are {nodes}, the files are of "
                f"{sorted(int(share.node) for share in shares)} (--partial restores what there is)"
            )
        found[name] = joined
    return found


async def _found(directory: Path, config: Config, raft: list[bytes], joined: Mapping[str, Joined]) -> int:
    """Fill the directory of one node; return the index of Raft's state."""
    founders = tuple(sorted(NodeId(int(node)) for node in config.peers))
    sites = {NodeId(int(node)): site for node, site in config.nodes.items()}
    for name, one in joined.items():
        keyspace = config.keyspaces[name]
        base = LMDBBase(directory / "state" / f"keyspace-{group_of(name)}", worker("restore"))
        try:
            topology = first_topology(keyspace, founders, sites)
            await found_keyspace(base, name, keyspace, topology, config.node_id, one)
        finally:
            base.close()
    base = LMDBBase(directory / "state" / "group-1", worker("restore"))
    try:
        restorer = base.restore()
        for chunk in raft:
            restorer.write(chunk)
        await restorer.finish()
        state = open_state(base)
        # The new cluster's members are those of its configurations, not those of the old one.
        await founding_mark(state, founders)
        return state.applied_index
    finally:
        base.close()
