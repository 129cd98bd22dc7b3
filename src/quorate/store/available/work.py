"""What a command of a leaderless keyspace amounts to: requests to its machine, in steps, and an answer made of theirs.

A handler is a generator: it yields the steps that may go at once, gets their outcomes, and returns the reply. It knows
nothing of nodes, quorums or time. The same handlers serve every conflict rule.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from quorate.protocols.leaderless import AnyChange, Rule, Seen
from quorate.store.reply import WRONG_TYPE, CommandError, Reply, ReplyError, printable


class Step(msgspec.Struct, frozen=True, gc=False):
    """One request to the machine, of one key."""

    key: bytes
    # None: a read.
    change: AnyChange | None = None
    # Empty: what the caller or the keyspace says.
    level: str = ""
    # What it replaces; empty: what the caller's connection has seen, if that is kept.
    context: bytes = b""
    # Whether the command goes on without it: a look that makes an answer better.
    is_look: bool = False


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of a step."""

    # As of `Answered`.
    cell: bytes = b""
    # Set when it failed.
    error: ReplyError | None = None
    # With an error: whether it may have happened.
    is_in_doubt: bool = False


Steps: TypeAlias = Sequence[Step]
Work: TypeAlias = Generator[Steps, Sequence[Outcome], Reply]


class Call:
    """One command, as its handler sees it."""

    __slots__ = ("args", "note", "rule")

    def __init__(self, args: list[bytes], rule: Rule, note: bytes = b"") -> None:
        # Name in upper case first; keys without the keyspace's prefix.
        self.args = args
        self.rule = rule
        self.note = note

    def seen(self, outcome: Outcome) -> Seen:
        """Return what a reader sees in a cell; nothing where a look failed."""
        return self.rule.seen(outcome.cell) if outcome.cell else _NOTHING

    def token(self, outcome: Outcome) -> bytes:
        """Return the token of what was seen."""
        return self.rule.token(outcome.cell) if outcome.cell else b""


_NOTHING: Final = Seen()
Kind: TypeAlias = Literal["string", "counter", "set", "hash", "none", "mixed"]
Handler: TypeAlias = Callable[[Call], Work]


@dataclass(frozen=True, slots=True)
class Entry:
    """One command that a leaderless keyspace honours."""

    name: bytes
    handler: Handler
    # Places of the first and last key and the step between them, as in Redis' COMMAND table.
    keys: tuple[int, int, int]
    is_write: bool


ENTRIES: dict[bytes, Entry] = {}
"""All commands that leaderless keyspaces honour, by name in upper case."""


def honoured(name: str, keys: tuple[int, int, int] = (1, 1, 1), *, write: bool = False) -> Callable[[Handler], Handler]:
    """Enter a handler into `ENTRIES`."""

    def enter(handler: Handler) -> Handler:
        upper = name.upper().encode()
        assert upper not in ENTRIES, "a command is entered once"
        ENTRIES[upper] = Entry(upper, handler, keys, write)
        return handler

    return enter


def check_kind(seen: Seen, key: bytes, *kinds: Kind) -> None:
    """Raise CommandError when a key is there and of none of these kinds."""
    if seen.kind == "mixed":
        raise CommandError(
            "WRONGTYPE", f"key '{printable(key)}' was made as two kinds at the same time; DEL removes both"
        )
    if seen.kind != "none" and seen.kind not in kinds:
        raise CommandError(WRONG_TYPE.code, WRONG_TYPE.text)


def one_value(seen: Seen, key: bytes) -> bytes | None:
    """Return the string or number at a key, None when absent.

    Raises:
        CommandError: WRONGTYPE, or SIBLINGS when there are several values and nobody has said which.
    """
    check_kind(seen, key, "string", "counter")
    if len(seen.values) > 1:
        raise CommandError(
            "SIBLINGS",
            f"key '{printable(key)}' has {len(seen.values)} concurrent values; QUORATE.SIBLINGS shows them,"
            " QUORATE.RESOLVE settles them",
        )
    return seen.values[0] if seen.values else None


def first_failure(outcomes: Sequence[Outcome], steps: Steps) -> ReplyError | None:
    """Return the error of a command whose steps are these; None when none failed.

    Of several keys some may have been written: then it is in doubt, whatever the failures say of their own keys.
    """
    failed = [
        outcome for outcome, step in zip(outcomes, steps, strict=True) if outcome.error is not None and not step.is_look
    ]
    if not failed:
        return None
    error = next((one.error for one in failed if one.is_in_doubt), None) or failed[0].error
    assert error is not None, "a failure has an error"
    changes = [outcome for outcome, step in zip(outcomes, steps, strict=True) if step.change is not None]
    done_count = sum(outcome.error is None for outcome in changes)
    if done_count and len(changes) > 1:
        return ReplyError("UNKNOWN", f"{done_count} of {len(changes)} keys were written, the others not: {error.text}")
    return error
