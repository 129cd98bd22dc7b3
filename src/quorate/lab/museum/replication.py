"""Second wing: logs that are counted, cut or acknowledged wrongly."""

from quorate.kernel import LogIndex, NodeId, Send
from quorate.lab.museum.bug import exhibit
from quorate.protocols.raft import (
    Append,
    AppendEntries,
    AppendResult,
    Entry,
    Leader,
    Probe,
    Progress,
    Raft,
    SnapshotReceived,
)

LEADER_FALLS = {
    "aims": {"cut the power of a proposing leader": 0.5, "crash a proposing leader": 0.3, "black out": 0.2},
    "lease_reads": False,
}


@exhibit(
    name="figure-8",
    story="""A leader counts holders of entries of older terms and commits them.
Such an entry can be on a majority and still be overwritten by a leader that has never seen it.
Five nodes, and four leaders in a row that each fall in the middle of their work.""",
    source="Ongaro & Ousterhout 2014, §5.4.2 and Figure 8",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={
        "node_count": 5,
        "pre_vote": False,
        "lease_reads": False,
        # One entry at a time, as in the figure: the old entry seldom travels without the new leader's own otherwise.
        "append_bytes_max": 1,
        "inflight_count_max": 1,
        "aims": {
            "isolate a proposing leader with one other": 0.9,
            "isolate a proposing leader": 0.5,
            "cut the power of a new leader": 0.8,
            "isolate a new leader": 0.5,
            "crash a proposing leader": 0.3,
        },
    },
    seeds_max=60,
)
class CountsOlderTerms(Raft):
    """Counts entries of any term."""

    def _may_commit(self, role: Leader, index: LogIndex) -> bool:
        return True


@exhibit(
    name="leader-counts-itself-early",
    story="""A leader counts itself among the holders of an entry before its own write is stable.
With one follower that is a majority; the leader loses power, and only one node of three holds the entry.""",
    source="Raft thesis §10.2.1 allows the parallel write and asks for exactly this care",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions=LEADER_FALLS | {"node_count": 3},
    seeds_max=150,
)
class LeaderCountsItselfEarly(Raft):
    """Takes what it has begun to write for written."""

    def _maybe_commit(self, role: Leader) -> bool:
        self.durable_index = self.log.last_index
        return super()._maybe_commit(role)


@exhibit(
    name="follower-acks-before-sync",
    story="""A follower acknowledges entries when they are in its memory.
It loses power, and an entry that clients were told of is on no majority any more.""",
    source="Raft, Figure 2; the default of systems that acknowledge from the page cache",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={
        "node_count": 3,
        "lease_reads": False,
        "aims": {"cut a follower, then isolate the leader": 0.9},
    },
    seeds_max=100,
)
class FollowerAcksBeforeSync(Raft):
    """Acknowledges at once."""

    def _acknowledge(self, sender: NodeId, message: AppendEntries, matched: LogIndex) -> None:
        if message.entries:
            result = AppendResult(self.term, success=True, match_index=matched, round=message.round)
            self._emit(Send(sender, result, eager=True))
        else:
            super()._acknowledge(sender, message, matched)


@exhibit(
    name="follower-acks-beyond",
    story="""A follower acknowledges the end of its own log instead of the end of what it was sent.
A tail of an old leader's entries then counts as the new leader's, and is committed without being held.""",
    source="Raft §5.3: matchIndex is what is known to be replicated, not what the follower has",
    layer="raft",
    caught_by=("invariant", "not linearizable"),
    level="core",
    conditions={"aims": {"isolate a proposing leader": 0.6, "isolate a proposing leader with one other": 0.4}},
    seeds_max=80,
)
class FollowerAcksBeyond(Raft):
    """Says that it holds all that it has."""

    def _acknowledge(self, sender: NodeId, message: AppendEntries, matched: LogIndex) -> None:
        super()._acknowledge(sender, message, self.log.last_index)


@exhibit(
    name="truncates-on-stale-append",
    story="""A follower cuts its log to what an AppendEntries brings, also when it holds all of it already.
A late message, overtaken by a newer one, cuts off entries that were acknowledged and committed.""",
    source="Raft §5.3 and Figure 2, AppendEntries step 3: only a conflict truncates",
    layer="raft",
    caught_by=("invariant", "not linearizable", "node stopped"),
    level="core",
    conditions={"reorder_share": 0.5, "repeat_share": 0.3, "aims": {"cut the power of a proposing leader": 0.4}},
    seeds_max=60,
)
class TruncatesOnStaleAppend(Raft):
    """Replaces everything from the first entry of a message on."""

    def _append_from_leader(self, entries: tuple[Entry, ...]) -> None:
        first_index = entries[0].index
        if first_index <= self.log.last_index:
            self.log.truncate(first_index)
            self._truncated_to(LogIndex(first_index - 1))
        self.log.append(entries)
        self._persist((Append(entries),), durable_index=self.log.last_index)
        self._use_configuration()


@exhibit(
    name="commits-beyond-the-message",
    story="""A follower commits up to the leader's commit index wherever its own log reaches, not only up to the last
entry that the message vouches for. Behind that may be the tail of another leader, which is then applied.""",
    source="Raft Figure 2, AppendEntries step 5: min(leaderCommit, index of last new entry)",
    layer="raft",
    caught_by=("invariant", "not linearizable", "node stopped", "divergence"),
    level="core",
    conditions={"aims": {"isolate a proposing leader": 0.6, "crash a proposing leader": 0.3}},
    seeds_max=20,
)
class CommitsBeyondTheMessage(Raft):
    """Takes the end of its log for the end of what was checked."""

    _heard_commit = LogIndex(0)

    def _take_entries(self, sender: NodeId, message: AppendEntries) -> None:
        self._heard_commit = message.commit_index
        super()._take_entries(sender, message)

    def _commit_from_leader(self, index: int) -> None:
        super()._commit_from_leader(max(index, min(self._heard_commit, self.log.last_index)))


@exhibit(
    name="next-index-never-backs-up",
    story="""A leader that is refused asks at the same place again and again.
A follower whose log parted from the leader's is never brought back, and one more crash stops the cluster.""",
    source="Raft §5.3: the leader decrements nextIndex and retries",
    layer="raft",
    caught_by=("no progress",),
    level="core",
    conditions={"aims": {"isolate a proposing leader": 0.6}, "has_operator": False},
    seeds_max=30,
)
class NextIndexNeverBacksUp(Raft):
    """Repeats the question."""

    def _note_refusal(self, role: Leader, progress: Progress, message: AppendResult) -> None:
        progress.become_probe(progress.next_index)
        # At the next heartbeat, not at once.
        progress.phase = Probe(is_waiting=True)


@exhibit(
    name="snapshot-over-newer-state",
    story="""A node installs every snapshot that it receives, also one that is older than what it has applied.
Its state goes back in time, and committed entries are gone from it.""",
    source="Raft §7: a snapshot that describes a prefix of the log is not installed over it",
    layer="raft",
    caught_by=("node stopped", "invariant", "divergence", "not linearizable"),
    level="core",
    conditions={"trailing_entry_count": 0, "checkpoint_entry_count": 15, "has_operator": True},
    seeds_max=100,
)
class SnapshotOverNewerState(Raft):
    """Believes what is sent."""

    def _on_snapshot_received(self, call: SnapshotReceived) -> None:
        if call.term >= self.term and self.commit_index >= call.marker.index > self.log.base_index:
            self._install(call.marker)
            return
        super()._on_snapshot_received(call)
