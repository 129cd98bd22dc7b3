"""Histories: reading, writing, pairing, and one clear error with a line number for what cannot be judged."""

import pytest

from quorate.check import BadHistory, Event, History, freeze, show, thaw

INVOKE = '{"index":0,"time":10,"process":1,"type":"invoke","f":"write","key":"x","value":1}'
OK = '{"index":1,"time":20,"process":1,"type":"ok","f":"write","key":"x","value":1}'


def test_a_call_and_its_completion_become_one_operation():
    (operation,) = History.from_lines([INVOKE, "", OK]).operations
    assert (operation.f, operation.key, operation.value, operation.result) == ("write", "x", 1, 1)
    assert (operation.invoke_ns, operation.complete_ns, operation.outcome) == (10, 20, "ok")


def test_an_open_call_and_an_info_are_both_unknown():
    info = OK.replace('"ok"', '"info"')
    assert [o.outcome for o in History.from_lines([INVOKE]).operations] == ["info"]
    (operation,) = History.from_lines([INVOKE, info]).operations
    assert (operation.outcome, operation.complete_ns) == ("info", None)


def test_lines_come_back_as_they_were():
    history = History.from_lines([INVOKE, OK])
    assert History.from_lines(history.to_lines()).events == history.events


def test_bytes_survive_at_any_depth():
    event = Event(index=0, time=0, process=1, type="invoke", f="put", key=b"\xff", value=[b"\x00", {"a": b"b"}])
    (again,) = History.from_lines(History([event]).to_lines()).events
    assert again == event


def test_big_integers_stay_exact():
    event = Event(index=0, time=0, process=1, type="invoke", f="write", value=2**63 - 1)
    (again,) = History.from_lines(History([event]).to_lines()).events
    assert again.value == 2**63 - 1


def test_the_nemesis_is_kept_and_never_paired():
    note = '{"index":0,"time":5,"process":"nemesis","type":"info","f":"partition","value":"majority"}'
    history = History.from_lines([note, INVOKE.replace('"index":0', '"index":1'), OK.replace('"index":1', '"index":2')])
    assert len(history.events) == 3
    assert len(history.operations) == 1


@pytest.mark.parametrize(
    ("lines", "line", "word"),
    [
        ([OK], 1, "without an invoke"),
        ([INVOKE, INVOKE.replace('"index":0', '"index":1')], 2, "is open"),
        ([INVOKE, OK.replace('"time":20', '"time":9')], 2, "time runs back"),
        ([INVOKE, OK.replace('"index":1', '"index":0')], 2, "must grow"),
        ([INVOKE.replace('"f"', '"colour":1,"f"')], 1, "colour"),
        ([INVOKE.replace('"invoke"', '"perhaps"')], 1, "perhaps"),
        ([INVOKE, "", "{"], 3, ""),
        (["[1]"], 1, ""),
        ([INVOKE, OK.replace('"write"', '"read"')], 2, "answers an invoke"),
        ([INVOKE, OK.replace('"x"', '"y"')], 2, "answers an invoke"),
        ([INVOKE.replace('"value":1', '"value":{"b64":"?"}')], 1, "base64"),
        ([b"\xff\xfe"], 1, ""),
    ],
)
def test_a_bad_history_is_one_error_with_its_line(lines, line, word):
    with pytest.raises(BadHistory) as caught:
        History.from_lines(lines)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ")
    assert word in str(caught.value)


def test_an_object_that_looks_like_bytes_is_refused_when_written():
    history = History([Event(index=0, time=0, process=1, type="invoke", f="put", value={"b64": "hello"})])
    with pytest.raises(BadHistory):
        list(history.to_lines())


def test_true_is_not_one_and_a_map_is_not_a_list():
    assert freeze(True) != freeze(1)
    assert freeze([True]) != freeze([1])
    assert freeze({}) != freeze([])
    assert freeze({"a": 1, "b": [2]}) == freeze({"b": [2], "a": 1})
    assert thaw(freeze({"a": [True, None]})) == {"a": [True, None]}
    assert show(freeze([True])) == "[true]"


def test_operations_make_the_same_history_again():
    history = History.from_lines([INVOKE, OK])
    assert History.from_operations(history.operations).operations == history.operations
