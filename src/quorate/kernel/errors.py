"""Every error says whether it happened.

    QuorateError
    ├── UsageError                nothing was attempted: the call itself is wrong
    │   └── ConfigError           a configuration that cannot be used
    ├── OperationError
    │   ├── DefiniteError         did not happen and will not
    │   │   ├── Overloaded  NotLeader  Unreachable  Conflict  WrongType  TooLarge  DiskFull  Refused
    │   │       Stale  SiblingsFound
    │   └── IndefiniteError       may have happened, or may still
    │       └── TimedOut  ConnectionLost  Stopped
    └── StorageError              a node's own files; the node stops rather than guess
        └── Corrupt  ForeignData  SyncFailed  DiskError

`code` is the word on the wire (first word of a Redis error reply); `from_code` brings it back.
"""

from typing import ClassVar


class QuorateError(Exception):
    """The base of all errors raised on purpose."""

    code: ClassVar[str] = "ERR"


class UsageError(QuorateError):
    """Nothing was attempted: the call itself is wrong."""

    code = "USAGE"


class ConfigError(UsageError):
    """A configuration cannot be used; the sentence names the key."""

    code = "CONFIG"


class OperationError(QuorateError):
    """An operation on the cluster did not succeed; the subclass says whether it may have happened."""


class DefiniteError(OperationError):
    """The operation did not happen and will not."""

    code = "FAILED"


class IndefiniteError(OperationError):
    """The operation may have happened, or may still happen."""

    code = "UNKNOWN"


class Overloaded(DefiniteError):
    """A limit was reached before the request was accepted."""

    code = "OVERLOADED"


class NotLeader(DefiniteError):
    """This node may not decide; try the leader."""

    code = "NOTLEADER"


class Unreachable(DefiniteError):
    """Nothing was sent: no node could be reached."""

    code = "UNREACHABLE"


class Conflict(DefiniteError):
    """The value is not the one the caller expected."""

    code = "CONFLICT"


class WrongType(DefiniteError):
    """The key holds a value of another type."""

    code = "WRONGTYPE"


class TooLarge(DefiniteError):
    """A key, value or request is above its limit."""

    code = "TOOLARGE"


class DiskFull(DefiniteError):
    """No space was left, so nothing was accepted; reads go on."""

    code = "DISKFULL"


class Stale(DefiniteError):
    """No copy that could be asked has what the session must see; another node, or a moment later, may."""

    code = "STALE"


class SiblingsFound(DefiniteError):
    """The key has several concurrent values, and nobody has said which of them counts."""

    code = "SIBLINGS"


class Refused(DefiniteError):
    """The command was understood and refused; the sentence says why."""

    code = "ERR"


class TimedOut(IndefiniteError):
    """No answer came in time."""

    code = "TIMEDOUT"


class ConnectionLost(IndefiniteError):
    """The connection broke after the request had been sent."""

    code = "CONNLOST"


class Stopped(IndefiniteError):
    """The node stopped while the request was under way."""

    code = "STOPPED"


class StorageError(QuorateError):
    """A node's own files cannot be trusted or written; the node stops rather than guess."""

    code = "STORAGE"


class Corrupt(StorageError):
    """Bytes on disk are not those that were written; the sentence names file and offset and what to do."""

    code = "CORRUPT"


class ForeignData(StorageError):
    """A data directory belongs to another node or cluster, or to a newer version."""

    code = "FOREIGN"


class SyncFailed(StorageError):
    """A sync failed: what was written since the last one may be lost, so the node stops (never retried)."""

    code = "SYNC"


class DiskError(StorageError):
    """Reading or writing a file failed."""

    code = "DISK"


def _leaves(root: type[QuorateError]) -> dict[str, type[QuorateError]]:
    found: dict[str, type[QuorateError]] = {}
    for child in root.__subclasses__():
        found[child.code] = child
        found.update(_leaves(child))
    return found


def from_code(code: str, text: str) -> QuorateError:
    """Return the error that a wire code names; an unknown code is a plain definite refusal.

    Complexity: O(number of error classes); not for hot paths.
    """
    kind = _leaves(QuorateError).get(code, Refused)
    if code == "ERR":
        kind = Refused
    return kind(text)
