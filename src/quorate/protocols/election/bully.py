"""Bully: the node with the highest id that answers leads, and takes over whenever it comes back.

Theory. Whoever misses the leader asks all higher nodes. If one answers, it takes the matter from here; if none does in
time, all higher ones must be dead, so the asker leads and says so. That "must be" is the whole safety argument: it
holds when messages have a known largest delay and no link fails. Under partition each side has a highest node, so each
side has a leader; with `quorum` the smaller side has none, and with tokens at the resource the older one is harmless.

States      follower → electing → (claiming) → leader (TRANSITIONS; drawn in docs/protocols/election.md).
Messages    Election, Answer, Lead, LeadResult.
Persists    Promised(token).
Invariants  No two leaderships have the same token; with quorum, no two leaders have tokens of the same count.
Source      Garcia-Molina 1982, sections 3 and 4 (bully).
Deviations  1. The leader beats, so that its death is noticed. 2. Every leadership has a token. 3. `quorum`.
Limits      O(n²) messages when the lowest node notices first. The highest node is preferred, however often it fails.
"""

from typing import Final

from quorate.kernel import CancelTimer, Codec, Message, NodeId, SetTimer
from quorate.protocols.election.elector import Elector, Lead, LeadResult

ANSWER: Final = "answer"


class Election(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A lower node asks whether anybody higher is there."""


class Answer(Message, frozen=True, array_like=True, gc=False, tag=True):
    """A higher node is there, and takes over the election."""


BULLY_MESSAGES: Final[Codec[Election | Answer | Lead | LeadResult]] = Codec(Election | Answer | Lead | LeadResult)


class Bully(Elector):
    """One node's machine: `Bully(config, records, rng)`; the first event is `Started`."""

    def _elect(self) -> None:
        higher = [peer for peer in self.config.peers if peer > self.node]
        if not higher:
            self._claim()
            return
        for peer in higher:
            self._send(peer, Election())
        self._emit(SetTimer(ANSWER, self.config.answer_timeout))

    def _is_worse(self, leader: NodeId) -> bool:
        return leader < self.node

    def _on_own_message(self, sender: NodeId, message: Message) -> None:
        match message:
            case Election() if sender < self.node:
                self._send(sender, Answer())
                if self.role_name == "leader":
                    self._send(sender, Lead(self.token))
                elif self.role_name == "follower":
                    self._begin_election()
            case Answer() if sender > self.node:
                # It does the rest; patience ends the wait if it dies over it.
                self._emit(CancelTimer(ANSWER))
            case _:
                pass

    def _on_own_timer(self, timer: str) -> None:
        if timer == ANSWER and self.role_name == "electing":
            self._claim()
