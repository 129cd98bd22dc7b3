"""`quorate check`: every judge by name, every notation in and out, one sentence for what cannot be judged."""

import json
import os

import pytest
from typer.testing import CliRunner

from quorate.check import MODELS, BadHistory, History
from quorate.cli.app import app
from quorate.kernel.errors import UsageError
from quorate.lab.checkers import JUDGES, JudgeOptions
from quorate.lab.judging import from_maelstrom, judge, read_history, write_history


def lines_of(*events):
    rows = []
    for place, event in enumerate(events):
        process, kind, f, *rest = event
        row = {"index": place, "time": place * 1000, "process": process, "type": kind, "f": f}
        row |= dict(zip(("key", "value", "error"), rest, strict=False))
        rows.append(json.dumps(row))
    return "\n".join(rows) + "\n"


LOST_WRITE = lines_of(
    (1, "invoke", "write", "x", 1), (1, "ok", "write", "x", 1), (2, "invoke", "read", "x"), (2, "ok", "read", "x")
)
CALM = lines_of(
    (1, "invoke", "write", "x", 1), (1, "ok", "write", "x", 1), (2, "invoke", "read", "x"), (2, "ok", "read", "x", 1)
)
# Both read what the other wrote over: write skew.
SKEW = lines_of(
    (1, "invoke", "txn", None, [["r", "x", None], ["append", "y", 1]]),
    (2, "invoke", "txn", None, [["r", "y", None], ["append", "x", 2]]),
    (1, "ok", "txn", None, [["r", "x", []], ["append", "y", 1]]),
    (2, "ok", "txn", None, [["r", "y", []], ["append", "x", 2]]),
    (3, "invoke", "txn", None, [["r", "x", None], ["r", "y", None]]),
    (3, "ok", "txn", None, [["r", "x", [2]], ["r", "y", [1]]]),
)


