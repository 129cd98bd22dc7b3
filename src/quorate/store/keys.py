"""Keys, whatever they hold: DEL, EXISTS, TYPE, RENAME, COPY, SCAN, KEYS, FLUSH …."""

from itertools import islice

from quorate.store.command import command
from quorate.store.encodings import encoding_of
from quorate.store.glob import Glob
from quorate.store.ordered import keys_in_order, prefix_end, random_key
from quorate.store.parse import integer, syntax_error
from quorate.store.reply import OK, CommandError, Reply, ReplyError, SimpleString, printable, wrong_arity
from quorate.store.shapes import ALL, ONE, TWO, ScanOptions, check_key
from quorate.store.space import Space
from quorate.store.values import TYPE_NAMES, copy_value, decode_entry


@command("DEL", -2, "write", ALL)
def del_(space: Space, args: list[bytes]) -> Reply:
    """DEL key …."""
    return sum(space.delete(key) for key in args[1:])


@command("UNLINK", -2, "write fast", ALL)
def unlink(space: Space, args: list[bytes]) -> Reply:
    """UNLINK key …."""
    return sum(space.delete(key) for key in args[1:])


@command("EXISTS", -2, "readonly fast", ALL)
def exists(space: Space, args: list[bytes]) -> Reply:
    """EXISTS key …: repeated keys count again."""
    return sum(space.find(key) is not None for key in args[1:])


@command("TOUCH", -2, "readonly fast", ALL)
def touch(space: Space, args: list[bytes]) -> Reply:
    """TOUCH key …: like EXISTS; there is no access time."""
    return sum(space.find(key) is not None for key in args[1:])


@command("TYPE", 2, "readonly fast", ONE)
def type_(space: Space, args: list[bytes]) -> Reply:
    """TYPE key."""
    entry = space.find(args[1])
    return SimpleString("none" if entry is None else TYPE_NAMES[type(entry.value)])


def _rename(space: Space, args: list[bytes], *, replaces: bool) -> bool:
    source, target = args[1], args[2]
    entry = space.find(source)
    if entry is None:
        raise CommandError("ERR", "no such key")
    if source == target:
        return replaces
    check_key(space, target)
    if not replaces and space.find(target) is not None:
        return False
    space.remove(source)
    space.put(target, entry.value, entry.expires_ms)
    return True


@command("RENAME", 3, "write", TWO)
def rename(space: Space, args: list[bytes]) -> Reply:
    """RENAME key newkey."""
    _rename(space, args, replaces=True)
    return OK


@command("RENAMENX", 3, "write fast", TWO)
def renamenx(space: Space, args: list[bytes]) -> Reply:
    """RENAMENX key newkey."""
    return int(_rename(space, args, replaces=False))


def _other_space(space: Space, text: bytes) -> Space:
    db = integer(text)
    if not 0 <= db < len(space.store.spaces) or db == space.store.limits.system_database:
        raise CommandError("ERR", "DB index is out of range")
    return space.store.spaces[db]


@command("COPY", -3, "write denyoom", TWO)
def copy(space: Space, args: list[bytes]) -> Reply:
    """COPY source destination [DB index] [REPLACE]."""
    target, replaces, place = space, False, 3
    while place < len(args):
        word = args[place].upper()
        if word == b"REPLACE":
            replaces = True
        elif word == b"DB" and place + 1 < len(args):
            place += 1
            target = _other_space(space, args[place])
        else:
            raise syntax_error()
        place += 1
    if target is space and args[1] == args[2]:
        raise CommandError("ERR", "source and destination objects are the same")
    entry = space.find(args[1])
    if entry is None or (not replaces and target.find(args[2]) is not None):
        return 0
    target.put(args[2], copy_value(entry.value), entry.expires_ms)
    return 1


@command("MOVE", 3, "write fast", ONE)
def move(space: Space, args: list[bytes]) -> Reply:
    """MOVE key db."""
    target = _other_space(space, args[2])
    if target is space:
        raise CommandError("ERR", "source and destination objects are the same")
    entry = space.find(args[1])
    if entry is None or target.find(args[1]) is not None:
        return 0
    space.remove(args[1])
    target.put(args[1], entry.value, entry.expires_ms)
    return 1


@command("KEYS", 2, "readonly", (0, 0, 0))
def keys(space: Space, args: list[bytes]) -> Reply:
    """KEYS pattern: in order."""
    glob = Glob(args[1])
    return [key for key in keys_in_order(space, glob.prefix, prefix_end(glob.prefix)) if glob.matches(key)]


