"""Cells of a backup for a keyspace that lives on: each node joins those of its keys into its copies.

A cell from a backup is a message from a peer that was very late. The rule joins it, so whatever is newer here stays,
and a second time changes nothing. It is on this node's disk before it is answered.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from quorate.kernel import Malformed
from quorate.kernel.errors import DiskFull, Refused, TimedOut
from quorate.protocols.leaderless import Absorb
from quorate.server.repairs import leaderless_replica
from quorate.store import Reply

if TYPE_CHECKING:
    from quorate.server.node import Node

_LOOK_S: Final = 0.005


def cells_of(args: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return keys and cells of arguments (key, how many pieces, pieces)*; no argument could be as long as a cell.

    Raises:
        ValueError, IndexError: they are something else.
    """
    found: list[tuple[bytes, bytes]] = []
    place = 0
    while place < len(args):
        key, count = args[place], int(args[place + 1])
        pieces = args[place + 2 : place + 2 + count]
        if count < 1 or len(pieces) != count:
            raise ValueError("a cell has as many pieces as it says")
        found.append((key, b"".join(pieces)))
        place += 2 + count
    return found


async def absorb_named(node: "Node", name: str, rule: str, cells: Sequence[tuple[bytes, bytes]]) -> Reply:
    """Join cells into this node's copies of a keyspace; return how many it holds, and how many of them changed.

    Raises:
        Refused: there is no such leaderless keyspace, it has another rule, its ranges move, or a cell is none.
        DiskFull: no space is left; nothing was done.
        TimedOut: the disk is slow; asking again does no harm.
    """
    replica = leaderless_replica(node, name, "absorb")
    machine, host = replica.machine, replica.host
    if replica.keyspace.rule != rule:
        raise Refused(f"keyspace {name} has conflicts = {replica.keyspace.rule!r}, and the cells have {rule!r}")
    if machine is None or host is None:
        raise Refused(f"this node has not been told yet which nodes hold keyspace {name}")
    if machine.leaderless.next_topology is not None:
        raise Refused(f"ranges of keyspace {name} are moving; join when they have settled")
    if node.wal.is_short_of_space:
        raise DiskFull("no space is left on this node's disk; nothing was done")
    try:
        for _key, cell in cells:
            replica.rule.merge(b"", cell)
    except Malformed as cause:
        raise Refused(f"keyspace {name}: a cell is none of {rule!r}: {cause}; nothing was done") from cause
    held = [(key, cell) for key, cell in cells if machine.leaderless.holds(key)]
    before = [machine.leaderless.cells.get(key) for key, _cell in held]
    host.call(Absorb(tuple(held)))
    node.turn.ask()
    changed = sum(machine.leaderless.cells.get(key) != old for (key, _), old in zip(held, before, strict=True))
    ordinal, deadline = replica.last_ordinal, node.env.clock.now() + node.config.request_timeout
    while node.wal.stable_ordinal < ordinal:
        if node.env.clock.now() > deadline:
            raise TimedOut("the cells are not on the disk yet; asking again does no harm")
        await asyncio.sleep(_LOOK_S)
    return {b"node": node.env.node, b"held": len(held), b"changed": changed}
