"""What a leader knows of one peer's log, and how boldly it sends."""

from collections import deque

import msgspec

from quorate.kernel import LogIndex


class Probe(msgspec.Struct):
    """Where the logs agree is not known: one question at a time, without entries."""

    # An unanswered question is out; the next heartbeat asks again.
    is_waiting: bool = False


class Replicate(msgspec.Struct):
    """The logs agree: entries are sent without waiting for answers, up to the window."""

    # (last index, payload bytes) of each message with entries that is not acknowledged, oldest first.
    inflight: deque[tuple[LogIndex, int]] = msgspec.field(default_factory=deque)
    inflight_bytes: int = 0


class Snapshotting(msgspec.Struct):
    """The entries it needs are gone: the host streams a snapshot, and no entries are sent meanwhile."""

    # Of the marker that was handed to the host.
    index: LogIndex


Phase = Probe | Replicate | Snapshotting


class Progress(msgspec.Struct):
    """A leader's view of a peer. Invariant: `match_index < next_index`."""

    # The next entry to send; a guess while probing, optimistic while replicating.
    next_index: LogIndex
    # Known to be on the peer's disk, and equal to the leader's; 0: nothing is known. Never moves back in a term.
    match_index: LogIndex = LogIndex(0)
    phase: Phase = msgspec.field(default_factory=Probe)
    # The newest round of heartbeats that the peer answered.
    acknowledged_round: int = 0
    # Refusals of messages from before this round are about an earlier guess, and are ignored.
    since_round: int = 0
    # Heard of since the last check of the quorum.
    is_active: bool = True
    # The last entry proposed on the peer's behalf whose commitment it was not told of; 0: none.
    awaited_index: LogIndex = LogIndex(0)
    # Was sent something since the last heartbeat.
    is_fresh: bool = False

    def become_probe(self, next_index: LogIndex) -> None:
        """Forget what is in flight and ask anew where the logs agree."""
        self.next_index = LogIndex(max(next_index, self.match_index + 1))
        self.phase = Probe()

    def has_room(self, phase: Replicate, *, count_max: int, bytes_max: int) -> bool:
        """Return whether the window allows another message with entries."""
        return len(phase.inflight) < count_max and phase.inflight_bytes < bytes_max

    def sent(self, phase: Replicate, last_index: LogIndex, payload_bytes: int) -> None:
        """Note a message with entries; the next one starts behind it, without waiting for an answer."""
        assert self.next_index <= last_index, "entries are sent in order"
        phase.inflight.append((last_index, payload_bytes))
        phase.inflight_bytes += payload_bytes
        self.next_index = LogIndex(last_index + 1)

    def matched(self, index: LogIndex) -> bool:
        """Learn that the peer holds everything up to an index; return whether that is news.

        Complexity: O(messages acknowledged).
        """
        phase = self.phase
        if isinstance(phase, Replicate):
            while phase.inflight and phase.inflight[0][0] <= index:
                phase.inflight_bytes -= phase.inflight.popleft()[1]
        if index <= self.match_index:
            return False
        self.match_index = index
        if self.next_index <= index:
            self.next_index = LogIndex(index + 1)
        return True
