"""Judging a recorded history from a file, in words."""

from pathlib import Path

from rich.console import Console

from quorate.check import BUDGET_DEFAULT, History, check
from quorate.kernel import errors

_STATUSES = {"valid": 0, "invalid": 1, "unknown": 2}


def judge_file(history: Path, model: str = "kv", budget: int | None = None, console: Console | None = None) -> int:
    """Judge a history of JSON lines, print the finding, return the exit status: 0 valid, 1 invalid, 2 unknown.

    Raises:
        UsageError: the file cannot be read, or no model has that name.
        BadHistory: a line is none, with its number.

    Complexity: that of `check`; the whole history is held in memory.
    """
    try:
        with history.open("rb") as lines:
            found = History.from_lines(lines)
    except OSError as cause:
        raise errors.UsageError(f"cannot read {history}: {cause.strerror}") from cause
    finding = check(found, model, budget=BUDGET_DEFAULT if budget is None else budget)
    (console or Console()).print(str(finding), highlight=False, markup=False)
    return _STATUSES[finding.verdict]
