"""Whatever a client sends to a leaderless keyspace, every command is answered exactly once, and nothing is raised."""

from random import Random

import pytest

from quorate.clocks import HybridStamp
from quorate.protocols.leaderless import Answered, ChangeRefused, Failed, Request, rule_named
from quorate.store import COMMANDS, Reply, ReplyError, available
from quorate.store.available import PLAIN, Jobs

WORDS = (
    b"", b"k", b"s", b"h", b"n", b"0", b"1", b"-1", b"9223372036854775807", b"9223372036854775808", b"1e3", b"*", b"[",
    b"MATCH", b"COUNT", b"TYPE", b"NX", b"KEEPTTL", b"LEVEL", b"ONE", b"CONTEXT", b"ATLEAST", b"TOKEN", b"NOTE",
    b"KEYSPACE", b"TIMEOUT", b"\xff\xfe", b"\x00" * 40, "²".encode(), b"x" * 2_000,
)  # fmt: skip
NAMES = (*sorted(COMMANDS), b"NOSUCH", b"GET", b"SET", b"DEL", b"SADD", b"HSET", b"INCRBY", b"SCAN")


class Caller:
    def __init__(self) -> None:
        self.replies: list[Reply] = []

    def complete(self, reply: Reply) -> None:
        self.replies.append(reply)

    def flush(self) -> None:
        pass


class Copy:
    """One copy that answers now and then with a failure."""

    def __init__(self, conflicts: str, dice: Random) -> None:
        self.rule = rule_named(conflicts)
        self.cells: dict[bytes, bytes] = {}
        self.dice = dice
        self.stamp_ns = 1
        self.jobs = Jobs(
            "fuzz", self.rule, self.cells, keeps_contexts=True, keeps_reads=True, flush=_ignore, wake=_nothing
        )  # fmt: skip

    def answer(self) -> None:
        while requests := self.jobs.take():
            for request in requests:
                self._answer(request)

    def _answer(self, request: Request) -> None:
        if self.dice.random() < 0.1:
            happened = "maybe" if request.change is not None and self.dice.random() < 0.5 else "no"
            self.jobs.failed(Failed(request.token, "UNREACHABLE", "no copy answered", happened))
            return
        cell = self.cells.get(request.key, b"")
        if request.change is not None:
            self.stamp_ns += 1
            stamp = HybridStamp(self.stamp_ns, 0, 1)
            try:
                cell = self.rule.change(cell, request.change, actor=1, stamp=stamp, context=request.context)
            except ChangeRefused as refused:
                self.jobs.failed(Failed(request.token, refused.word, str(refused), "no"))
                return
            self.cells[request.key] = cell
        self.jobs.answered(Answered(request.token, cell))


def _ignore(_caller: object) -> None:
    pass


def _nothing() -> None:
    pass


@pytest.mark.parametrize("conflicts", ["lww", "siblings", "crdt", "merge:lines"])
@pytest.mark.parametrize("seed", [1, 2])
def test_every_command_is_answered_once(conflicts: str, seed: int) -> None:
    dice = Random(seed)
    copy = Copy(conflicts, dice)
    callers: list[Caller] = []
    for _ in range(1_500):
        args = [dice.choice(NAMES), *(dice.choice(WORDS) for _ in range(dice.randrange(5)))]
        options = PLAIN
        if args[0] in available.WRAPPERS or dice.random() < 0.2:
            unwrapped = available.unwrap([b"QUORATE.DO", *(dice.choice(WORDS) for _ in range(2)), *args])
            if isinstance(unwrapped, ReplyError):
                continue
            options, args = unwrapped
        callers.append(Caller())
        copy.jobs.execute(list(args), options, callers[-1], dice.choice((None, "one", "two")))
        if dice.random() < 0.7:
            copy.answer()
    copy.answer()
    assert [len(caller.replies) for caller in callers] == [1] * len(callers)
    assert copy.jobs.pending_count == 0
    assert not copy.jobs._under_way
