"""What must hold over all nodes of a group at every moment (Figure 3), as pure functions.

Called by simulators after every step, so each check looks only at what changed since the last one.
"""

from collections.abc import Sequence

import msgspec

from quorate.kernel import LogIndex, NodeId
from quorate.protocols.raft.core import Raft
from quorate.protocols.raft.entries import Entry
from quorate.protocols.raft.roles import Leader


class InvariantBroken(AssertionError):
    """A safety property of Raft does not hold; the sentence names it, the nodes and the place."""


class Seen(msgspec.Struct):
    """How far one node's log was checked."""

    # The very object: a restarted node is another one, and may have forgotten its commit index.
    machine: Raft
    last_index: LogIndex
    last_term: int
    commit_index: LogIndex


class ClusterHistory(msgspec.Struct):
    """What was ever true of a group; grows with its log. One per run."""

    # Term → its leader.
    leaders: dict[int, NodeId] = msgspec.field(default_factory=dict)
    # Index → the entry that was committed there.
    committed: dict[LogIndex, Entry] = msgspec.field(default_factory=dict)
    last_committed: LogIndex = LogIndex(0)
    # (index, term) → (term of the entry before, entry): by induction, equal pairs mean equal logs up to there.
    lineage: dict[tuple[LogIndex, int], tuple[int, Entry]] = msgspec.field(default_factory=dict)
    seen: dict[NodeId, Seen] = msgspec.field(default_factory=dict)


def check_cluster(machines: Sequence[Raft], history: ClusterHistory) -> None:
    """Check the five safety properties over the nodes that are alive, and remember what was seen.

    Args:
        machines: the nodes that are alive; others are judged when they are back.
        history: of this group since the beginning of the run; updated.

    Raises:
        InvariantBroken: a property does not hold.

    Complexity: O(nodes + entries that are new to some node or newly committed).
    Source: Ongaro & Ousterhout 2014, Figure 3.
    """
    for machine in machines:
        seen = history.seen.get(machine.node)
        if seen is None or seen.machine is not machine:
            seen = Seen(machine, LogIndex(0), 0, LogIndex(0))
            history.seen[machine.node] = seen
        _check_log_matching(machine, seen, history)
        _check_committed(machine, seen, history)
    for machine in machines:
        if isinstance(machine.role, Leader):
            _check_election_safety(machine, history)
            _check_leader_completeness(machine, history)


def _check_election_safety(machine: Raft, history: ClusterHistory) -> None:
    first = history.leaders.setdefault(machine.term, machine.node)
    if first != machine.node:
        raise InvariantBroken(f"election safety: {first} and {machine.node} both lead term {machine.term}")


def _check_log_matching(machine: Raft, seen: Seen, history: ClusterHistory) -> None:
    log = machine.log
    first = LogIndex(log.base_index + 1)
    if first <= seen.last_index and log.has(seen.last_index, seen.last_term):
        # The last entry that was checked is still there, so nothing before it was replaced.
        first = LogIndex(seen.last_index + 1)
    if first <= log.last_index:
        before = log.term_at(first - 1)
        assert before is not None, "the base of a log has a term"
        for entry in log.slice(first, log.last_index):
            known = history.lineage.setdefault((entry.index, entry.term), (before, entry))
            if known != (before, entry):
                raise InvariantBroken(
                    f"log matching: node {machine.node} holds {entry!r} after term {before} where another node "
                    f"held {known[1]!r} after term {known[0]}"
                )
            before = entry.term
    seen.last_index, seen.last_term = log.last_index, log.last_term


def _check_committed(machine: Raft, seen: Seen, history: ClusterHistory) -> None:
    """Check state machine safety, and that a committed prefix never changes or shrinks."""
    log = machine.log
    if machine.commit_index < seen.commit_index:
        raise InvariantBroken(f"commit index of node {machine.node} fell from {seen.commit_index}")
    if log.last_index < machine.commit_index:
        raise InvariantBroken(f"node {machine.node} has committed {machine.commit_index} and holds {log.last_index}")
    first = max(seen.commit_index, log.base_index) + 1
    if first <= machine.commit_index:
        for entry in log.slice(first, machine.commit_index):
            agreed = history.committed.setdefault(entry.index, entry)
            if agreed != entry:
                raise InvariantBroken(
                    f"state machine safety: node {machine.node} committed {entry!r} where {agreed!r} was committed"
                )
    base = history.committed.get(log.base_index)
    if base is not None and base.term != log.base_term:
        raise InvariantBroken(
            f"node {machine.node} was cut at {log.base_index} of term {log.base_term}, not {base.term}"
        )
    seen.commit_index = machine.commit_index
    history.last_committed = max(history.last_committed, machine.commit_index)


def _check_leader_completeness(machine: Raft, history: ClusterHistory) -> None:
    """Check that a leader holds what is committed; by log matching, the last committed entry stands for all."""
    last = history.committed.get(history.last_committed)
    if last is None or machine.term < last.term or last.index <= machine.log.base_index:
        return
    if not machine.log.has(last.index, last.term):
        raise InvariantBroken(
            f"leader completeness: node {machine.node} leads term {machine.term} without {last!r}, which is committed"
        )
