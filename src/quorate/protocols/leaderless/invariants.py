"""What must hold over all nodes of a keyspace at every moment, as pure functions.

Called by simulators after every step. The lattice is the judge: that something is not lost is that it is contained.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from quorate.clocks import DottedVersionSet
from quorate.kernel import Codec, NodeId
from quorate.protocols.leaderless.cells import LWW, SIBLINGS
from quorate.protocols.leaderless.core import Leaderless
from quorate.protocols.leaderless.levels import Need
from quorate.protocols.leaderless.rules import Rule

_ROWS: Codec[list[tuple[int, int, tuple[bytes, ...]]]] = Codec(list[tuple[int, int, tuple[bytes, ...]]])
_STAMP_BYTES = 19


class InvariantBroken(AssertionError):
    """A safety property of leaderless replication does not hold; the sentence names it, the nodes and the key."""


class Watched(msgspec.Struct):
    """What one node held when it was last looked at."""

    # The very object: a node that started again is another one, and may have forgotten what was not stable.
    machine: Leaderless
    cells: dict[bytes, bytes]
    # Keys whose cell was not on disk when it was last looked at: a crash may take it back, dots and all.
    unstable: dict[bytes, None] = msgspec.field(default_factory=dict)


class NodesHistory(msgspec.Struct):
    """What was ever true of a keyspace; grows with its writes. One per run."""

    # Key and stamp, or key and dot → what was written under it.
    written: dict[tuple[bytes, int, int], bytes] = msgspec.field(default_factory=dict)
    nodes: dict[NodeId, Watched] = msgspec.field(default_factory=dict)


def check_nodes(machines: Sequence[Leaderless], history: NodesHistory) -> None:
    """Check what changed in the nodes that are alive, and remember it.

    Args:
        machines: the nodes that are alive.
        history: of this keyspace since the beginning of the run; updated.

    Raises:
        InvariantBroken: a cell shrank without a purge, or one dot or stamp has two meanings.

    Complexity: O(cells held), with real work only for those that changed.
    """
    for machine in machines:
        watched = history.nodes.get(machine.node)
        if watched is None or watched.machine is not machine:
            watched = history.nodes[machine.node] = Watched(machine, {})
        before, now = watched.cells, machine.cells
        if before != now:
            for key in [*before, *(key for key in now if key not in before)]:
                if before.get(key) != now.get(key):
                    _check_growth(machine, key, before.get(key, b""), now.get(key, b""))
                    watched.unstable[key] = None
            watched.cells = dict(now)
        for key in [key for key in watched.unstable if key not in machine.unstable]:
            del watched.unstable[key]
            _check_meaning(machine, key, now.get(key, b""), history)


def check_acknowledged(
    rule: Rule, held: Mapping[NodeId, bytes], *, key: bytes, cell: bytes, needs: Sequence[Need]
) -> None:
    """Check that a write that was just answered is on as many disks as its level says.

    Args:
        rule: of the keyspace.
        held: node → what its disk holds of the key; what a stand-in keeps for an owner counts as the owner's.
        key: what was written.
        cell: the coordinator's cell after the write.
        needs: of its level.

    Raises:
        InvariantBroken: an acknowledgement promised too much.
    """
    having = [node for node, theirs in held.items() if contains(rule, theirs, cell)]
    for need in needs:
        if not need.is_met(having):
            raise InvariantBroken(f"a write of {key!r} was answered, and of {need} only {having} have it on disk")


def contains(rule: Rule, cell: bytes, part: bytes) -> bool:
    """Return whether a cell is at or above another one."""
    return rule.merge(cell, part) == cell


def _check_growth(machine: Leaderless, key: bytes, before: bytes, after: bytes) -> None:
    if after:
        if not contains(machine.rule, after, before):
            raise InvariantBroken(f"node {machine.node}: {key!r} shrank from {before!r} to {after!r}")
    elif machine.rule.deleted_at_ms(before) is None and machine.holds(key):
        raise InvariantBroken(f"node {machine.node}: {key!r} is gone and was alive: {before!r}")


def _check_meaning(machine: Leaderless, key: bytes, cell: bytes, history: NodesHistory) -> None:
    for name, content in events_of(key, cell):
        known = history.written.setdefault(name, content)
        if known != content:
            raise InvariantBroken(f"node {machine.node}: {name} of {key!r} was {known!r}, and is {content!r}")


def events_of(key: bytes, cell: bytes) -> Iterator[tuple[tuple[bytes, int, int], bytes]]:
    """Yield the events of a cell under names that must be given once, and what they wrote."""
    if cell[:1] == bytes((LWW,)):
        yield (key + b"@" + cell[:_STAMP_BYTES], 0, 0), cell
    elif cell[:1] == bytes((SIBLINGS,)):
        for actor, count, values in DottedVersionSet.from_items(_ROWS.decode(cell[1:])).items():
            for place, value in enumerate(values):
                yield (key, actor, count - place), value
