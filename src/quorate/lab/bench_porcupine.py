"""Our judges of linearizability beside Porcupine, on the same generated histories, in pairs.

The binary is `tools/porcupine` built against Porcupine; it prints for each file a verdict and the seconds of its check,
without reading and parsing. Ours are seconds of processor time of `check` on a parsed history, witness and explanation
included, which Porcupine does not make. It runs on one processor, as we do.
"""

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from quorate.check import MODELS, History, Operation, Recipe, check, generate
from quorate.kernel import Seeds, errors
from quorate.lab.bench_check import interleaved, register_history

Draw = Callable[[random.Random], tuple[str, object, Sequence[object]]]
Make = Callable[[random.Random], list[Operation]]

# Porcupine's patience with one history, seconds; ours in steps is about as long.
_SECONDS_MAX: Final = 5.0
_STEPS_MAX: Final = 1_000_000


class Contest(msgspec.Struct, frozen=True):
    """A kind of history that both judge."""

    name: str
    model: str
    # Histories at scale 1.
    count: int
    make: Make


class ContestRow(msgspec.Struct, frozen=True):
    """What came of a contest."""

    name: str
    history_count: int
    operation_count: int
    # Seconds for all histories, one sum for each round.
    ours_s: Sequence[float]
    theirs_s: Sequence[float]
    # Histories that both decided, those of them with two verdicts, and those that one of us gave up.
    decided_count: int
    disagreement_count: int
    ours_unknown: int
    theirs_unknown: int
    invalid_count: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """Our time over theirs, round by round; below 1 we are faster."""
        return tuple(ours / max(theirs, 1e-9) for ours, theirs in zip(self.ours_s, self.theirs_s, strict=True))


def _draw_register(rng: random.Random) -> tuple[str, object, Sequence[object]]:
    return rng.choice([("read", None, (None, 0, 1, 2, 3, 4)), ("write", rng.randrange(5), ())])


def _draw_cas(rng: random.Random) -> tuple[str, object, Sequence[object]]:
    if rng.randrange(3):
        return _draw_register(rng)
    return "cas", [rng.randrange(5), rng.randrange(5)], (True, False)


def _draw_set(rng: random.Random) -> tuple[str, object, Sequence[object]]:
    value = rng.randrange(8)
    match rng.randrange(3):
        case 0:
            return "add", value, ()
        case 1:
            return "remove", value, ()
        case _:
            return "contains", value, (True, False)


def _draw_queue(rng: random.Random) -> tuple[str, object, Sequence[object]]:
    if rng.randrange(2):
        return "enqueue", rng.randrange(4), ()
    return "dequeue", None, (None, 0, 1, 2, 3)


def _single(model: str, draw: Draw, *, operations: int, processes: int, crash: float = 0.0, lie: float = 0.0) -> Make:
    """Return a maker of histories of one object; a third of them are told lies."""

    def make(rng: random.Random) -> list[Operation]:
        recipe = Recipe(
            operation_count=operations,
            process_count=processes,
            crash_chance=crash,
            fail_chance=0.0,
            lie_chance=lie if rng.random() < 0.33 else 0.0,
        )
        return generate(rng, MODELS[model](), draw, recipe)

    return make


def _keys(make: Make, key_count: int) -> Make:
    """Return a maker of histories of several keys that run beside each other; of the lies of one key, all suffer."""

    def make_all(rng: random.Random) -> list[Operation]:
        found: list[Operation] = []
        for key in range(key_count):
            for operation in make(rng):
                process = operation.process * key_count + key
                found.append(msgspec.structs.replace(operation, key=f"k{key}", process=process))
        return found

    return make_all


def _queue_of_distinct(rng: random.Random) -> list[Operation]:
    """Return a queue into which every value goes once; some of those who put one in never hear of it."""
    held: list[int] = []
    found: list[Operation] = []
    for number, (process, call, done) in enumerate(interleaved(rng, 500, 10)):
        if held and rng.random() < 0.5:
            found.append(Operation(process=process, f="dequeue", result=held.pop(0), call=call, done=done))
            continue
        held.append(number)
        if rng.random() < 0.02:
            # A process that never hears of it is never heard of again.
            found.append(Operation(process=100 + number, f="enqueue", value=number, outcome="info", call=call))
        else:
            found.append(Operation(process=process, f="enqueue", value=number, call=call, done=done))
    return sorted(found, key=lambda operation: operation.call)


