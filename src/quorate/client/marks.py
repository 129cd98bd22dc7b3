"""What a session has seen and written, as tokens: what its next read must include, what its next write comes after.

Theory. A *mark* of a key is a few tokens that together stand for all that matters of it: a token that is known to
include others replaces them. Each guarantee is one rule about which marks go along:

read your writes      a read must include the session's writes to the key
monotonic reads       a read must include what the session read of the key
monotonic writes      a write comes after the session's writes to the key
writes follow reads   a write comes after what the session read of the key
causal                a value carries what its writer knew of other keys (in its note); whoever reads it knows that too,
                      and its next reads of those keys must include it

Source      Terry et al. 1994; Bailis et al. 2013, "Bolt-on Causal Consistency" (explicit causality, in the client).
Deviations  Dependencies are carried whole, not as the last write of each process; what all copies hold is dropped.
            A deleted key shows no note: who reads that it is gone learns nothing of what its deleter knew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from quorate.kernel import Codec, Malformed
from quorate.kernel.errors import UsageError

TOKENS_MAX = 8
"""Tokens of one mark; with more, one read that includes them all makes one of them."""

_NOTES: Codec[dict[bytes, tuple[bytes, ...]]] = Codec(dict[bytes, tuple[bytes, ...]])


@dataclass(frozen=True, kw_only=True)
class Guarantees:
    """Which rules a session keeps."""

    read_your_writes: bool = True
    monotonic_reads: bool = True
    monotonic_writes: bool = True
    writes_follow_reads: bool = True
    # Implies the four others.
    causal: bool = False


class Marks(dict[bytes, tuple[bytes, ...]]):
    """Key → tokens that are not known to include each other."""

    def add(self, key: bytes, token: bytes, *, includes: Iterable[bytes] = ()) -> None:
        """Take a token that includes some others. Complexity: O(tokens of the key)."""
        if token:
            covered = dict.fromkeys(includes)
            kept = [one for one in self.get(key, ()) if one not in covered and one != token]
            self[key] = (*kept, token)


class SessionState(msgspec.Struct):
    """The marks of one session, to be kept or handed on."""

    # What the session read; what it wrote; what its writes may replace; what it knows from notes of others.
    seen: dict[bytes, tuple[bytes, ...]]
    own: dict[bytes, tuple[bytes, ...]]
    basis: dict[bytes, tuple[bytes, ...]]
    known: dict[bytes, tuple[bytes, ...]]


_STATES: Codec[SessionState] = Codec(SessionState)


class SessionMarks:
    """All marks of one session. It asks nobody: the session tells it what came, and is told what goes along."""

    def __init__(self, guarantees: Guarantees, *, keeps_siblings: bool) -> None:
        """Begin with nothing seen.

        Args:
            guarantees: which rules hold.
            keeps_siblings: whether a write replaces exactly what its context had seen, so that a context must not
                stand for more than the session was shown.
        """
        self.guarantees = guarantees
        self.keeps_siblings = keeps_siblings
        self.seen, self.own, self.basis, self.known = Marks(), Marks(), Marks(), Marks()

    @property
    def key_count(self) -> int:
        """How many keys have marks. Complexity: O(keys)."""
        return len({**self.seen, **self.own, **self.known})

    def for_read(self, key: bytes) -> tuple[bytes, ...]:
        """Return what a read must include."""
        guarantees = self.guarantees
        wanted: dict[bytes, None] = {}
        if guarantees.read_your_writes or guarantees.causal:
            wanted.update(dict.fromkeys(self.own.get(key, ())))
        if guarantees.monotonic_reads or guarantees.causal:
            wanted.update(dict.fromkeys(self.seen.get(key, ())))
        if guarantees.causal:
            wanted.update(dict.fromkeys(self.known.get(key, ())))
        return tuple(wanted)

    def for_write(self, key: bytes) -> tuple[bytes, ...]:
        """Return what a write comes after; where values stay side by side, what it replaces."""
        guarantees = self.guarantees
        wanted: dict[bytes, None] = {}
        if guarantees.monotonic_writes or guarantees.causal:
            wanted.update(dict.fromkeys((self.basis if self.keeps_siblings else self.own).get(key, ())))
        if guarantees.writes_follow_reads or guarantees.causal:
            wanted.update(dict.fromkeys(self.seen.get(key, ())))
        if guarantees.causal and not self.keeps_siblings:
            wanted.update(dict.fromkeys(self.known.get(key, ())))
        return tuple(wanted)

    def note(self, key: bytes) -> bytes:
        """Return what a value of a key carries: all that this session knows of other keys; empty for nothing."""
        if not self.guarantees.causal:
            return b""
        depends: dict[bytes, tuple[bytes, ...]] = {}
        for marks in (self.known, self.seen, self.own):
            for other, tokens in marks.items():
                if other != key:
                    depends[other] = tuple(dict.fromkeys((*depends.get(other, ()), *tokens)))
        return _NOTES.encode(depends) if depends else b""

    def was_read(self, key: bytes, token: bytes, notes: Sequence[bytes], *, included: tuple[bytes, ...]) -> None:
        """Learn what a read answered; `included` is what was asked of it."""
        self.seen.add(key, token, includes=included)
        if included:
            # One token stands for all of them now.
            for marks in (self.own, self.known):
                if key in marks and all(one in included for one in marks[key]):
                    marks[key] = (token,)
        if self.guarantees.causal:
            for note in notes:
                self._learn(note)

    def _learn(self, note: bytes) -> None:
        """Take over what a writer knew; a note of somebody else's making is nobody's knowledge."""
        try:
            depends = _NOTES.decode(note) if note else {}
        except Malformed:
            return
        for key, tokens in depends.items():
            for token in tokens:
                self.known.add(key, token)

    def was_written(self, key: bytes, token: bytes, value_count: int, *, after: tuple[bytes, ...]) -> None:
        """Learn what a write answered: the token of what the coordinator holds now, and how many values that is."""
        self.own.add(key, token, includes=after)
        if value_count <= 1:
            # Nothing but what this session wrote or saw is in it.
            self.basis.add(key, token, includes=after)

    def forget(self, key: bytes) -> None:
        """Drop what is held by all copies: every read includes it from now on."""
        for marks in (self.seen, self.own, self.basis, self.known):
            marks.pop(key, None)

    def export(self) -> bytes:
        """Return everything, for another process that goes on with this session."""
        return _STATES.encode(SessionState(dict(self.seen), dict(self.own), dict(self.basis), dict(self.known)))

    def resume(self, data: bytes) -> None:
        """Go on with an exported session; raise UsageError for anything else."""
        try:
            state = _STATES.decode(data)
        except Malformed as cause:
            raise UsageError("this is no exported session") from cause
        self.seen, self.own = Marks(state.seen), Marks(state.own)
        self.basis, self.known = Marks(state.basis), Marks(state.known)
