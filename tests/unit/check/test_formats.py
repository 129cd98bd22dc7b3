"""Readers and writers of other notations: what they understand, and one clear error for what they do not."""

import pytest

from quorate.check import BadHistory, History, check
from quorate.check.formats import format_edn, parse_edn, read_etcd_log, read_jepsen, write_jepsen, write_shiviz


def value_of(text):
    ((_, value),) = parse_edn(text)
    return value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil", None),
        ("true", True),
        ("-12", -12),
        ("7N", 7),
        ("1.5e3", 1500.0),
        (":read", "read"),
        ("symbol", "symbol"),
        (r'"a\n\"b\" \u00e9"', 'a\n"b" é'),
        (r"\a", "a"),
        (r"\newline", "\n"),
        ("[1, 2 (3)]", [1, 2, [3]]),
        ("#{1 2}", [1, 2]),
        ("{:a 1, 2 [3]}", {"a": 1, "2": [3]}),
        ('#inst "2026-01-01"', "2026-01-01"),
        ("#jepsen.history.Op{:f :read}", {"f": "read"}),
        ("; words\n [1 #_ 2 3] ; more", [1, 3]),
        ("[]", []),
    ],
)
def test_edn_is_understood(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "line"),
    [("[1 2", 1), ("[1 2)", 1), ("]", 1), ("\n\n{:a}", 3), ('"open', 1), ("[" * 300, 1), ("#tag", 1)],
)
def test_what_is_no_edn_is_one_error_with_its_line(text, line):
    with pytest.raises(BadHistory) as caught:
        list(parse_edn(text))
    assert caught.value.line == line


def test_plain_values_survive_edn():
    for value in (None, True, -3, 2.5, 'a "b" \\ \n', [1, [2, None]], {"a": {"b": [False]}, "two words": 1}):
        assert value_of(format_edn(value)) == value


JEPSEN = """{:type :invoke, :f :write, :value 1, :process 0, :time 10, :index 0}
{:type :info, :f :start, :value nil, :process :nemesis, :time 11, :index 1}
{:type :ok, :f :write, :value 1, :process 0, :time 12, :index 2}
{:type :invoke, :f :read, :value nil, :process 1, :time 13, :index 3}
{:type :ok, :f :read, :value 2, :process 1, :time 14, :index 4}
"""


def test_a_jepsen_history_is_read_and_judged():
    history = read_jepsen(JEPSEN)
    assert len(history.events) == 5
    assert history.events[1].process == "nemesis"
    assert check(history, "register").verdict == "invalid"
    assert check(read_jepsen(JEPSEN.replace(":value 2", ":value 1")), "register").verdict == "valid"


def test_a_knossos_history_is_one_vector_without_times():
    text = "[{:process 0 :type :invoke :f :cas :value [nil 1]}\n {:process 0 :type :ok :f :cas :value [nil 1]}]"
    history = read_jepsen(text)
    assert [event.index for event in history.events] == [0, 1]
    assert check(history, "cas-register").verdict == "valid"


def test_keyed_values_are_taken_apart_and_put_together_again():
    text = "{:type :invoke :f :write :value [:x 1] :process 0}{:type :ok :f :write :value [:x 1] :process 0}"
    history = read_jepsen(text, keyed=True)
    assert [(event.key, event.value) for event in history.events] == [("x", 1), ("x", 1)]
    assert read_jepsen("\n".join(write_jepsen(history, keyed=True)), keyed=True).events == history.events


def test_what_is_written_is_read_again():
    history = read_jepsen(JEPSEN)
    assert read_jepsen("\n".join(write_jepsen(history))).events == history.events


def test_transactions_keep_their_steps():
    text = """{:type :invoke :f :txn :value [[:append 1 2] [:r 1 nil]] :process 0}
    {:type :ok :f :txn :value [[:append 1 2] [:r 1 [2]]] :process 0}"""
    (operation,) = read_jepsen(text).operations
    assert operation.result == [["append", 1, 2], ["r", 1, [2]]]


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "{:type :maybe :f :read :process 0}",
        "{:type :invoke :process 0}",
        "{:type :invoke :f :read :process 0 :time 1.5}",
        "{:type :ok :f :read :process 0}",
    ],
)
def test_a_bad_operation_is_located(text):
    with pytest.raises(BadHistory) as caught:
        read_jepsen("\n" + text)
    assert caught.value.line == 2


