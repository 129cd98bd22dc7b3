"""What nodes say to each other. Late, repeated, reordered or lost, all of it."""

from typing import Annotated, Final

import msgspec

from quorate.kernel import Codec, LogIndex, Message
from quorate.protocols.raft.entries import Entry, Index, Term

Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class RequestVote(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A candidate asks for a vote (§5.2); with `pre`, only whether it would get one (thesis §9.6)."""

    # The candidate's term; with `pre`, the term it would have.
    term: Term
    # Where the candidate's log ends (§5.4.1).
    last_index: Index
    last_term: Term
    pre: bool = False
    # The old leader asked for this election, so its lease does not count (thesis §4.2.3).
    transfer: bool = False


class VoteResult(Message, frozen=True, array_like=True, gc=False, tag=True):
    """An answer to `RequestVote`."""

    # The voter's term; of a granted pre-vote, the term that was asked for.
    term: Term
    granted: bool
    pre: bool = False


class AppendEntries(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A leader's entries, probe, heartbeat, round of reads or news of commitment, all in one shape (§5.3)."""

    term: Term
    # The entry right before `entries`, which the follower must hold.
    prev_index: Index
    prev_term: Term
    entries: tuple[Entry, ...]
    commit_index: Index
    # The latest round that the leader had begun; comes back in the result. 0: no answer is wanted, unless a refusal.
    round: Number = 0


class AppendResult(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A follower's answer to `AppendEntries` or to a snapshot."""

    term: Term
    success: bool
    # Of a success: on this follower's disk, up to here, is what the leader has.
    match_index: Index
    # Of a refusal: the best guess where the logs agree, and the follower's term there (thesis §3.5, end of §5.3).
    hint_index: Index = LogIndex(0)
    hint_term: Term = 0
    round: Number = 0
    # Of a refusal: the `prev_index` that was refused, so that a late refusal is told from a new one.
    refused_index: Index = LogIndex(0)


class TimeoutNow(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A leader asks a follower to take over at once (thesis §3.10)."""

    term: Term


class ReadIndexRequest(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A follower asks the leader for an index that a read must wait for (thesis §6.4)."""

    term: Term
    token: Number


class ReadIndexResponse(Message, frozen=True, array_like=True, gc=False, tag=True):
    """The answer; index 0 means refused: ask the new leader."""

    term: Term
    token: Number
    index: Index


RaftMessage = (
    RequestVote | VoteResult | AppendEntries | AppendResult | TimeoutNow | ReadIndexRequest | ReadIndexResponse
)

MESSAGES: Final[Codec[RaftMessage]] = Codec(RaftMessage)
"""Encodes and decodes everything that Raft nodes say."""