@pytest.fixture
def run(tmp_path):
    def run(text, *options, name="history.jsonl"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return CliRunner().invoke(app, ["check", str(path), *options])

    return run


def test_a_lost_write_is_refuted_with_its_witness(run):
    result = run(LOST_WRITE)
    assert result.exit_code == 1
    assert "process 2: read" in result.stdout


def test_all_models_are_answered_at_once(run):
    """Nothing weaker than real time is broken when another process reads late."""
    result = run(LOST_WRITE, "--model", "all")
    assert result.exit_code == 1
    table = [line for line in result.stdout.splitlines() if " refute" in line and ":" not in line]
    assert ["not" in line for line in table] == [False] + [True] * 11
    assert table[0].startswith("linearizable")


def test_all_models_of_a_calm_history_hold(run):
    assert run(CALM, "--model", "all").exit_code == 0


@pytest.mark.parametrize(("level", "status"), [("snapshot-isolation", 0), ("serializable", 1)])
def test_transactions_are_judged_by_level(run, level, status):
    """Write skew is what snapshot isolation allows and serializability forbids."""
    result = run(SKEW, "--model", "list-append", "--level", level)
    assert result.exit_code == status
    assert "Strongest level not refuted" in result.stdout.replace("\n", " ")


def test_exact_search_agrees_about_the_skew(run):
    assert run(SKEW, "--model", "list-append-exact", "--level", "serializable").exit_code == 1


def test_a_stated_order_is_read_from_a_file(run, tmp_path):
    """The order that the reads contradict refutes; the file names transactions by the index of their call."""
    order = tmp_path / "order"
    order.write_text("[0, 1]\n[1, 2]\n[4, 3]\n", "utf-8")
    assert run(SKEW, "--model", "list-append-stated", "--order", str(order)).exit_code == 1


@pytest.mark.parametrize(
    ("model", "options", "word"),
    [
        ("nonsense", (), "no model"),
        ("bank", (), "--total"),
        ("bounded-staleness", (), "--versions"),
        ("list-append", ("--level", "perfect"), "no level"),
        ("list-append-stated", (), "--order"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(run, model, options, word):
    result = run(CALM if model == "bounded-staleness" else SKEW, "--model", model, *options)
    assert isinstance(result.exception, UsageError)
    assert word in str(result.exception)


def test_every_judge_of_the_library_has_a_name():
    """A judge that no command can reach is of no use to somebody with a file."""
    for name in (
        *MODELS,
        "sequential",
        "causal-memory",
        "writes-follow-reads",
        "txn-read-atomic",
        "kafka",
        "long-fork",
    ):
        assert name in JUDGES
    assert "bank" in CliRunner().invoke(app, ["check", "--models"]).stdout


def test_each_judge_of_reads_and_writes_passes_a_calm_history():
    history = History.from_lines(CALM.splitlines())
    names = ["sequential", "pram", "causal", "causal-convergence", "causal-memory", "sessions", "bounded-staleness"]
    options = JudgeOptions(version_count_max=0)
    for name in names:
        assert judge(history, name, options)[name].verdict == "valid"


@pytest.mark.parametrize("notation", ["jsonl", "edn", "edn-keyed"])
def test_a_history_survives_being_written_and_read(tmp_path, notation):
    history = History.from_lines(CALM.splitlines())
    path = tmp_path / "written"
    path.write_text("\n".join(write_history(history, notation)), "utf-8")
    back = read_history(path, notation)
    assert [(o.f, o.key, o.value, o.result) for o in back.operations] == [
        (o.f, o.key, o.value, o.result) for o in history.operations
    ]


def test_shiviz_is_written_to_a_file(run, tmp_path):
    output = tmp_path / "log"
    assert run(CALM, "--to", "shiviz", "--output", str(output)).exit_code == 0
    assert output.read_text("utf-8").startswith('process-1 {"process-1":1}')


def test_porcupines_log_lines_are_read_by_the_files_name(run):
    text = "INFO  jepsen.util - 1\t:invoke\t:write\t1\nINFO  jepsen.util - 1\t:ok\t:write\t1\n"
    assert run(text, "--model", "cas-register", name="etcd_000.log").exit_code == 0


def test_maelstroms_errors_are_answers():
    """A key that is not there is null, and a cas whose condition failed is false: both say something of the state."""
    text = """
    {:index 0, :time 0, :type :invoke, :process 0, :f :read, :value [7 nil]}
    {:index 1, :time 1, :type :fail, :process 0, :f :read, :value [7 nil], :error [:key-does-not-exist "gone"]}
    {:index 2, :time 2, :type :invoke, :process 0, :f :cas, :value [7 [1 2]]}
    {:index 3, :time 3, :type :fail, :process 0, :f :cas, :value [7 [1 2]], :error [22 "no"]}
    {:index 4, :time 4, :type :invoke, :process 0, :f :write, :value [7 3]}
    {:index 5, :time 5, :type :ok, :process 0, :f :write, :value [7 3]}
    """
    from quorate.check import formats

    operations = from_maelstrom(formats.read_jepsen(text)).operations
    assert [(o.key, o.outcome, o.result) for o in operations] == [(7, "ok", None), (7, "ok", False), (7, "ok", 3)]


def test_a_broken_line_is_named(run):
    result = run(CALM + "{]\n")
    assert "line 5" in str(result.exception)


# Each asks for even rows, finds none, and inserts one.
PHANTOM = lines_of(
    (0, "invoke", "init", None, {"z": 1}), (0, "ok", "init", None, {"z": 1}),
    (1, "invoke", "txn", None, [["rp", ["mod", 2, 0], None], ["insert", "x", 2]]),
    (2, "invoke", "txn", None, [["rp", ["mod", 2, 0], None], ["insert", "y", 4]]),
    (1, "ok", "txn", None, [["rp", ["mod", 2, 0], {}], ["insert", "x", 2]]),
    (2, "ok", "txn", None, [["rp", ["mod", 2, 0], {}], ["insert", "y", 4]]),
)  # fmt: skip


@pytest.mark.parametrize(("level", "status"), [("repeatable-read", 0), ("snapshot-isolation", 0), ("serializable", 1)])
def test_predicates_tell_serializable_from_repeatable_read(run, level, status):
    result = run(PHANTOM, "--model", "closed-predicate", "--level", level)
    assert result.exit_code == status
    assert "g2" in result.stdout


@pytest.mark.parametrize(("text", "anomaly"), [(PHANTOM, "g2"), (SKEW, "g2-item")])
def test_all_levels_are_answered_for_transactions_too(run, text, anomaly):
    result = run(text, "--model", "all")
    assert result.exit_code == 1
    assert anomaly in result.stdout
    assert "parallel-snapshot-isolation" in result.stdout


@pytest.mark.parametrize(("level", "status"), [("snapshot-isolation", 0), ("serializable", 1)])
def test_stated_starts_and_commits_are_read_from_a_file(run, tmp_path, level, status):
    order = tmp_path / "order.jsonl"
    order.write_text("[0, 1, 2]\n[1, 1, 3]\n[4, 4, 4]\n", "utf-8")
    assert run(SKEW, "--model", "list-append-stated", "--level", level, "--order", str(order)).exit_code == status


@pytest.mark.parametrize("text", ["[0]\n", "[0, 1]\n[1, 2, 3]\n", "[0, 1]\n[0, 2]\n", "[]\n", '["a", 1]\n'])
def test_a_stated_order_that_is_none_is_told_with_its_line(run, tmp_path, text):
    order = tmp_path / "order.jsonl"
    order.write_text(text, "utf-8")
    result = run(SKEW, "--model", "list-append-stated", "--order", str(order))
    assert result.exception is not None
    assert str(result.exception).startswith("line ")


@pytest.mark.parametrize(("text", "status"), [(LOST_WRITE, 1), (CALM, 0)])
def test_a_file_is_judged_while_it_is_read(run, text, status):
    result = run(text, "--model", "kv", "--stream")
    assert result.exit_code == status
    assert ("process 2: read" in result.stdout) == (status == 1)
    assert isinstance(run(text, "--model", "sequential", "--stream").exception, UsageError)


def test_a_file_that_cannot_fit_into_memory_is_refused_before_it_is_read(run, tmp_path):
    """Sparse: it takes no room on the disk."""
    huge = tmp_path / "huge.jsonl"
    huge.write_bytes(b"")
    os.truncate(huge, 1 << 42)
    result = CliRunner().invoke(app, ["check", str(huge)])
    assert isinstance(result.exception, UsageError)
    assert "--stream" in str(result.exception)
    assert run(CALM).exit_code == 0


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path):
    path = tmp_path / "history.edn"
    path.write_bytes(b"{:type :invoke, :f :read, :process 0}\n{:type :ok, \xff}\n")
    with pytest.raises(BadHistory) as caught:
        read_history(path)
    assert caught.value.line == 2