ETCD = """INFO  jepsen.core - noise
INFO  jepsen.util - 1\t:invoke\t:write\t1
INFO  jepsen.util - 2\t:invoke\t:cas\t[1 2]
INFO  jepsen.util - 1\t:ok\t:write\t1
INFO  jepsen.util - 2\t:fail\t:cas\t[1 2]
INFO  jepsen.util - 3\t:invoke\t:read\tnil
INFO  jepsen.util - 3\t:fail\t:read\t:timed-out
INFO  jepsen.util - 4\t:invoke\t:write\t3
INFO  jepsen.util - 4\t:info\t:write\t:timed-out
"""


def test_etcd_logs_are_read_and_a_failed_cas_is_an_answer():
    history = read_etcd_log(ETCD.splitlines())
    assert [(o.f, o.outcome, o.result) for o in history.operations] == [
        ("write", "ok", 1),
        ("cas", "ok", False),
        ("read", "fail", None),
        ("write", "info", None),
    ]
    assert check(history, "cas-register").verdict == "valid"
    with pytest.raises(BadHistory, match="line 1"):
        read_etcd_log(["INFO  jepsen.util - 1\t:perhaps\t:write\t1"])


def test_a_shiviz_log_lets_a_read_follow_its_write():
    lines = list(write_shiviz(History.from_lines([
        '{"index":0,"time":0,"process":1,"type":"invoke","f":"write","key":"x","value":1}',
        '{"index":1,"time":1,"process":2,"type":"invoke","f":"read","key":"x"}',
        '{"index":2,"time":2,"process":2,"type":"ok","f":"read","key":"x","value":1}',
    ])))  # fmt: skip
    assert lines == [
        'process-1 {"process-1":1}', 'invoke write "x" 1',
        'process-2 {"process-2":1}', 'invoke read "x"',
        'process-2 {"process-1":1,"process-2":2}', 'ok read "x" 1',
    ]  # fmt: skip


def test_a_history_is_the_same_read_whole_line_by_line_or_from_one_vector():
    """Text in quotation marks may go on over the ends of lines."""
    text = JEPSEN.replace(":value 2", ':value "two\nlines ] } [ of \\" text"')
    whole = read_jepsen(text)
    assert read_jepsen(text.splitlines(keepends=True)).events == whole.events
    assert read_jepsen(iter(["[", *text.splitlines(keepends=True), "]"])).events == whole.events
    assert "\n" in whole.events[-1].value


@pytest.mark.parametrize(
    ("end", "line", "words"),
    [
        ("{:type :ok, :f :read, :val", 2, "{ is never closed"),
        ("{:type :ok,\n :f :read, :value [1 2\n", 3, "[ is never closed"),
        ('{:type :ok, :value "half\n of it', 2, "quotation marks"),
        ("{:type :ok ;", 2, "{ is never closed"),
    ],
)
def test_a_file_that_was_cut_off_is_one_error_with_the_line_of_what_is_open(end, line, words):
    first = "{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}\n"
    for text in (first + end, (first + end).splitlines(keepends=True), ["[", first, *end.splitlines(keepends=True)]):
        with pytest.raises(BadHistory) as caught:
            read_jepsen(text)
        assert caught.value.line == line
        assert words in str(caught.value)


def test_a_fault_in_a_vector_of_operations_is_told_with_its_own_line():
    first = "[{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}\n"
    with pytest.raises(BadHistory) as caught:
        read_jepsen(first + "{:type :ok, :process 0}]")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    "text",
    [
        '{:a 1, :b :c :d "t; } x", :e nil}',
        "{:a -1.5e3,:b true}",
        '{ :a ""  , :b 7N }',
        "{}",
        "{:a 1 :a 2}",
        "{:type :ok, :f :txn}",
    ],
)
def test_a_plain_map_is_the_same_at_once_and_word_by_word(text):
    """A comment in it forbids the short way."""
    assert value_of(text) == value_of(text[:-1] + " ;words\n}")


@pytest.mark.parametrize("text", ["{:a}", "{:a 1 :b}", "{:a 1 2 3}", "{:a #_ 1 2}", "{:a/b 1}", "{:a \\b}"])
def test_what_only_looks_plain_takes_the_long_way(text):
    if text in {"{:a}", "{:a 1 :b}"}:
        with pytest.raises(BadHistory):
            value_of(text)
    else:
        assert value_of(text) in ({"a": 1, "2": 3}, {"a": 2}, {"a/b": 1}, {"a": "b"}, {"a": 1})
