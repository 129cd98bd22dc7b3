"""Commands as they travel through the log, and the table that says what each of them is.

A command is the list of its arguments, name first, in upper case; the door does the upper-casing (or `find`), the log
carries it unread, and the state machine looks its handler up in `COMMANDS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from quorate.kernel import Codec, RequestKey
from quorate.store.reply import Reply, ReplyError, wrong_arity

if TYPE_CHECKING:
    from quorate.store.space import Space


class Command(msgspec.Struct, array_like=True, gc=False):
    """One command of one caller. Never changed after it was made."""

    # Which numbered database it runs in; 0 or more.
    db: int
    # Name in upper case first, then the arguments as they came.
    args: list[bytes]
    # Present when the command must be applied once over all its attempts.
    key: RequestKey | None = None


class Batch(msgspec.Struct, array_like=True, gc=False):
    """The commands of one log entry."""

    commands: list[Command]


BATCHES: Codec[Batch] = Codec(Batch)

# A handler gets its database and all arguments, name first; the arity has been checked. It answers, or raises
# CommandError before it has changed anything.
Handler: TypeAlias = "Callable[[Space, list[bytes]], Reply]"


@dataclass(frozen=True, slots=True, eq=False)
class CommandSpec:
    """What is known of a command, in the terms of Redis' own COMMAND table."""

    # Lower case, as COMMAND INFO shows it.
    name: str
    # Number of arguments, the name included; negative: at least so many.
    arity: int
    # Sorted words: write, readonly, denyoom, fast, movablekeys …
    flags: tuple[str, ...]
    # Places of the first and last key and the step between them; negative last counts from the end; 0: no keys.
    first_key: int
    last_key: int
    step: int
    handler: Handler
    # Where the number of keys stands, for commands such as `ZUNION numkeys key …`; 0: nowhere.
    count_at: int = 0
    # Derived, so that hot paths read one attribute.
    is_write: bool = field(init=False)
    is_readonly: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_write", "write" in self.flags)
        object.__setattr__(self, "is_readonly", "readonly" in self.flags)

    def accepts(self, arg_count: int) -> bool:
        """Return whether a call with so many arguments, the name included, has the right arity."""
        return arg_count == self.arity if self.arity > 0 else arg_count >= -self.arity

    def arity_error(self) -> ReplyError:
        """Return the refusal of a call with the wrong number of arguments."""
        return wrong_arity(self.name.encode())


COMMANDS: dict[bytes, CommandSpec] = {}
"""All commands of the state machine, by name in upper case. Filled by the data types' files when they are imported."""

_LOWER: dict[bytes, CommandSpec] = {}


def command(
    name: str, arity: int, flags: str, keys: tuple[int, int, int] = (0, 0, 0), *, count_at: int = 0
) -> Callable[[Handler], Handler]:
    """Enter a handler into `COMMANDS`.

    Args:
        name: as Redis spells it; any case.
        arity: number of arguments, the name included; negative: at least so many.
        flags: words, separated by spaces.
        keys: first key, last key, step.
        count_at: place of the number of keys, 0 if there is none.
    """

    def enter(handler: Handler) -> Handler:
        assert name.upper().encode() not in COMMANDS, "a command is entered once"
        spec = CommandSpec(name.lower(), arity, tuple(sorted(flags.split())), *keys, handler, count_at)
        COMMANDS[name.upper().encode()] = spec
        _LOWER[name.lower().encode()] = spec
        return handler

    return enter


def find(name: bytes) -> CommandSpec | None:
    """Return what is known of a command whose name is in any case; None when there is no such command.

    Complexity: one dictionary look-up for a name in upper case, two in lower case.
    """
    return COMMANDS.get(name) or _LOWER.get(name) or COMMANDS.get(name.upper())


def keys_of(spec: CommandSpec, args: Sequence[bytes]) -> list[bytes]:
    """Return the keys that a call touches, in the order of its arguments; empty when its form is not right."""
    keys: list[bytes] = []
    if spec.first_key:
        last = spec.last_key if spec.last_key >= 0 else len(args) + spec.last_key
        keys.extend(args[spec.first_key : last + 1 : spec.step])
    if spec.count_at and spec.count_at < len(args):
        text = args[spec.count_at]
        count = int(text) if text.isdigit() and len(text) < 10 else 0
        first = spec.count_at + 1
        if first + count <= len(args):
            keys.extend(args[first : first + count])
    return keys
