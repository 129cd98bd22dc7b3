"""The card and the page tell a known history truly, and the page needs no network."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from quorate.check import check
from quorate.kernel import MILLISECOND, SECOND, NodeId, errors, seconds
from quorate.lab.card import print_card, print_schedule
from quorate.lab.faults import PlannedFault
from quorate.lab.judging import judge_file
from quorate.lab.nemesis import FaultSpan
from quorate.lab.options import TrialOptions, TrialResult
from quorate.lab.recorder import Recorder
from quorate.lab.report.page import render_report
from quorate.lab.statistics import availability, latencies, outages, throughput
from quorate.lab.systems import Leadership, make_system


def known_result(*, lost: bool, error: str = "node 2 leads") -> TrialResult:
    """A trial of three operations; the last read is stale when the write was lost."""
    time_ns = iter(range(0, 10**12, 100 * MILLISECOND))
    recorder = Recorder(clock=lambda: next(time_ns))
    recorder.ok(recorder.invoke(process=0, worker=0, f="write", key="register-1", value=7), None)
    recorder.failed(recorder.invoke(process=1, worker=1, f="write", key="register-1", value=8), errors.NotLeader(error))
    recorder.failed(recorder.invoke(process=1, worker=1, f="increment", key="counter-4", value=1), errors.TimedOut("?"))
    recorder.ok(recorder.invoke(process=0, worker=0, f="read", key="register-1", value=None), None if lost else 7)
    finding = check(recorder.history(), "kv")
    spans = [FaultSpan("crash-leader", "node 1 (leader)", 150 * MILLISECOND, 600 * MILLISECOND)]
    calls, end = recorder.calls, SECOND
    return TrialResult(
        options=TrialOptions(seed=5, duration=seconds(1)), system="known", verdict=finding.verdict,
        reason=finding.explanation, finding=finding, planned=[], spans=spans, calls=calls,
        outcomes=dict(recorder.outcomes), error_codes=dict(recorder.error_codes), key_count=2, load_end_ns=end,
        end_ns=end, recovery_ns=12 * MILLISECOND, availability=availability(calls, end_ns=end),
        throughput=throughput(calls, end_ns=end), outages=outages(calls, spans, end_ns=end),
        reads=latencies(calls, updates=False), updates=latencies(calls, updates=True),
        leaders=[(0, Leadership(NodeId(1), 3)), (SECOND // 2, Leadership(None, 3))], generator_cpu=0.1, server_cpu=0.2,
        where=["node 1", "node 2"], judge_ns=1, act=None, report=Path("report.html"), history=Path("history.jsonl"),
    )  # fmt: skip


def printed(result: TrialResult) -> str:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        print_card(console, result)
        return console.export_text()


def test_the_card_of_a_valid_trial_says_what_happened() -> None:
    card = printed(known_result(lost=False))
    assert "VALID" in card
    assert "ok 2, fail 1, info 1" in card
    assert "NOTLEADER 1, TIMEDOUT 1" in card
    assert "crash-leader" in card
    assert "800 ms, to the end" in card
    assert "0.0 s node 1 (term 3) → 0.5 s nobody (term 3)" in card
    assert "12 ms" in card


def test_the_card_of_an_invalid_trial_shows_the_operation_to_blame() -> None:
    card = printed(known_result(lost=True))
    assert "INVALID" in card
    assert re.search(r"→ process \d+: \w+ .*register-1", card)


def test_the_exit_status_is_zero_for_valid_alone() -> None:
    valid, invalid = known_result(lost=False), known_result(lost=True)
    assert (valid.exit_status, invalid.exit_status) == (0, 1)
    valid.verdict = "unknown"
    assert valid.exit_status == 2


def test_the_schedule_is_printed_before_it_is_run() -> None:
    console = Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        planned = [PlannedFault("pause-leader", 2 * SECOND, SECOND, 1)]
        print_schedule(console, TrialOptions(seed=9), "quorate", planned)
        text = console.export_text()
    assert "seed 9" in text
    assert re.search(r"2\.0 s\s+pause-leader\s+1\.0 s\s+SIGSTOP the leader", text)


def test_the_page_needs_no_network_and_holds_every_operation() -> None:
    page = render_report(known_result(lost=True))
    assert not re.search(r"""(src|href)\s*=|https?://|@import|url\(""", page)
    assert "{{" not in page
    data = json.loads(re.search(r'type="application/json">(.*?)</script>', page, re.DOTALL).group(1))
    assert len(data["calls"]) == 4
    assert data["verdict"] == "invalid"
    assert data["finding"]["rows"]
    assert all(row["call"] is not None for row in data["finding"]["rows"])
    assert any(row["blame"] for row in data["finding"]["rows"])


def test_text_from_a_server_cannot_end_the_script() -> None:
    page = render_report(known_result(lost=False, error="</script><script>alert(1)</script>"))
    assert "<script>alert" not in page
    assert "\\u003c/script>" in page


def test_a_history_is_judged_from_its_file(tmp_path: Path) -> None:
    for lost, status in ((False, 0), (True, 1)):
        result = known_result(lost=lost)
        path = tmp_path / "history.jsonl"
        rows = [
            {"index": 2 * n + k, "time": 2 * n + k, "process": 0, "type": kind, "f": call.f, "key": "k", "value": value}
            for n, call in enumerate(c for c in result.calls if c.outcome == "ok")
            for k, (kind, value) in enumerate((("invoke", call.value), ("ok", call.result)))
        ]
        path.write_text("\n".join(json.dumps(row) for row in rows))
        console = Console(file=open("/dev/null", "w"))  # noqa: SIM115
        with console.file:
            assert judge_file(path, console=console) == status


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="nothing-here"):
        judge_file(tmp_path / "nothing-here")


def test_an_unknown_system_names_the_nearest() -> None:
    with pytest.raises(errors.UsageError, match="did you mean redis"):
        make_system("rediss")
