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

_AVAILABLE: Final = (
    "leaderless: a change is forwarded to an owner",
    "leaderless: a repeated forward is not applied again",
    "leaderless: the life of an owner that was asked has ended",
    "leaderless: a stand-in is asked to keep a hint",
    "leaderless: a stand-in takes the place of a silent owner",
    "leaderless: a hint beyond the window is dropped",
    "leaderless: a hint that arrives beyond the window is not taken",
    "leaderless: a hint is kept for the new owners",
    "leaderless: digests differ",
    "leaderless: read repair",
    "leaderless: a speculative retry",
    "leaderless: a tombstone is purged",
    "leaderless: a write above a stamp from the future",
    "leaderless: a joint node takes no writes of the old topology",
    "leaderless: a node that missed a movement takes over its end",
    "leaderless: a write under way goes to new owners too",
    "anti-entropy: an exchange was given up",
    "swim: a member refuted what was said of it",
)

MARKS: Final[dict[Level, tuple[str, ...]]] = {"loop": _LOOP, "core": _CORE, "available": _AVAILABLE}
"""Level → what its campaigns must reach."""

ENOUGH_SEEDS: Final = 300
"""A campaign of so many seeds of a level must have reached all of them; a smaller one only says what it missed."""