@command("SCAN", -2, "readonly")
def scan(space: Space, args: list[bytes]) -> Reply:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]."""
    options = ScanOptions(args, 1, takes_type=True)
    prefix = b"" if options.glob is None else options.glob.prefix
    start = max(space.store.cursors.start(space, options.cursor), prefix)
    seen = list(islice(keys_in_order(space, start, prefix_end(prefix)), options.count + 1))
    cursor = 0
    if len(seen) > options.count:
        seen.pop()
        cursor = space.store.cursors.give(space.db, seen[-1])
    found = [key for key in seen if options.takes(key)]
    if options.type_name is not None:
        found = [key for key in found if _type_name(space, key) == options.type_name]
    return [b"%d" % cursor, list(found)]


def _type_name(space: Space, key: bytes) -> str:
    entry = space.find(key)
    return "none" if entry is None else TYPE_NAMES[type(entry.value)]


@command("QUORATE.SCAN", 4, "readonly")
def range_scan(space: Space, args: list[bytes]) -> Reply:
    """QUORATE.SCAN start end limit: [key, value, version] of keys in order, start <= key < end.

    An empty end is the end of the database. The value is null where the key holds no string.
    """
    limit = integer(args[3])
    if limit < 0:
        raise CommandError("ERR", "value is out of range, must be positive")
    rows: list[Reply] = []
    for key in islice(keys_in_order(space, args[1], args[2] or None), limit):
        entry = space.table.get(key)
        if entry is None:
            # Read past the cache: a long scan must not push out what others use.
            data = space.store.base.get(space.prefix + key)
            assert data is not None, "a visible key is in the table or at rest"
            entry = decode_entry(data)
        rows.append([key, entry.value if isinstance(entry.value, bytes) else None, entry.version])
    return rows


@command("RANDOMKEY", 1, "readonly")
def randomkey(space: Space, args: list[bytes]) -> Reply:
    """RANDOMKEY."""
    del args
    return random_key(space)


@command("DBSIZE", 1, "readonly fast")
def dbsize(space: Space, args: list[bytes]) -> Reply:
    """DBSIZE: keys that are due and not removed yet count."""
    del args
    return space.count


def _check_flush(args: list[bytes]) -> None:
    if len(args) > 2 or (len(args) == 2 and args[1].upper() not in (b"ASYNC", b"SYNC")):
        raise syntax_error()


def _flush(space: Space) -> None:
    if space.store.on_change is not None:
        for key in keys_in_order(space):
            space.store.note_change(space.db, key, "delete")
    space.flush()


@command("FLUSHDB", -1, "write")
def flushdb(space: Space, args: list[bytes]) -> Reply:
    """FLUSHDB [ASYNC | SYNC]."""
    _check_flush(args)
    _flush(space)
    return OK


@command("FLUSHALL", -1, "write")
def flushall(space: Space, args: list[bytes]) -> Reply:
    """FLUSHALL [ASYNC | SYNC]."""
    _check_flush(args)
    for other in space.store.spaces:
        if other.db != space.store.limits.system_database:
            _flush(other)
    return OK


@command("OBJECT", -2, "readonly", (2, 2, 1))
def object_(space: Space, args: list[bytes]) -> Reply:
    """OBJECT ENCODING | REFCOUNT | IDLETIME | FREQ key: what Redis would say of such a value."""
    word = args[1].upper()
    if word == b"HELP" and len(args) == 2:
        return [SimpleString(line) for line in _OBJECT_HELP]
    if word not in (b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ"):
        return ReplyError("ERR", f"unknown subcommand '{printable(args[1])}'. Try OBJECT HELP.")
    if len(args) != 3:
        return wrong_arity(b"object|" + word)
    entry = space.find(args[2])
    if entry is None:
        return None
    if word == b"FREQ":
        raise CommandError("ERR", "An LFU maxmemory policy is not selected, access frequency not tracked.")
    if word == b"ENCODING":
        return encoding_of(entry.value)
    return 1 if word == b"REFCOUNT" else 0


_OBJECT_HELP = (
    "OBJECT <subcommand> <key>. Subcommands are:",
    "ENCODING <key>",
    "    Return the encoding that Redis would choose for the value.",
    "FREQ <key>",
    "    Refused: access frequency is not tracked.",
    "IDLETIME <key>",
    "    Return 0: access time is not tracked.",
    "REFCOUNT <key>",
    "    Return 1.",
)
