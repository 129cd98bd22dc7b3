"""Commands of keyspaces, as Raft's state machine meets them: it has no siblings, and knows no keyspace by name.

A node with keyspaces takes these commands apart before they come here; see `store/available`.
"""

from quorate.store.command import command
from quorate.store.reply import CommandError, Reply
from quorate.store.shapes import ONE
from quorate.store.space import Space


@command("QUORATE.SIBLINGS", 2, "readonly fast", ONE)
def siblings(_space: Space, _args: list[bytes]) -> Reply:
    """Returns token and concurrent values of a string in a leaderless keyspace: QUORATE.SIBLINGS key."""
    raise CommandError("ERR", "only keys of leaderless keyspaces have siblings; here one log orders all writes")


@command("QUORATE.RESOLVE", -3, "write fast", ONE)
def resolve(_space: Space, _args: list[bytes]) -> Reply:
    """Replaces what a token has seen by one value, or by nothing: QUORATE.RESOLVE key token [value]."""
    raise CommandError("ERR", "only keys of leaderless keyspaces have siblings; here one log orders all writes")


@command("QUORATE.DO", -2, "write movablekeys")
def do(_space: Space, _args: list[bytes]) -> Reply:
    """Runs a command that writes, with options: QUORATE.DO [KEYSPACE name] [LEVEL word] … command [arg ...]."""
    raise CommandError("ERR", "this node has no [keyspaces]: the command and its options have no meaning here")


@command("QUORATE.ASK", -2, "readonly movablekeys")
def ask(_space: Space, _args: list[bytes]) -> Reply:
    """Runs a command that reads, with options: QUORATE.ASK [KEYSPACE name] [LEVEL word] … command [arg ...]."""
    raise CommandError("ERR", "this node has no [keyspaces]: the command and its options have no meaning here")
