"""QUORATE.DO and QUORATE.ASK: a command with words about how it shall be done, before it.

    QUORATE.DO  [option value ...] command [arg ...]     commands that write
    QUORATE.ASK [option value ...] command [arg ...]     commands that read

KEYSPACE name      the keyspace; keys are then named without its prefix. Else: that of the database and the key.
LEVEL word         how many copies must answer, for this one command
READ word          … where LEVEL is not given, and the command reads; WRITE word: and it writes.
CONTEXT token      what the client had read of the key: the write replaces that, and no more.
ATLEAST token      what the answer must include; may be given several times.
NOTE bytes         kept with the value and given to whoever reads it.
TIMEOUT ms         when to give up.
TOKEN              no value: the answer is [answer, token, notes].
"""

from typing import Final

import msgspec

from quorate.kernel import Duration, milliseconds
from quorate.protocols.leaderless import LEVELS
from quorate.store.parse import integer
from quorate.store.reply import CommandError, ReplyError

DO: Final = b"QUORATE.DO"
ASK: Final = b"QUORATE.ASK"
WRAPPERS: Final = (DO, ASK)
_TIMEOUT_MS_MAX: Final = 3_600_000
_AT_LEAST_COUNT_MAX: Final = 16


class Options(msgspec.Struct, gc=False):
    """How one command shall be done; what is empty is left to the keyspace."""

    keyspace: str = ""
    level: str = ""
    # Of the connection: used where `level` is empty, and on Raft not at all.
    read_level: str = ""
    write_level: str = ""
    context: bytes = b""
    at_least: tuple[bytes, ...] = ()
    note: bytes = b""
    timeout: Duration = Duration(0)
    wants_token: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether nothing is asked that only a leaderless keyspace understands."""
        return not (self.level or self.context or self.at_least or self.note or self.wants_token)


PLAIN: Final = Options()


def level_of(text: bytes) -> str | None:
    """Return a level as requests carry it, None for what is none."""
    word = text.decode("latin-1").upper()
    is_count = word.isascii() and word.isdigit() and len(word) < 4 and int(word) > 0
    return word if word in LEVELS or is_count else None


def _checked_level(text: bytes) -> str:
    level = level_of(text)
    if level is None:
        raise CommandError("ERR", f"a level is a number of copies or one of {', '.join(LEVELS)}")
    return level


def unwrap(args: list[bytes]) -> tuple[Options, list[bytes]] | ReplyError:
    """Return the options and the command of a wrapped one, its name in upper case; or why it makes no sense.

    Complexity: O(options).
    """
    try:
        return _unwrap(args)
    except CommandError as error:
        return error.reply


def _unwrap(args: list[bytes]) -> tuple[Options, list[bytes]]:
    options, place = Options(), 1
    while place < len(args):
        word = args[place].upper()
        if word == b"TOKEN":
            options.wants_token = True
            place += 1
            continue
        if word not in _READERS:
            command = [word, *args[place + 1 :]]
            if word in WRAPPERS:
                raise CommandError("ERR", "options cannot be nested")
            return options, command
        if place + 1 == len(args):
            raise CommandError("ERR", f"option {word.decode()} has no value")
        _READERS[word](options, args[place + 1])
        place += 2
    raise CommandError("ERR", "there is no command behind the options")


def _keyspace(options: Options, text: bytes) -> None:
    options.keyspace = text.decode("utf-8", "replace")


def _level(options: Options, text: bytes) -> None:
    options.level = _checked_level(text)


def _read(options: Options, text: bytes) -> None:
    options.read_level = _checked_level(text)


def _write(options: Options, text: bytes) -> None:
    options.write_level = _checked_level(text)


def _context(options: Options, text: bytes) -> None:
    options.context = text


def _at_least(options: Options, text: bytes) -> None:
    if len(options.at_least) == _AT_LEAST_COUNT_MAX:
        raise CommandError("ERR", f"ATLEAST may be given {_AT_LEAST_COUNT_MAX} times")
    options.at_least = (*options.at_least, text)


def _note(options: Options, text: bytes) -> None:
    options.note = text


def _timeout(options: Options, text: bytes) -> None:
    value = integer(text)
    if not 1 <= value <= _TIMEOUT_MS_MAX:
        raise CommandError("ERR", f"TIMEOUT is from 1 to {_TIMEOUT_MS_MAX} ms")
    options.timeout = milliseconds(value)


_READERS: Final = {
    b"KEYSPACE": _keyspace,
    b"LEVEL": _level,
    b"READ": _read,
    b"WRITE": _write,
    b"CONTEXT": _context,
    b"ATLEAST": _at_least,
    b"NOTE": _note,
    b"TIMEOUT": _timeout,
}
