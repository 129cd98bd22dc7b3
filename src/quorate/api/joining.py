"""Join the leaderless copies of snapshots into a cluster that lives on: every member is given all cells."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from quorate.api.asynchronous import connect
from quorate.api.backup import check_files, read_snapshot
from quorate.kernel.errors import QuorateError, UsageError
from quorate.server import Share, join_known

BATCH_BYTES: Final = 256 << 10
PIECE_BYTES: Final = 1 << 20
"""The Redis door takes no longer arguments than 2 MiB."""
CELL_BYTES_MAX: Final = 24 << 20
"""And no longer requests than 32 MiB."""
TIMEOUT_S: Final = 10.0


def join_snapshots(
    files: Sequence[Path], at: str, names: Sequence[str], console: Console, *, access: Mapping[str, Any]
) -> bool:
    """Join leaderless keyspaces of snapshots into a running cluster; return whether every member took its part.

    Args:
        files: of different nodes of one cluster, which need not be this one.
        at: Redis addresses of any members, with commas.
        names: of the keyspaces; empty: all that the files hold.
        console: for what was done.
        access: what `connect` takes to be let in.

    Raises:
        Corrupt: a file is damaged; nothing was joined.
        UsageError: the files do not belong together, or hold no such keyspace.
        Refused: they do not say by which rule a keyspace's cells were made.
    """
    snapshots = [read_snapshot(path) for path in files]
    check_files(snapshots)
    shares: dict[str, list[Share]] = {}
    for snapshot in snapshots:
        for share in snapshot.shares:
            shares.setdefault(share.name, []).append(share)
    missing = sorted({*names} - {*shares})
    if missing or not shares:
        raise UsageError(f"the files hold no leaderless keyspace {' '.join(missing)}".rstrip())
    joined = {name: join_known(shares[name]) for name in sorted(names or shares)}
    rules = {name: shares[name][0].rule for name in joined}
    return asyncio.run(_join_all(joined, rules, at, console, access))


async def _join_all(
    joined: Mapping[str, dict[bytes, bytes]],
    rules: Mapping[str, str],
    at: str,
    console: Console,
    access: Mapping[str, Any],
) -> bool:
    async with connect(f"quorate://{at}", timeout=TIMEOUT_S, **access) as database:
        members = await database.executor.admin([b"MEMBERS"])
    is_whole = True
    for name, cells in joined.items():
        large = [key for key, cell in cells.items() if len(cell) > CELL_BYTES_MAX]
        if large:
            is_whole = False
            console.print(f"keyspace {name}: {len(large)} cells are too long to be sent", soft_wrap=True)
        for member in members:
            address = member[b"redis"].decode()
            line = f"keyspace {name}, node {member[b'node']}: "
            try:
                held, changed = await _join_one(address, name, rules[name], cells, access)
            except QuorateError as cause:
                is_whole = False
                console.print(f"{line}{cause}", highlight=False, markup=False, soft_wrap=True)
                continue
            console.print(f"{line}{held:,} of {len(cells):,} cells are its own, {changed:,} changed", soft_wrap=True)
    return is_whole


async def _join_one(
    address: str, name: str, rule: str, cells: Mapping[bytes, bytes], access: Mapping[str, Any]
) -> tuple[int, int]:
    """Give one member all cells; return how many it holds, and how many changed. Asked again, it changes nothing."""
    held = changed = 0
    async with connect(f"quorate://{address}", timeout=TIMEOUT_S, **access) as database:
        for batch in batches(cells):
            reply = await database.executor.admin([b"ABSORB", name.encode(), rule.encode(), *batch])
            held, changed = held + int(reply[b"held"]), changed + int(reply[b"changed"])
    return held, changed


def batches(cells: Mapping[bytes, bytes]) -> Iterator[list[bytes]]:
    """Yield cells as arguments of ABSORB: (key, how many pieces, pieces)*, a little of them at a time."""
    batch: list[bytes] = []
    batch_bytes = 0
    for key, cell in cells.items():
        if len(cell) > CELL_BYTES_MAX:
            continue
        pieces = [cell[start : start + PIECE_BYTES] for start in range(0, len(cell), PIECE_BYTES)]
        batch += [key, str(len(pieces)).encode(), *pieces]
        batch_bytes += len(key) + len(cell)
        if batch_bytes >= BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch
