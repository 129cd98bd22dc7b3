"""Fills the page: template, style, script and data become one file."""

import html
from importlib import resources
from typing import Any

import msgspec

from quorate.kernel import SECOND
from quorate.lab.options import TrialResult
from quorate.lab.recorder import Call
from quorate.lab.second_act_card import act_data

_OUTCOME_NUMBERS = {"ok": 0, "fail": 1, "info": 2, "open": 2}


def write_report(result: TrialResult) -> None:
    """Write `result.report`. Complexity: O(operations)."""
    result.report.write_text(render_report(result), encoding="utf-8")


def render_report(result: TrialResult) -> str:
    """Return the page."""
    parts = {name: _read(name) for name in ("page.html", "page.css", "page.js")}
    # "<" inside a script could end it, so it is written as JSON allows.
    data = msgspec.json.encode(report_data(result)).decode().replace("<", "\\u003c")
    title = f"Trial of {result.system}, seed {result.options.seed}: {result.verdict}"
    return (
        parts["page.html"]
        .replace("{{title}}", html.escape(title))
        .replace("{{style}}", parts["page.css"])
        .replace("{{script}}", parts["page.js"])
        .replace("{{data}}", data)
    )


def report_data(result: TrialResult) -> dict[str, Any]:
    """Return what the page's script reads; times in microseconds, operations as rows to keep the file small."""
    keys = {key: place for place, key in enumerate(dict.fromkeys(call.key for call in result.calls))}
    options = result.options
    return {
        "system": result.system,
        "seed": options.seed,
        "nodes": options.node_count,
        "workers": options.worker_count,
        "rate": options.rate_per_second,
        "duration_us": options.duration // 1000,
        "load_end_us": result.load_end_ns // 1000,
        "end_us": max(result.end_ns, result.load_end_ns) // 1000,
        "verdict": result.verdict,
        "reason": result.reason,
        "judge_ms": result.judge_ns // 1_000_000,
        "finding": _finding_data(result),
        "act": None if result.act is None else act_data(result.act),
        "outcomes": result.outcomes,
        "errors": dict(sorted(result.error_codes.items(), key=lambda item: -item[1])),
        "updates": msgspec.to_builtins(result.updates),
        "reads": msgspec.to_builtins(result.reads),
        "recovery_ms": None if result.recovery_ns is None else result.recovery_ns // 1_000_000,
        "generator_cpu": round(result.generator_cpu, 2),
        "server_cpu": round(result.server_cpu, 2),
        "availability": result.availability,
        "throughput": result.throughput,
        "outages": [
            {
                "fault": outage.fault,
                "detail": outage.detail,
                "start_us": outage.start_ns // 1000,
                "end_us": (outage.end_ns or result.load_end_ns) // 1000,
                "gap_ms": outage.gap_ns // 1_000_000,
                "recovered": outage.recovered,
            }
            for outage in result.outages
        ],
        "leaders": [{"at_us": at_ns // 1000, "node": seen.node, "term": seen.term} for at_ns, seen in result.leaders],
        "where": result.where,
        "keys": list(keys),
        "calls": [_row(call, keys) for call in result.calls],
    }


def _row(call: Call, keys: dict[str, int]) -> list[Any]:
    outcome = _OUTCOME_NUMBERS[call.outcome]
    end_us = call.complete_ns // 1000 if call.outcome != "open" else 0
    row: list[Any] = [call.invoke_ns // 1000, end_us, call.worker, call.process, keys[call.key], call.f, outcome]
    return [*row, call.value, call.result, *([call.error] if call.error else [])]


def _finding_data(result: TrialResult) -> dict[str, Any] | None:
    finding = result.finding
    if finding.verdict != "invalid":
        return None
    invoked = {(call.process, call.invoke_ns): place for place, call in enumerate(result.calls)}
    rows = [
        {
            "call": invoked.get((operation.process, operation.invoke_ns)),
            "text": str(operation),
            "blame": operation == finding.blame,
            "start_s": operation.invoke_ns / SECOND,
            "end_s": None if operation.complete_ns is None else operation.complete_ns / SECOND,
        }
        for operation in finding.witness
    ]
    return {"key": str(finding.key), "explanation": finding.explanation, "states": list(finding.states), "rows": rows}


def _read(name: str) -> str:
    return resources.files("quorate.lab.report").joinpath(name).read_text(encoding="utf-8")
