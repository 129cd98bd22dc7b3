"""Real node processes under the router: sound ones pass under faults, broken ones are caught, odd ones are told."""

import io
import sys
import textwrap

import pytest
from rich.console import Console

from quorate.kernel import errors
from quorate.lab.maelstrom import Conditions, RunOptions, run_maelstrom

pytestmark = [pytest.mark.real, pytest.mark.slow]

PRELUDE = """
import json, sys
def send(src, dest, body):
    print(json.dumps({"src": src, "dest": dest, "body": body}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    body, me = message["body"], message["dest"]
    def answer(**fields):
        send(me, message["src"], {"in_reply_to": body["msg_id"], **fields})
    if body["type"] == "init":
        state, counter = {}, 0
        answer(type="init_ok")
        continue
"""

ECHO = """
answer(type="echo_ok", echo=body["echo"])
"""


@pytest.fixture
def run(tmp_path):
    def run(workload, program=None, **options):
        if program is None and "command" in options:
            command = options.pop("command")
        elif program is None:
            command = (sys.executable, "-m", "quorate", "maelstrom-node", "--workload", workload)
            # The machine may be busy: slow followers are no reason for elections.
            command += ("--election-timeout-ms", "1000")
        else:
            path = tmp_path / "node.py"
            path.write_text(PRELUDE + textwrap.indent(textwrap.dedent(program), "    "), "utf-8")
            command = (sys.executable, str(path))
        output = io.StringIO()
        chosen = {"seconds": 1.5, "rate_per_second": 80, "recovery_s": 0.5, "output": tmp_path / "run"} | options
        result = run_maelstrom(
            RunOptions(command=command, workload=workload, **chosen), Console(file=output, width=200)
        )
        return result, output.getvalue()

    return run


def test_our_raft_is_linearizable_under_every_fault(run, tmp_path):
    result, text = run(
        "lin-kv",
        seconds=6,
        faults=("partition", "kill", "pause"),
        fault_interval_s=0.8,
        conditions=Conditions(latency_ms=2, lose_chance=0.01, repeat_chance=0.05),
    )
    assert result.exit_status == 0, text
    assert result.outcomes["ok"] > 5, text
    assert (tmp_path / "run" / "history.jsonl").stat().st_size > 0
    assert any(event.process == "nemesis" for event in result.history.events)


def test_transactions_over_our_raft_are_strictly_serializable(run):
    result, text = run("txn-list-append", seconds=4, conditions=Conditions(latency_ms=1))
    assert result.exit_status == 0, text
    assert result.outcomes["ok"] > 5, text


def test_a_set_over_our_raft_loses_nothing_it_acknowledged(run):
    result, text = run("g-set", seconds=4, faults=("kill",), fault_interval_s=1.0)
    assert result.exit_status == 0, text


def test_a_log_over_our_raft_gives_each_message_one_place(run):
    result, text = run("kafka", seconds=2, faults=("partition",), fault_interval_s=0.6)
    assert result.exit_status == 0, text
    assert result.outcomes["ok"] > 5, text


def test_no_loss_keeps_a_node_from_learning_what_it_is(run):
    """Neither init nor its answer goes through the network that is harmed."""
    _, text = run("echo", ECHO, seconds=0.3, recovery_s=0.0, timeout_ms=100, conditions=Conditions(lose_chance=0.99))
    assert "lost" in text


def test_replicated_types_answer_through_every_fault_and_agree_in_the_end(run):
    """A node that is cut off goes on answering; what it acknowledged survives its death and reaches all."""
    command = (sys.executable, "-m", "quorate", "maelstrom-node", "--workload", "pn-counter", "--design", "crdt")
    result, text = run(
        "pn-counter",
        command=command,
        seconds=2.5,
        faults=("partition", "kill"),
        fault_interval_s=0.5,
        recovery_s=1.5,
        conditions=Conditions(latency_ms=2, lose_chance=0.05, repeat_chance=0.1),
    )
    assert result.exit_status == 0, text
    assert result.outcomes["fail"] == 0, text
    assert result.outcomes["ok"] > 50, text


def test_registers_that_are_not_replicated_are_caught(run):
    """Each node keeps its own values: fine until two clients compare."""
    result, text = run(
        "lin-kv",
        """
        if body["type"] == "write":
            state[body["key"]] = body["value"]
            answer(type="write_ok")
        elif body["key"] not in state:
            answer(type="error", code=20, text="no key")
        elif body["type"] == "read":
            answer(type="read_ok", value=state[body["key"]])
        elif state[body["key"]] != body["from"]:
            answer(type="error", code=22, text="another value")
        else:
            state[body["key"]] = body["to"]
            answer(type="cas_ok")
        """,
    )
    assert result.exit_status == 1
    assert "No order of these" in text


def test_ids_by_counting_on_each_node_are_caught(run):
    result, _ = run("unique-ids", 'counter += 1; answer(type="generate_ok", id=counter)')
    assert result.exit_status == 1


def test_a_broadcast_to_nobody_is_caught_by_the_final_reads(run):
    result, text = run(
        "broadcast",
        """
        if body["type"] == "read":
            answer(type="read_ok", messages=list(state))
        elif body["type"] == "topology":
            answer(type="topology_ok")
        else:
            state[body["message"]] = True
            answer(type="broadcast_ok")
        """,
    )
    assert result.exit_status == 1
    assert "missing from a later read" in text


def test_nodes_may_use_the_services_of_the_network(run):
    """A node that keeps its state in lin-kv is as linearizable as that is."""
    result, text = run(
        "lin-kv",
        """
        if message["src"] == "lin-kv":
            client, number = state.pop(body["in_reply_to"])
            send(me, client, {**body, "in_reply_to": number})
        else:
            counter += 1
            state[counter] = (message["src"], body["msg_id"])
            send(me, "lin-kv", {**body, "msg_id": counter})
        """,
        conditions=Conditions(latency_ms=3, latency_kind="uniform"),
    )
    assert result.exit_status == 0, text


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ('print("hello")', "what is no message"),
        ("sys.exit(3)", "ended by itself with status 3"),
        ('send("n9", message["src"], {"type": "echo_ok", "in_reply_to": body["msg_id"]})', "in the name of"),
        ('answer(type="echo_ok")', "makes no sense"),
    ],
)
def test_a_node_that_breaks_the_protocol_is_told_of_it(run, program, words):
    with pytest.raises(errors.UsageError, match=words):
        run("echo", program)


def test_a_program_that_is_not_there_is_told(tmp_path):
    options = RunOptions(command=("/nowhere/node",), workload="echo", output=tmp_path)
    with pytest.raises(errors.UsageError, match="cannot start"):
        run_maelstrom(options, Console(file=io.StringIO()))


def test_unknown_names_are_told():
    with pytest.raises(errors.UsageError, match="partition"):
        RunOptions(command=("x",), workload="echo", faults=("fire",))
    with pytest.raises(errors.UsageError, match="lin-kv"):
        run_maelstrom(RunOptions(command=("x",), workload="chess"), Console(file=io.StringIO()))
