"""Is a run a function of its seed? Runs in fresh processes are compared step by step; the first difference is named."""

import ast
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Final

import msgspec

from quorate.sim.failures import SimulationError

# The same twice first: what differs then does not come from the hashing of text.
HASH_SEEDS: Final = ("0", "0", "1", "2")
PROCESS_TIMEOUT_S: Final = 600
LINES_BEFORE: Final = 4

_CLOCKS: Final = ("time.", "datetime.", "uuid.", "os.urandom", "random.", "secrets.", "monotonic", "perf_counter")


class Diverged(SimulationError):
    """Two runs with one seed differed."""

    code = "DIVERGED"


class Divergence(msgspec.Struct, frozen=True):
    """Where two logs part."""

    # From 1.
    step: int
    # What both did last, oldest first.
    common: tuple[str, ...]
    one: str
    other: str
    is_same_hash_seed: bool


def compare(one: Path, other: Path, *, is_same_hash_seed: bool) -> Divergence | None:
    """Return where two logs part; None when they are equal. Complexity: O(lines)."""
    common: list[str] = []
    with one.open(encoding="utf-8") as left, other.open(encoding="utf-8") as right:
        for number, (mine, theirs) in enumerate(zip_longest(left, right, fillvalue="the run ends\t\n"), 1):
            if mine != theirs:
                return Divergence(number, tuple(common), mine.rstrip("\n"), theirs.rstrip("\n"), is_same_hash_seed)
            common = [*common[1 - LINES_BEFORE :], mine.rstrip("\n")]
    return None


def audit(command: Sequence[str], *, seed: int) -> int:
    """Run a command in fresh processes under several hash seeds; return how many steps all had in common.

    Args:
        command: runs the test once and writes a `StepLog` to the file that `QUORATE_STEP_LOG` names.
        seed: for the report.

    Raises:
        Diverged: two runs differed; the sentence names the first callback and the likely reason.
    """
    with tempfile.TemporaryDirectory(prefix="quorate-audit-") as directory:
        logs = [Path(directory) / f"{place}.log" for place in range(len(HASH_SEEDS))]
        begun = [_begin(command, log, hash_seed) for log, hash_seed in zip(logs, HASH_SEEDS, strict=True)]
        for process, log in zip(begun, logs, strict=True):
            output, _ = process.communicate(timeout=PROCESS_TIMEOUT_S)
            if not log.exists():
                raise Diverged(f"the audit's process wrote no log: {' '.join(command)}\n{output[-2_000:]}")
        for place in range(1, len(logs)):
            is_same = HASH_SEEDS[place] == HASH_SEEDS[0]
            found = compare(logs[0], logs[place], is_same_hash_seed=is_same)
            if found is not None:
                raise Diverged(explain(found, seed=seed))
        with logs[0].open(encoding="utf-8") as file:
            return sum(1 for _ in file)


def _begin(command: Sequence[str], log: Path, hash_seed: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "QUORATE_STEP_LOG": str(log)}
    environment.pop("PYTEST_CURRENT_TEST", None)
    for name in [name for name in environment if name.startswith("PYTEST_XDIST")]:
        del environment[name]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def explain(found: Divergence, *, seed: int) -> str:
    """Return the report of a divergence."""
    lines = [f"seed {seed} is not one run: two processes part at step {found.step}"]
    lines += [f"  both      {_readable(line)}" for line in found.common]
    lines += [f"  one       {_readable(found.one)}", f"  the other {_readable(found.other)}"]
    lines += ["likely reason:", *(f"  {reason}" for reason in reasons(found))]
    return "\n".join(lines)


def _readable(line: str) -> str:
    columns = line.split("\t")
    if len(columns) < 4:
        return line.strip()
    time, host, what, places = columns[:4]
    if not time:
        return what
    return f"{int(time) / 1e9:14.6f} s host {host}  {what}  {places.split(';')[-1]}"


def reasons(found: Divergence) -> list[str]:
    """Return the likely reasons, best first: what the source of the callbacks before the parting does."""
    told: dict[str, None] = {}
    for line in [*reversed(found.common), found.one, found.other]:
        for place in line.split("\t")[-1].split(";"):
            path, _, number = place.rpartition(":")
            if path and number.isdigit():
                told.update(dict.fromkeys(_suspects(path, int(number), found.is_same_hash_seed)))
    told.update(dict.fromkeys(_general(found)))
    return list(told)[:6]


def _general(found: Divergence) -> Iterator[str]:
    if found.is_same_hash_seed:
        yield "the hash seed was equal: memory addresses (a set of objects, functions or methods, sorting by id),"
        yield "a generator without a seed, or a clock that was read at import"
    else:
        yield "only the hash seed differed: the order of a set of text, bytes or enum members"


def _suspects(path: str, line: int, is_same_hash_seed: bool) -> Iterator[str]:  # noqa: FBT001  positional is plain here
    """Yield what the function at a line does that depends on addresses or hashes; then what its module's import did."""
    tree = _tree(path)
    if tree is None or "site-packages" in path or "/quorate/sim/" in path:
        return
    functions = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and min([node.lineno, *(one.lineno for one in node.decorator_list)]) <= line <= (node.end_lineno or node.lineno)
    ]
    name = Path(path).name
    for node in ast.walk(max(functions, key=lambda node: node.lineno)) if functions else ():
        what = _unsteady(node)
        if what is not None:
            yield f"{name}:{getattr(node, 'lineno', line)} {what}"
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            text = ast.unparse(statement.value)
            if (
                "(" in text
                and any(clock in text for clock in _CLOCKS)
                and "Random(" not in text.replace("Random()", "")
            ):
                yield f"{name}:{statement.lineno} was computed at import: {ast.unparse(statement)}"


def _unsteady(node: ast.AST) -> str | None:
    match node:
        case ast.Set() | ast.SetComp():
            return "makes a set, whose order is that of hashes: " + ast.unparse(node)
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return "makes a set, whose order is that of hashes: " + ast.unparse(node)
        case ast.Call(func=ast.Name(id="id" | "hash")):
            return "uses an address or a hash: " + ast.unparse(node)
        case ast.keyword(arg="key", value=ast.Name(id="id" | "hash")):
            return "sorts by address or hash: key=" + ast.unparse(node.value)
        case ast.Attribute(attr="environ"):
            return "reads the environment: " + ast.unparse(node)
        case _:
            return None


@cache
def _tree(path: str) -> ast.Module | None:
    try:
        return ast.parse(Path(path).read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return None
