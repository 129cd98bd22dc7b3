"""Judging a recorded history from a file, in words; reading and writing histories in other notations."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from quorate.check import (
    BUDGET_ALL,
    BUDGET_DEFAULT,
    BadHistory,
    Finding,
    History,
    check_stream,
    formats,
    model_named,
    refutes,
)
from quorate.kernel import errors
from quorate.lab.checkers import JudgeOptions, judge_named

FORMATS: Final = ("jsonl", "edn", "edn-keyed", "etcd-log", "maelstrom")
"""Notations that histories are read from."""
TARGETS: Final = ("jsonl", "edn", "edn-keyed", "shiviz")
"""Notations that histories are written in."""

# A history that is held takes about so many times its file.
_MEMORY_FACTOR: Final = 6
_SMALLER: Final = "judge linearizability of JSON lines with --stream, or a part of the history"

_STATUSES: Final = {"valid": 0, "invalid": 1, "unknown": 2}
_SUFFIXES: Final = {".edn": "edn", ".log": "etcd-log"}


def read_history(path: Path, notation: str | None = None) -> History:
    """Return the history in a file.

    Args:
        path: the file.
        notation: one of `FORMATS`; None: by the name's ending, JSON lines if it says nothing.

    Raises:
        UsageError: the file cannot be read, or no notation has that name.
        BadHistory: with the line of the first fault.

    Complexity: O(n); the whole history is held in memory.
    """
    chosen = _SUFFIXES.get(path.suffix, "jsonl") if notation is None else notation
    try:
        _refuse_too_large(path)
        match chosen:
            case "jsonl":
                with path.open("rb") as lines:
                    return History.from_lines(lines)
            case "edn" | "edn-keyed":
                with path.open("rb") as lines:
                    return formats.read_jepsen(_decoded(lines), keyed=chosen == "edn-keyed")
            case "maelstrom":
                with path.open("rb") as lines:
                    return from_maelstrom(formats.read_jepsen(_decoded(lines)))
            case "etcd-log":
                with path.open("rb") as lines:
                    return formats.read_etcd_log(_decoded(lines))
            case _:
                raise errors.UsageError(f"no notation is named {chosen!r}; there are {', '.join(FORMATS)}")
    except OSError as cause:
        raise errors.UsageError(f"cannot read {path}: {cause.strerror}") from cause
    except MemoryError as cause:
        raise errors.UsageError(f"{path} does not fit into memory; {_SMALLER}") from cause


def _refuse_too_large(path: Path) -> None:
    """Refuse a file that cannot fit, before minutes are spent on it and the system ends something in its despair."""
    needed = path.stat().st_size * _MEMORY_FACTOR
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise errors.UsageError(
            f"{path} would take about {needed / 1e9:,.1f} GB of memory and there are {there / 1e9:,.1f}; {_SMALLER}"
        )


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode()
        except UnicodeDecodeError as cause:
            raise BadHistory(f"this is not UTF-8: {cause.reason} at byte {cause.start + 1}", line=number) from cause


def from_maelstrom(history: History) -> History:
    """Return a history of Maelstrom's with keys in their own field and compare-and-set as an answer.

    Maelstrom writes its `lin-kv` values as [key value], and a cas whose condition did not hold as a fail with error 22;
    a key that is not there fails with error 20. Both are answers about the state, which a plain fail would throw away.
    """
    pairs = {"read", "write", "cas"}
    is_keyed = any(event.f == "cas" or (event.f == "read" and _is_pair(event.value)) for event in history.events)
    if not is_keyed:
        return history
    keys: dict[int | str, object] = {}
    events = []
    for event in history.events:
        if isinstance(event.process, str) or event.f not in pairs:
            events.append(event)
            continue
        key, value = event.value if _is_pair(event.value) else (keys.get(event.process), None)
        changes: dict[str, object] = {"key": key, "value": value}
        if event.type == "invoke":
            keys[event.process] = key
        elif event.type == "fail" and event.f == "cas" and _error_code(event.error) in {20, 22}:
            changes |= {"type": "ok", "value": False}
        elif event.type == "fail" and event.f == "read" and _error_code(event.error) == 20:
            changes |= {"type": "ok", "value": None}
        elif event.type == "ok" and event.f == "cas":
            changes["value"] = True
        events.append(msgspec.structs.replace(event, **changes))
    return History(events)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2


def _error_code(error: object) -> int | None:
    """Return the number of an error as Maelstrom writes it: [name text], {:code n}, or the name alone."""
    names = {"key-does-not-exist": 20, "precondition-failed": 22}
    match error:
        case {"code": int(code)} | [int(code), *_] | int(code):
            return code
        case [str(name), *_] | str(name):
            return names.get(name.removeprefix(":"))
        case _:
            return None


def write_history(history: History, notation: str) -> Iterator[str]:
    """Yield the lines of a history in a notation, without line ends.

    Raises:
        UsageError: no notation has that name.
    """
    match notation:
        case "jsonl":
            return history.to_lines()
        case "edn" | "edn-keyed":
            return formats.write_jepsen(history, keyed=notation == "edn-keyed")
        case "shiviz":
            return formats.write_shiviz(history)
        case _:
            raise errors.UsageError(f"no notation is named {notation!r}; there are {', '.join(TARGETS)}")


def read_order(path: Path) -> dict[int, tuple[int, ...]]:
    """Return a stated order: for each transaction a line of JSON, `[index, position]` or `[index, start, commit]`.

    Raises:
        UsageError: the file cannot be read.
        BadHistory: with the line of the first fault.
    """
    found: dict[int, tuple[int, ...]] = {}
    decoder = msgspec.json.Decoder(list[int])
    try:
        lines = path.read_bytes().splitlines()
    except OSError as cause:
        raise errors.UsageError(f"cannot read {path}: {cause.strerror}") from cause
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                index, *stamps = decoder.decode(line)
            except (msgspec.DecodeError, ValueError) as cause:
                raise BadHistory(f"[index, position] or [index, start, commit]: {cause}", line=number) from cause
            if len(stamps) not in {1, 2} or len(stamps) != len(next(iter(found.values()), stamps)):
                raise BadHistory("[index, position] or [index, start, commit], the same on all lines", line=number)
            if index in found:
                raise BadHistory(f"index {index} is stated twice", line=number)
            found[index] = tuple(stamps)
    return found


def judge(history: History, model: str, options: JudgeOptions) -> Mapping[str, Finding]:
    """Return the findings of one judge, or with "all" those of every consistency model that fits the history.

    Raises:
        UsageError: no judge has that name, or it needs an option that is missing.
        BadHistory: the history is of other operations than the judge knows.
    """
    if model == "all":
        return refutes(history, budget=options.budget)
    return {model: judge_named(model).run(history, options)}


def judge_file(
    history: Path,
    model: str = "kv",
    budget: int | None = None,
    console: Console | None = None,
    *,
    notation: str | None = None,
    options: JudgeOptions | None = None,
) -> int:
    """Judge a history in a file, print the findings, return the exit status: 0 valid, 1 invalid, 2 unknown.

    With "all" the status is 1 if any model is refuted, else 2 if any is unknown.

    Raises:
        UsageError: the file cannot be read, or no model has that name.
        BadHistory: a line is none, with its number.

    Complexity: that of the judge; the whole history is held in memory.
    """
    chosen = options if options is not None else JudgeOptions()
    if model == "all" and budget is None:
        # Ten models are asked, and somebody waits: less for each than where one is asked alone.
        budget = BUDGET_ALL
    if budget is not None:
        chosen = msgspec.structs.replace(chosen, budget=budget)
    output = console or Console()
    if model != "all":
        # A wrong name is told before a large file is read.
        judge_named(model)
    findings = judge(read_history(history, notation), model, chosen)
    if model == "all":
        print_summary(findings, output)
    else:
        output.print(str(findings[model]), highlight=False, markup=False)
    verdicts = [finding.verdict for finding in findings.values()]
    return next((_STATUSES[verdict] for verdict in ("invalid", "unknown") if verdict in verdicts), 0)


def judge_stream(history: Path, model: str, budget: int | None = None, console: Console | None = None) -> int:
    """Judge a file of JSON lines while it is read, in memory that does not grow with it; return the exit status.

    Raises:
        UsageError: the file cannot be read, or the model is none of linearizability.
        BadHistory: a line is none, with its number.

    Complexity: as `check_stream`.
    """
    chosen = model_named(model)
    try:
        with history.open("rb") as lines:
            finding = check_stream(lines, chosen, budget=BUDGET_DEFAULT if budget is None else budget)
    except OSError as cause:
        raise errors.UsageError(f"cannot read {history}: {cause.strerror}") from cause
    (console or Console()).print(str(finding), highlight=False, markup=False)
    return _STATUSES[finding.verdict]


def print_summary(findings: Mapping[str, Finding], console: Console) -> None:
    """Print which models are refuted, strongest first, then why, each reason once."""
    table = Table("model", "this history", "steps", box=None, pad_edge=False)
    words = {"valid": "does not refute it", "invalid": "[bold red]refutes it[/]", "unknown": "[yellow]unknown[/]"}
    for name, finding in findings.items():
        table.add_row(name, words[finding.verdict], str(finding.budget_spent or ""))
    console.print(table)
    console.print()
    for heading, verdict in (("refuted", "invalid"), ("not refuted", "valid"), ("undecided", "unknown")):
        names = [name for name, finding in findings.items() if finding.verdict == verdict]
        console.print(f"{heading}: {', '.join(names) or 'none'}", highlight=False, markup=False)
    for name, finding in _reasons(findings.items()):
        console.print(f"\n{name}: {finding}", highlight=False, markup=False)


def _reasons(findings: Iterable[tuple[str, Finding]]) -> Iterator[tuple[str, Finding]]:
    """Yield what is not valid, leaving out what a weaker model already said of the same operations."""
    # By the places of their calls: the operations themselves may hold lists.
    known: dict[tuple[int, ...], None] = {}
    for name, finding in reversed(list(findings)):
        witness = tuple(operation.call for operation in finding.witness)
        if finding.verdict != "valid" and (not witness or witness not in known):
            known[witness] = None
            yield name, finding