CONTESTS: Final = (
    Contest("register, 10 % crashed", "register", 60,
            _single("register", _draw_register, operations=170, processes=5, crash=0.1, lie=0.01)),
    Contest("register, 20 % crashed, 10 processes", "register", 30,
            _single("register", _draw_register, operations=170, processes=10, crash=0.2, lie=0.01)),
    Contest("cas-register, 10 % crashed", "cas-register", 60,
            _single("cas-register", _draw_cas, operations=170, processes=5, crash=0.1, lie=0.01)),
    Contest("cas-register, no crash, 10 processes", "cas-register", 20,
            _single("cas-register", _draw_cas, operations=500, processes=10, lie=0.003)),
    Contest("kv, 10 keys, 5 processes each", "kv", 20,
            _keys(_single("cas-register", _draw_cas, operations=170, processes=5, crash=0.01, lie=0.001), 10)),
    Contest("kv, 10 keys, 20 processes each", "kv", 5,
            _keys(_single("cas-register", _draw_cas, operations=170, processes=20, lie=0.001), 10)),
    Contest("set, 5 % crashed", "set", 40,
            _single("set", _draw_set, operations=170, processes=5, crash=0.05, lie=0.01)),
    Contest("register, values differ, 10 processes", "register", 3,
            lambda rng: [msgspec.structs.replace(o, key=None) for o in register_history(5_000, rng)]),
    Contest("fifo-queue, values differ, 2 % of puts lost", "fifo-queue", 20, _queue_of_distinct),
    Contest("fifo-queue, values repeat, 2 % crashed", "fifo-queue", 20,
            _single("fifo-queue", _draw_queue, operations=100, processes=5, crash=0.02, lie=0.01)),
)  # fmt: skip
"""What both judge, in this order."""


def run(binary: Path, *, scale: float = 1.0, only: str = "", seed: int = 1, rounds: int = 3) -> Iterator[ContestRow]:
    """Hold contest after contest.

    Args:
        binary: `tools/porcupine`, built.
        scale: share of the histories of each contest.
        only: contests whose name holds this.
        seed: what the histories are drawn from.
        rounds: measurements of each pair.

    Raises:
        UsageError: there is no such binary, no such contest, or the binary said something else than verdicts.
    """
    if not binary.is_file():
        raise errors.UsageError(f"{binary} is no file; build tools/porcupine first (its head says how)")
    chosen = [contest for contest in CONTESTS if only in contest.name]
    if not chosen:
        names = ", ".join(contest.name for contest in CONTESTS)
        raise errors.UsageError(f"no contest holds {only!r}; there are {names}")
    for contest in chosen:
        rng = Seeds(seed).stream("bench porcupine", contest.name)
        histories = [contest.make(rng) for _ in range(max(2, round(contest.count * scale)))]
        with tempfile.TemporaryDirectory() as folder:
            yield _hold(contest, histories, binary, Path(folder), rounds)


def _hold(contest: Contest, histories: list[list[Operation]], binary: Path, folder: Path, rounds: int) -> ContestRow:
    paths = []
    for number, operations in enumerate(histories):
        paths.append(folder / f"{number}.jsonl")
        lines = History.from_operations(operations).to_lines()
        paths[-1].write_text("\n".join(lines) + "\n", "utf-8")
    ours_s, theirs_s = [], []
    mine: list[str] = []
    theirs: list[str] = []
    for _ in range(rounds):
        theirs, seconds = _ask(binary, contest.model, paths)
        theirs_s.append(seconds)
        parsed = [History.from_lines(path.read_text("utf-8").splitlines()) for path in paths]
        begin = time.process_time()
        mine = [check(history, contest.model, budget=_STEPS_MAX, explain=False).verdict for history in parsed]
        ours_s.append(time.process_time() - begin)
    pairs = [(a, b) for a, b in zip(mine, theirs, strict=True) if "unknown" not in {a, b}]
    return ContestRow(
        name=contest.name,
        history_count=len(histories),
        operation_count=sum(map(len, histories)),
        ours_s=ours_s,
        theirs_s=theirs_s,
        decided_count=len(pairs),
        disagreement_count=sum(a != b for a, b in pairs),
        ours_unknown=mine.count("unknown"),
        theirs_unknown=theirs.count("unknown"),
        invalid_count=mine.count("invalid"),
    )


def _ask(binary: Path, model: str, paths: Sequence[Path]) -> tuple[list[str], float]:
    """Return Porcupine's verdicts and the seconds of its checks."""
    command = [str(binary), model, str(_SECONDS_MAX), *map(str, paths)]
    environment = {**os.environ, "GOMAXPROCS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    rows = [line.split() for line in answer.stdout.splitlines()]
    if answer.returncode or len(rows) != len(paths) or any(len(row) != 2 for row in rows):
        raise errors.UsageError(f"{binary} gave no verdicts: {answer.stderr.strip() or answer.stdout[:200]}")
    return [verdict for verdict, _ in rows], sum(float(seconds) for _, seconds in rows)


def print_contests(binary: Path, *, scale: float = 1.0, only: str = "", seed: int = 1, console: Console) -> None:
    """Hold the contests and print a table."""
    table = Table(
        "histories", "operations", "ours ms", "Porcupine ms", "ours / Porcupine", "verdicts", box=None, pad_edge=False
    )
    for row in run(binary, scale=scale, only=only, seed=seed):
        ratios = sorted(row.ratios)
        shown = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        words = f"{row.decided_count} agree" if not row.disagreement_count else f"{row.disagreement_count} DIFFER"
        words += f", {row.invalid_count} invalid"
        if row.ours_unknown or row.theirs_unknown:
            words += f", given up {row.ours_unknown} / {row.theirs_unknown}"
        table.add_row(
            f"{row.name} ({row.history_count})", f"{row.operation_count:,}", f"{min(row.ours_s) * 1e3:,.1f}",
            f"{min(row.theirs_s) * 1e3:,.1f}", shown, words,
        )  # fmt: skip
    console.print(table)
