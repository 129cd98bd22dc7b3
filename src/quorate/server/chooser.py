"""Chooser: which keyspace a command is for: by name, by the number of its database, by the beginning of its keys.

Absent where no leaderless keyspace is declared and none is named: commands then go to Raft with nothing in between.
Replies of several keyspaces come in any order; a `Sequencer` per caller brings them back into the order of the calls.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from quorate.client import named_keys
from quorate.server.keyspaces import Keyspace
from quorate.server.router import Door, Sequencer
from quorate.store import Command, CommandSpec, ReplyError, available, find, transaction_parts

LaneName: TypeAlias = Literal["write", "read", "local"]
"""How a command reaches Raft. A leaderless keyspace takes all alike, but that a local read asks one copy."""

_LOCAL: Final = available.Options(level="ONE")
_CROSS_KEYSPACE: Final = ReplyError("CROSSKEYSPACE", "Keys in request belong to different keyspaces; nothing was done")
_SEQUENCER_COUNT_MAX: Final = 1_000


class Chosen(NamedTuple):
    """One declared keyspace."""

    name: str
    # Where a leaderless keyspace's commands go; None for one on Raft.
    jobs: available.Jobs | None
    database: int
    prefix: bytes


class Lane:
    """One way into a chooser."""

    def __init__(self, chooser: "Chooser", name: LaneName) -> None:
        self._chooser = chooser
        self._name = name

    def route(self, command: Command, caller: Door) -> None:
        """Send a command to the keyspace that it is for."""
        self._chooser.route(self._name, command, caller)


class Chooser:
    """Spreads commands over keyspaces.

    Args:
        keyspaces: as declared.
        jobs: of the leaderless ones, by name.
        to_raft: gives a command to Raft, by lane.
    """

    def __init__(
        self,
        keyspaces: Mapping[str, Keyspace],
        jobs: Mapping[str, available.Jobs],
        to_raft: Mapping[LaneName, Callable[[Command, Any], None]],
    ) -> None:
        self._to_raft = to_raft
        self._by_name: dict[str, Chosen] = {}
        # Database → the leaderless keyspaces in it: one without a prefix, or several with.
        self._by_database: dict[int, tuple[Chosen, ...]] = {}
        for name, keyspace in sorted(keyspaces.items()):
            chosen = Chosen(name, jobs.get(name), keyspace.database or 0, keyspace.prefix.encode())
            self._by_name[name] = chosen
            if chosen.jobs is not None and keyspace.is_selectable:
                self._by_database[chosen.database] = (*self._by_database.get(chosen.database, ()), chosen)
        self._sequencers: dict[bool, dict[Any, Sequencer]] = {True: {}, False: {}}

    def lanes(self) -> tuple[Lane, Lane, Lane]:
        """Return the ways in: for writes, reads and local reads."""
        return Lane(self, "write"), Lane(self, "read"), Lane(self, "local")

    def route(self, lane: LaneName, command: Command, caller: Door) -> None:
        """Send a command to the keyspace that it is for, or refuse it with the reason."""
        slot = self._sequencer(lane, caller).slot()
        name = command.args[0]
        refused = self._wrapped(lane, command, slot, caller) if name in available.WRAPPERS else None
        if name not in available.WRAPPERS:
            refused = self._send(lane, command, slot, _LOCAL if lane == "local" else available.PLAIN, caller)
        if refused is not None:
            slot.complete(refused)
            slot.flush()

    def _sequencer(self, lane: LaneName, caller: Door) -> Sequencer:
        sequencers = self._sequencers[lane == "write"]
        found = sequencers.get(caller)
        if found is None:
            if len(sequencers) > _SEQUENCER_COUNT_MAX:
                # Callers come and go.
                sequencers = {one: kept for one, kept in sequencers.items() if not kept.is_idle}
                self._sequencers[lane == "write"] = sequencers
            found = sequencers[caller] = Sequencer(caller)
        return found

    # -- by the database and the keys --------

    def _send(
        self, lane: LaneName, command: Command, slot: Any, options: available.Options, owner: Any
    ) -> ReplyError | None:
        """Send a command where its database and keys belong; return why not."""
        chosen = self.choose(command)
        if isinstance(chosen, ReplyError):
            return chosen
        if chosen is None:
            if not options.is_plain and options is not _LOCAL:
                return _without_meaning("the default keyspace")
            self._to_raft[lane](command, slot)
            return None
        if command.key is not None:
            return _not_once(chosen.name)
        assert chosen.jobs is not None, "only leaderless keyspaces are chosen so"
        args = command.args
        if chosen.prefix:
            args = rekeyed(args, lambda key: key[len(chosen.prefix) :])
        chosen.jobs.execute(args, options, slot, owner)
        return None

    def choose(self, command: Command) -> Chosen | ReplyError | None:
        """Return the leaderless keyspace of a command's database and keys; None for Raft, or why there is none."""
        name = command.args[0]
        if name in _ACROSS:
            refused = self._across(command)
            if refused is not None:
                return refused
        claims = self._by_database.get(command.db)
        if claims is None:
            return None
        if not claims[0].prefix:
            return claims[0]
        found: dict[str | None, Chosen | None] = {}
        for key in named_keys(command):
            owner = next((one for one in claims if key.startswith(one.prefix)), None)
            found[owner.name if owner else None] = owner
        if len(found) > 1:
            return _CROSS_KEYSPACE
        return next(iter(found.values()), None)

    def _across(self, command: Command) -> ReplyError | None:
        """Return why a command that reaches over databases is refused."""
        name, args = command.args[0], command.args
        if name == b"QUORATE.EXEC":
            for inner in transaction_parts(command):
                chosen = self.choose(inner)
                if isinstance(chosen, Chosen):
                    return available.refusal(name, chosen.name)
                if chosen is not None:
                    return chosen
            return None
        if name == b"FLUSHALL":
            claimed = next((claims[0].name for claims in self._by_database.values()), None)
            return available.refusal(name, claimed) if claimed is not None else None
        # MOVE key db; COPY source destination … DB db.
        words = [word.upper() for word in args]
        place = 2 if name == b"MOVE" else (words.index(b"DB", 3) + 1 if b"DB" in words[3:] else len(args))
        target = args[place] if place < len(args) else b""
        claims = self._by_database.get(int(target), ()) if target.isdigit() and len(target) < 6 else ()
        return available.refusal(name, claims[0].name) if claims and not claims[0].prefix else None

    # -- by name --------

    def _wrapped(self, lane: LaneName, command: Command, slot: Any, owner: Any) -> ReplyError | None:
        """Take a command with options apart and send it; return why not."""
        unwrapped = available.unwrap(command.args)
        if isinstance(unwrapped, ReplyError):
            return unwrapped
        options, args = unwrapped
        spec = find(args[0])
        if spec is None or "internal" in spec.flags:
            return ReplyError("ERR", f"unknown command '{args[0][:128].decode('utf-8', 'replace')}' behind the options")
        if command.args[0] == available.ASK and not spec.is_readonly:
            return ReplyError("ERR", f"'{spec.name}' writes: it goes with QUORATE.DO")
        if lane == "local" and not options.level:
            options.level = "ONE"
        if not options.keyspace:
            return self._send(lane, Command(command.db, args, command.key), slot, options, owner)
        chosen = self._by_name.get(options.keyspace)
        if chosen is None:
            return ReplyError("ERR", f"there is no keyspace '{options.keyspace}'; see QUORATE.KEYSPACES")
        if chosen.jobs is None:
            return self._named_on_raft(lane, chosen, Command(chosen.database, args, command.key), spec, options, slot)
        if command.key is not None:
            return _not_once(chosen.name)
        chosen.jobs.execute(args, options, slot)
        return None

    def _named_on_raft(
        self, lane: LaneName, chosen: Chosen, command: Command, spec: CommandSpec, options: available.Options, slot: Any
    ) -> ReplyError | None:
        if not options.is_plain and lane != "local":
            return _without_meaning(f"keyspace {chosen.name}")
        if chosen.prefix:
            if not spec.first_key or spec.count_at:
                return ReplyError("ERR", f"'{spec.name}' names no keys that could be told to be of {chosen.name}")
            command.args[:] = rekeyed(command.args, lambda key: chosen.prefix + key, spec)
        self._to_raft[lane](command, slot)
        return None


def rekeyed(args: list[bytes], rename: Callable[[bytes], bytes], spec: CommandSpec | None = None) -> list[bytes]:
    """Return the arguments of a command with other keys. Complexity: O(arguments)."""
    if spec is not None:
        first, last, step = spec.first_key, spec.last_key, spec.step
    else:
        entry = available.ENTRIES.get(args[0])
        if entry is None:
            return args
        first, last, step = entry.keys
    last = last if last >= 0 else len(args) + last
    renamed = list(args)
    for place in range(first, min(last + 1, len(args)), step):
        renamed[place] = rename(args[place])
    return renamed


def _not_once(name: str) -> ReplyError:
    sentence = f"QUORATE.ONCE is refused in keyspace {name}: no log remembers there what was done"
    return ReplyError("ERR", sentence)


def _without_meaning(what: str) -> ReplyError:
    return ReplyError("ERR", f"{what} is on Raft: LEVEL, CONTEXT, ATLEAST, NOTE and TOKEN are of leaderless keyspaces")


_ACROSS: Final = frozenset({b"QUORATE.EXEC", b"FLUSHALL", b"MOVE", b"COPY"})
