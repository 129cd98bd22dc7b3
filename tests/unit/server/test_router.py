"""The router sends each command to the group of its keys and keeps the order of the replies."""

from typing import Any

from quorate.client import slot_of
from quorate.server.router import Router
from quorate.store import Command, ReplyError, transaction


class Caller:
    def __init__(self) -> None:
        self.replies: list[Any] = []

    def complete(self, reply: Any) -> None:
        self.replies.append(reply)

    def flush(self) -> None:
        pass


class Groups:
    def __init__(self, count: int = 4) -> None:
        self.sent: list[tuple[int, Command, Any]] = []
        self.router = Router(count, lambda place, command, caller: self.sent.append((place, command, caller)))

    def ask(self, caller: Caller, *args: bytes) -> None:
        self.router.route(Command(0, list(args)), caller)

    def answer(self, number: int, reply: Any) -> None:
        _, _, caller = self.sent[number]
        caller.complete(reply)
        caller.flush()


def test_slots_are_those_of_redis_cluster() -> None:
    """From its specification: CRC16 of 123456789 is 0x31C3; braces choose what counts."""
    assert slot_of(b"123456789") == 0x31C3 % 16_384
    assert slot_of(b"{user1000}.following") == slot_of(b"{user1000}.followers") == slot_of(b"user1000")
    assert slot_of(b"foo{}{bar}") != slot_of(b"bar")
    assert slot_of(b"foo{{bar}}zap") == slot_of(b"{bar")


def test_groups_have_equal_ranges_of_slots() -> None:
    router = Groups(3).router
    places = [router.place_of(b"%d" % number) for number in range(3000)]
    assert min(places.count(place) for place in range(3)) > 900


def test_replies_come_in_the_order_of_the_calls_whatever_group_is_faster() -> None:
    groups, caller = Groups(), Caller()
    for number in range(4):
        groups.ask(caller, b"GET", b"k%d" % number)
    assert len({place for place, _, _ in groups.sent}) > 1
    for number in (2, 3, 1):
        groups.answer(number, number)
    assert caller.replies == []
    groups.answer(0, 0)
    assert caller.replies == [0, 1, 2, 3]


def test_keys_of_several_groups_are_refused_in_order() -> None:
    groups, caller = Groups(), Caller()
    groups.ask(caller, b"GET", b"a")
    groups.ask(caller, b"MGET", b"a", b"b", b"c", b"d")
    groups.ask(caller, b"MGET", b"{x}a", b"{x}b")
    assert caller.replies == []
    groups.answer(0, 1)
    groups.answer(1, [2])
    assert caller.replies == [1, ReplyError("CROSSSLOT", "Keys in request don't hash to the same slot"), [2]]


def test_a_transaction_goes_where_all_its_keys_are() -> None:
    groups, caller = Groups(), Caller()
    one = transaction(0, [(0, b"{x}a", 0)], [Command(0, [b"SET", b"{x}b", b"v"])])
    groups.router.route(one, caller)
    assert groups.sent[0][0] == groups.router.place_of(b"{x}")
    groups.router.route(transaction(0, [(0, b"a", 0)], [Command(0, [b"SET", b"b", b"v"])]), Caller())
    assert len(groups.sent) == 1


def test_commands_without_keys_are_asked_of_all_and_put_together() -> None:
    for args, replies, total in (
        ([b"DBSIZE"], [1, 2, 3, 4], 10),
        ([b"KEYS", b"*"], [[b"a"], [], [b"b"], []], [b"a", b"b"]),
        ([b"RANDOMKEY"], [None, b"x", None, None], b"x"),
        ([b"QUORATE.SCAN", b"", b"", b"2"], [[[b"c", b"", 1]], [[b"a", b"", 1]], [], [[b"b", b"", 1]]], None),
        ([b"DBSIZE"], [1, ReplyError("NOTLEADER", "x"), 3, 4], ReplyError("NOTLEADER", "x")),
    ):
        groups, caller = Groups(), Caller()
        groups.ask(caller, *args)
        for number in (3, 1, 0, 2):
            groups.answer(number, replies[number])
        expected = [[b"a", b"", 1], [b"b", b"", 1]] if total is None else total
        assert caller.replies == [expected]


def test_scan_goes_through_one_group_after_another() -> None:
    groups, caller = Groups(3), Caller()
    cursor, seen, script = b"0", [], {0: [b"5", b"0"], 1: [b"0"], 2: [b"0"]}
    for _ in range(10):
        groups.ask(caller, b"SCAN", cursor, b"COUNT", b"10")
        place, command, _ = groups.sent[-1]
        seen.append((place, command.args[1], command.args[2:]))
        groups.answer(len(groups.sent) - 1, [script[place].pop(0), [b"k"]])
        cursor = caller.replies[-1][0]
        if cursor == b"0":
            break
    count = [b"COUNT", b"10"]
    assert seen == [(0, b"0", count), (0, b"5", count), (1, b"0", count), (2, b"0", count)]


def test_callers_that_are_gone_are_forgotten() -> None:
    groups = Groups(2)
    for _ in range(5_000):
        groups.ask(Caller(), b"GET", b"a")
        groups.answer(len(groups.sent) - 1, None)
    assert len(groups.router._sequencers) <= 1_002
