"""The table of commands that the door answers itself, beside the store's own."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from quorate.doors.resp.wire import DoorReply
from quorate.store import COMMANDS, CommandSpec

if TYPE_CHECKING:
    from quorate.doors.resp.connection import Connection


class NoReply(Enum):
    """What a handler returns when it does not return an answer."""

    # It has answered, or will.
    NO_REPLY = 0
    # It did nothing: it must be called again when requests before it are answered.
    NOT_YET = 1


NO_REPLY: Final = NoReply.NO_REPLY
NOT_YET: Final = NoReply.NOT_YET

DoorHandler: TypeAlias = "Callable[[Connection, list[bytes]], DoorReply | NoReply]"


class InMulti(Enum):
    """What becomes of a command between MULTI and EXEC."""

    # It waits for EXEC like a command of the store, and runs at its place among the answers.
    QUEUE = "queue"
    # It acts at once: EXEC itself, DISCARD, QUIT …
    NOW = "now"
    # It is refused, and so is the EXEC that follows.
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, eq=False)
class DoorCommand:
    """What is known of a command that the door answers."""

    # Lower case, as COMMAND INFO shows it.
    name: str
    # Number of arguments, the name included; negative: at least so many.
    arity: int
    flags: tuple[str, ...]
    handler: DoorHandler
    # Whether it waits until all requests before it are answered, because it changes how answers are written.
    is_barrier: bool
    in_multi: InMulti
    # Whether a RESP2 connection that subscribes may still send it.
    is_for_subscribers: bool
    # Whether it is answered before the client has said who it is.
    is_for_strangers: bool
    first_key: int
    last_key: int
    step: int
    summary: str

    def accepts(self, arg_count: int) -> bool:
        """Return whether a call with so many arguments, the name included, has the right arity."""
        return arg_count == self.arity if self.arity > 0 else arg_count >= -self.arity


DOOR_COMMANDS: dict[bytes, DoorCommand] = {}
"""All commands of the door, by name in upper case. Filled by the files in `commands` when they are imported."""


def door_command(
    name: str,
    arity: int,
    flags: str,
    *,
    barrier: bool = False,
    in_multi: InMulti = InMulti.QUEUE,
    subscribers: bool = False,
    strangers: bool = False,
    keys: tuple[int, int, int] = (0, 0, 0),
) -> Callable[[DoorHandler], DoorHandler]:
    """Enter a handler into `DOOR_COMMANDS`; the first line of its docstring becomes the summary in COMMAND DOCS."""

    def enter(handler: DoorHandler) -> DoorHandler:
        upper = name.upper().encode()
        assert upper not in DOOR_COMMANDS, "a command is entered once"
        summary = (handler.__doc__ or "").partition("\n")[0]
        words = tuple(sorted(flags.split()))
        DOOR_COMMANDS[upper] = DoorCommand(
            name.lower(), arity, words, handler, barrier, in_multi, subscribers, strangers, *keys, summary
        )
        return handler

    return enter


class Route:
    """What the hot path reads of one store command: a few plain attributes."""

    __slots__ = ("arity_max", "arity_min", "is_write", "name", "spec")

    def __init__(self, name: bytes, spec: CommandSpec) -> None:
        self.name = name
        self.spec = spec
        self.is_write = spec.is_write
        self.arity_min = abs(spec.arity)
        self.arity_max = spec.arity if spec.arity > 0 else 1 << 40


def build_routes() -> dict[bytes, Route]:
    """Return the store's commands by name, in upper and in lower case; other spellings are looked up the slow way.

    A command that the door answers itself hides one of the same name in the store, and what is flagged `internal` is
    not for clients.
    """
    routes: dict[bytes, Route] = {}
    for name, spec in COMMANDS.items():
        if name not in DOOR_COMMANDS and "internal" not in spec.flags:
            routes[name] = routes[name.lower()] = Route(name, spec)
    return routes
