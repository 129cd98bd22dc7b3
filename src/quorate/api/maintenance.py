"""Work on data at rest: examine a directory, save a stopped node's state, found a new cluster from it."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from quorate.api.process import load_config
from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import ConfigError, QuorateError, StorageError, UsageError
from quorate.protocols.raft import RECORDS, Append, HardState, SnapshotMarker
from quorate.runtime import lock_directory, read_identity, real_env, worker
from quorate.server import decoded, founding_mark, is_leaderless, name_at_rest, open_state, records_at_rest
from quorate.storage import LMDBBase, split_chunks

CHUNK_BYTES = 1 << 20


def _groups(directory: Path) -> list[tuple[GroupId, Path]]:
    found = sorted(
        (GroupId(int(path.name.removeprefix("group-"))), path) for path in (directory / "state").glob("group-*")
    )
    if not found:
        raise UsageError(f"{directory} holds no state: is it a node's data directory?")
    return found


@contextlib.contextmanager
def _owned(directory: Path) -> Iterator[dict[str, object]]:
    """Hold a stopped node's directory; raise when there is none or its node runs."""
    identity = read_identity(directory) if directory.is_dir() else None
    if identity is None:
        raise UsageError(f"{directory} is not a node's data directory")
    lock = lock_directory(directory, node=NodeId(int(str(identity["node"]))), cluster=str(identity["cluster"]))
    try:
        yield identity
    finally:
        lock.close()


def examine(directory: Path, console: Console) -> bool:
    """Print what is in a data directory; return whether it is sound. Nothing is changed."""
    from quorate.storage import inspect as inspect_log

    with _owned(directory) as identity:
        console.print(f"node {identity['node']} of cluster {identity['cluster']!r}, format {identity['format']}")
        is_sound = True
        try:
            report = inspect_log(real_env(NodeId(0), directory).disk)
            console.print(
                f"log: {report.segment_count} files, {report.record_count} records, {report.log_bytes:,} bytes"
            )
            if report.cut is not None:
                cut = report.cut
                console.print(
                    f"log: {cut.name} ends in {cut.byte_count} bytes that were never acknowledged, from offset "
                    f"{cut.offset} ({cut.reason}); the next start cuts them"
                )
            for group, records in sorted(report.groups.items()):
                if is_leaderless(group):
                    kinds = Counter(type(record).__name__ for _ordinal, record in decoded(group, records))
                    console.print(f"keyspace {group}: in the log {kinds['Stored']:,} cells, {kinds['Hinted']:,} hints")
                else:
                    _print_records(console, group, [RECORDS.decode(record) for _ordinal, record in records])
        except StorageError as cause:
            is_sound = False
            console.print(f"[red]log: {cause}[/]", soft_wrap=True)
        for group, path in _groups(directory):
            try:
                base = LMDBBase(path, worker("doctor"))
                state = open_state(base)
                counts = sum(state.key_counts())
                console.print(f"group {group}: checkpoint at index {state.applied_index}, {counts:,} keys")
                base.close()
            except QuorateError as cause:
                is_sound = False
                console.print(f"[red]group {group}: {cause}[/]", soft_wrap=True)
        for path in sorted((directory / "state").glob("keyspace-*")):
            is_sound = _examine_keyspace(path, console) and is_sound
    console.print("[green]sound[/]" if is_sound else "[red]not sound[/]")
    return is_sound


def _examine_keyspace(path: Path, console: Console) -> bool:
    """Print what a leaderless keyspace holds at rest; return whether it is sound."""
    number = path.name.removeprefix("keyspace-")
    try:
        base = LMDBBase(path, worker("doctor"))
        kinds = Counter(type(record).__name__ for record in records_at_rest(base))
        name = name_at_rest(base) or "not at rest yet"
        console.print(f"keyspace {number} ({name}): checkpoint of {kinds['Stored']:,} cells, {kinds['Hinted']:,} hints")
        base.close()
    except QuorateError as cause:
        console.print(f"[red]keyspace {number}: {cause}[/]", soft_wrap=True)
        return False
    return True


def _print_records(console: Console, group: GroupId, records: list[HardState | Append | SnapshotMarker]) -> None:
    promise = next((record for record in reversed(records) if isinstance(record, HardState)), None)
    marker = next((record for record in reversed(records) if isinstance(record, SnapshotMarker)), None)
    appended = [record for record in records if isinstance(record, Append)]
    last_index = appended[-1].entries[-1].index if appended else 0
    console.print(
        f"group {group}: term {promise.term if promise else 0}, voted for {promise.voted_for if promise else None}, "
        f"log up to index {last_index}, checkpoint marker at {marker.index if marker else 0}, "
        f"voters {list(marker.configuration.voters) if marker else '?'}"
    )


def save_snapshot(directory: Path, file: Path, console: Console) -> None:
    """Write the state at rest of a stopped node to a file; a node that was stopped in good order has it all there."""
    if file.exists():
        raise UsageError(f"{file} exists; nothing was written")
    partial = file.with_name(file.name + ".partial")
    with _owned(directory):
        groups = _groups(directory)
        if len(groups) > 1:
            raise UsageError("a snapshot holds one group; this node has several")
        base = LMDBBase(groups[0][1], worker("snapshot"))
        try:
            state = open_state(base)
            if state.applied_index == 0:
                raise UsageError(f"{directory} has no checkpoint yet: stop its node in good order first")
            source = base.snapshot()
            try:
                with partial.open("wb") as target:
                    for chunk in source.chunks(CHUNK_BYTES):
                        target.write(chunk)
            finally:
                source.close()
            partial.replace(file)
            console.print(f"{file}: {sum(state.key_counts()):,} keys as of index {state.applied_index}")
        finally:
            base.close()


def restore_snapshot(file: Path, configs: list[Path], console: Console) -> None:
    """Make the data directories of a new cluster from a snapshot: every node begins with the same state.

    Raises:
        Corrupt: the file is damaged; nothing is left behind.
        UsageError: a directory is not empty, or the configurations are not of one cluster.
    """
    try:
        data = file.read_bytes()
    except OSError as cause:
        raise UsageError(f"{file}: {cause.strerror}") from cause
    loaded = [load_config(path) for path in configs]
    if len({config.cluster for config in loaded}) != 1 or len({tuple(sorted(config.peers)) for config in loaded}) != 1:
        raise ConfigError("the configurations name different clusters or different peers")
    if sorted(config.node for config in loaded) != sorted(loaded[0].peers):
        raise ConfigError(f"one configuration per node is needed: {sorted(loaded[0].peers)}")
    if any(config.group_count != 1 for config in loaded):
        raise UsageError("a snapshot holds one group, so group_count must be 1")
    for config in loaded:
        directory = Path(config.data)
        if directory.exists() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty; nothing was written")
    for config in loaded:
        directory = Path(config.data)
        lock = lock_directory(directory, node=config.node_id, cluster=config.cluster)
        try:
            founders = tuple(sorted(NodeId(node) for node in config.peers))
            index = asyncio.run(_fill(directory / "state" / "group-1", file.name, data, founders))
        finally:
            lock.close()
        console.print(f"{directory}: node {config.node} of {config.cluster!r}, state as of index {index}")


async def _fill(path: Path, name: str, data: bytes, founders: tuple[NodeId, ...]) -> int:
    base = LMDBBase(path, worker("restore"))
    try:
        restorer = base.restore()
        for chunk in split_chunks(name, data):
            restorer.write(chunk)
        await restorer.finish()
        state = open_state(base)
        # The new cluster's members are those of its configurations, not those of the old one.
        await founding_mark(state, founders)
        return state.applied_index
    finally:
        base.close()
