"""Work on the data directory of a stopped node: who owns it, what is in it, whether it is sound."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from quorate.kernel import GroupId, NodeId
from quorate.kernel.errors import QuorateError, StorageError, UsageError
from quorate.protocols.leaderless import canonical
from quorate.protocols.raft import RECORDS, Append, HardState, SnapshotMarker
from quorate.runtime import lock_directory, read_identity, real_env, worker
from quorate.server import check_cells, decoded, is_leaderless, name_at_rest, open_state, records_at_rest, rule_at_rest
from quorate.storage import LMDBBase


def groups_of(directory: Path) -> list[tuple[GroupId, Path]]:
    """Return the groups at rest in a directory and where they lie; raise UsageError when there are none."""
    found = sorted(
        (GroupId(int(path.name.removeprefix("group-"))), path) for path in (directory / "state").glob("group-*")
    )
    if not found:
        raise UsageError(f"{directory} holds no state: is it a node's data directory?")
    return found


@contextlib.contextmanager
def owned(directory: Path) -> Iterator[dict[str, object]]:
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

    with owned(directory) as identity:
        console.print(f"node {identity['node']} of cluster {identity['cluster']!r}, format {identity['format']}")
        is_sound = True
        logged: dict[GroupId, list[tuple[int, bytes]]] = {}
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
            logged = report.groups
            for group, records in sorted(logged.items()):
                if is_leaderless(group):
                    kinds = Counter(type(record).__name__ for _ordinal, record in decoded(group, records))
                    console.print(f"keyspace {group}: in the log {kinds['Stored']:,} cells, {kinds['Hinted']:,} hints")
                else:
                    _print_records(console, group, [RECORDS.decode(record) for _ordinal, record in records])
        except StorageError as cause:
            is_sound = False
            console.print(f"[red]log: {cause}[/]", soft_wrap=True)
        for group, path in groups_of(directory):
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
            records = logged.get(GroupId(int(path.name.removeprefix("keyspace-"))), [])
            is_sound = _examine_keyspace(path, records, console) and is_sound
    console.print("[green]sound[/]" if is_sound else "[red]not sound[/]")
    return is_sound


def _examine_keyspace(path: Path, logged: Iterable[tuple[int, bytes]], console: Console) -> bool:
    """Print what a leaderless keyspace holds at rest; return whether it is sound, in the log too."""
    number = path.name.removeprefix("keyspace-")
    try:
        lines, problem = _look_into(path, GroupId(int(number)), logged)
    except QuorateError as cause:
        lines, problem = "", str(cause)
    if lines:
        console.print(f"keyspace {number} {lines}", soft_wrap=True)
    if problem:
        console.print(f"[red]keyspace {number}: {escape(problem)}[/]", soft_wrap=True)
    return not problem


def _look_into(path: Path, group: GroupId, logged: Iterable[tuple[int, bytes]]) -> tuple[str, str]:
    """Return what a leaderless keyspace holds, and what is wrong with it: nothing, if that is empty."""
    base = LMDBBase(path, worker("doctor"))
    try:
        at_rest, name, rule = list(records_at_rest(base)), name_at_rest(base), rule_at_rest(base)
    finally:
        base.close()
    in_log = [record for _ordinal, record in decoded(group, logged)]
    kinds = Counter(type(record).__name__ for record in at_rest)
    line = f"({name or 'not at rest yet'}): checkpoint of {kinds['Stored']:,} cells, {kinds['Hinted']:,} hints"
    if not rule:
        return line, ""
    # LMDB has no checksums: what rotted shows as cells that are none.
    check = check_cells(rule, canonical([*at_rest, *in_log]))
    line += f"; conflicts: {rule}; with the log {check.living_count:,} keys, {check.tombstone_count:,} tombstones"
    if not check.damaged:
        return line, ""
    return line, f"{len(check.damaged):,} cells are damaged, the first is of key {check.damaged[0]!r}"


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
