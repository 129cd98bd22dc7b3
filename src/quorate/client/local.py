"""Commands straight into a node of this process: no socket, no protocol, the same code behind."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from quorate.client.executor import Consistency, KeyChange
from quorate.kernel.errors import NotLeader, from_code
from quorate.store import (
    NEEDS_LOG,
    Backend,
    Change,
    Command,
    NilArray,
    Pairs,
    Reply,
    ReplyError,
    ReplySet,
    SimpleString,
)

_ATTEMPT_COUNT_MAX = 5
"""How often a write is made again that a change of leader has certainly undone."""


class _Waiter:
    """A caller that waits for one reply."""

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def complete(self, reply: Any) -> None:
        """Take the reply."""
        if not self.future.done():
            self.future.set_result(reply)

    def flush(self) -> None:
        """Nothing is left to write."""


def plain(reply: Reply) -> Any:
    """Return a reply as a RESP3 client would hand it to its user; raise the error that it is.

    Errors inside a list, those of single commands of a transaction, stay where they are, as values.
    """
    if isinstance(reply, ReplyError):
        raise from_code(reply.code, reply.text)
    return _plain(reply)


def _plain(reply: Any) -> Any:
    match reply:
        case SimpleString(text):
            return text.encode()
        case ReplySet(items):
            return list(items)
        case Pairs(items):
            return [list(pair) for pair in items]
        case NilArray():
            return None
        case list():
            return [_plain(item) for item in reply]
        case dict():
            return {_plain(key): _plain(value) for key, value in reply.items()}
        case ReplyError(code, text):
            return from_code(code, text)
        case _:
            return reply


class LocalExecutor:
    """Runs commands on a node of this process."""

    def __init__(self, node: Backend) -> None:
        self.node = node

    async def write(self, args: list[bytes]) -> Any:
        """Run a command through the log."""
        for attempt in range(_ATTEMPT_COUNT_MAX):
            waiter = _Waiter()
            self.node.write(Command(0, args), waiter)
            try:
                return plain(await waiter.future)
            except NotLeader:  # certainly not applied: the leader changed
                if attempt == _ATTEMPT_COUNT_MAX - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def read(self, args: list[bytes], consistency: Consistency) -> Any:
        """Run a read-only command."""
        waiter = _Waiter()
        if consistency == "local":
            self.node.read_local(Command(0, args), waiter)
        else:
            self.node.read(Command(0, args), waiter)
        reply = await waiter.future
        assert reply is not NEEDS_LOG, "a node resolves this itself"
        return plain(reply)

    async def send(self, args: list[bytes], *, is_write: bool) -> Any:
        """Run a command of a leaderless keyspace."""
        waiter = _Waiter()
        (self.node.write if is_write else self.node.read)(Command(0, args), waiter)
        return plain(await waiter.future)

    async def admin(self, args: list[bytes]) -> Any:
        """Carry out an administrator's command."""
        if args == [b"STATUS"]:
            return msgspec.json.encode(self.node.info())
        if args == [b"KEYSPACES"]:
            return [
                {name.encode(): value.encode() if isinstance(value, str) else value for name, value in one.items()}
                for one in msgspec.to_builtins(self.node.info().keyspaces)
            ]
        waiter = _Waiter()
        call = args[1:] if args[0] == b"MEMBERS" and len(args) > 1 else args
        self.node.admin(call[0], call[1:], waiter)
        return plain(await waiter.future)

    async def watch(self, prefix: bytes, listener: Callable[[KeyChange | None], None]) -> Callable[[], None]:
        """Call a listener for every change of a key with this prefix."""

        def on_change(change: Change) -> None:
            if change.db == 0 and change.key.startswith(prefix):
                listener(KeyChange(change.key, change.kind, change.revision))

        def on_missed() -> None:
            listener(None)

        # A store of one process never takes over a snapshot, and so has no such list.
        missed: dict[Callable[[], None], None] = getattr(self.node, "on_missed", {})
        missed[on_missed] = None
        self.node.watch(on_change)

        def end() -> None:
            missed.pop(on_missed, None)
            self.node.unwatch(on_change)

        return end

    async def close(self) -> None:
        """The node is closed by its owner."""
