"""What a campaign of enough seeds must have reached at least once; otherwise its faults are not worth much.

A name of a mark of the code, or `fault: …`, which counts deeds of the nemesis.
"""

from typing import Final

from quorate.lab.simulation.options import Level

_LOOP: Final = (
    "raft: a leader was deposed",
    "raft: conflicting entries replaced",
    "raft: snapshot installed",
    "raft: a peer needs a snapshot",
    "raft: vote refused",
    "raft: vote refused, the log is not up to date",
    "raft: refused an old leader",
    "raft: leader steps down, no quorum heard",
    "raft: the link to a peer broke",
    "raft: read waits for the first commit of the term",
    "raft: read within the lease",
    "raft: read served to a follower",
    "raft: the target of a transfer is told to campaign",
    "raft: campaigns at the leader's wish",
    "snapshots: installed",
    "store: a repeated request was answered from its session",
    "wal: torn tail cut",
)

_CORE: Final = (
    "raft: a leader was deposed",
    "raft: conflicting entries replaced",
    "raft: snapshot installed",
    "raft: vote refused",
    "raft: vote refused, the log is not up to date",
    "raft: election lost",
    "raft: entries were already held",
    "raft: refused an old leader",
    "raft: leader steps down, no quorum heard",
    "raft: read within the lease",
    "raft: read served to a follower",
    "raft: leaves the joint configuration",
    "raft: a leader that was removed steps down",
    "raft: a refusal came too late",
    "raft: a forwarded read expired",
)

_AVAILABLE: Final = ()

MARKS: Final[dict[Level, tuple[str, ...]]] = {"loop": _LOOP, "core": _CORE, "available": _AVAILABLE}
"""Level → what its campaigns must reach."""

ENOUGH_SEEDS: Final = 300
"""A campaign of so many seeds of a level must have reached all of them; a smaller one only says what it missed."""
