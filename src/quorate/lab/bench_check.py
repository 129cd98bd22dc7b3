"""What the judges cost, on histories that are generated correct: operations each second, and whether growth is linear.

Processor time is measured, not time on the wall: the machine may be busy with something else.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from quorate.check import MODELS, NEVER, History, Operation, Recipe, check, explore, generate, txn, weak
from quorate.kernel import Seeds, errors

Timed = Callable[[], object]
"""What is measured; its result is looked at outside of the measurement."""


class CaseRow(msgspec.Struct, frozen=True):
    """One measurement."""

    name: str
    # Operations, transactions, events or states.
    count: int
    unit: str
    cpu_s: float
    # What the judge said, or what else was counted.
    answer: str

    @property
    def rate(self) -> float:
        """Units each second."""
        return self.count / max(self.cpu_s, 1e-9)


class Case(msgspec.Struct, frozen=True):
    """Something to measure: `make` prepares as many units as asked for, and returns what is timed."""

    name: str
    unit: str
    # At scale 1.
    count: int
    make: Callable[[int, random.Random], Timed]


def interleaved(rng: random.Random, count: int, process_count: int) -> Iterator[tuple[int, int, int]]:
    """Yield (process, call, done) in the order of effects; each effect lies between its call and its end."""
    place = 0
    # Seat → place of the call that is open.
    open_calls: dict[int, int] = {}
    for _ in range(count):
        # Others begin meanwhile: those that are open overlap.
        while len(open_calls) < process_count and (not open_calls or rng.random() < 0.7):
            free = rng.choice([seat for seat in range(process_count) if seat not in open_calls])
            open_calls[free] = place = place + 1
        seat = rng.choice(list(open_calls))
        place += 1
        yield seat, open_calls.pop(seat), place


def register_history(count: int, rng: random.Random, *, process_count: int = 10, key_count: int = 1) -> list[Operation]:
    """Return reads and writes of distinct values, linearizable, in the order of their calls."""
    values: dict[int, int | None] = {}
    found = []
    for number, (process, call, done) in enumerate(interleaved(rng, count, process_count)):
        key = rng.randrange(key_count)
        times = {"invoke_ns": call * 1_000, "complete_ns": done * 1_000, "call": call, "done": done}
        if rng.random() < 0.5:
            values[key] = number
            found.append(Operation(process=process, f="write", key=key, value=number, result=number, **times))  # type: ignore[arg-type]  # places are integers
        else:
            found.append(Operation(process=process, f="read", key=key, result=values.get(key), **times))  # type: ignore[arg-type]  # as above
    return sorted(found, key=lambda operation: operation.call)


def transaction_history(count: int, rng: random.Random, kind: txn.Kind, *, process_count: int = 10) -> list[Operation]:
    """Return strictly serializable transactions of one to five steps; a key retires after 32 writes."""
    lists: dict[int, list[object]] = {}
    first_key, written = 0, 0
    found = []
    for process, call, done in interleaved(rng, count, process_count):
        asked: list[list[object]] = []
        answered: list[list[object]] = []
        for _ in range(rng.randrange(1, 6)):
            key = first_key + rng.randrange(8)
            known = lists.setdefault(key, [])
            if rng.random() < 0.5:
                seen = list(known) if kind == "list-append" else known[-1] if known else None
                asked.append(["r", key, None])
                answered.append(["r", key, seen])
            else:
                written += 1
                known.append(written)
                step: list[object] = ["append" if kind == "list-append" else "w", key, written]
                asked.append(step)
                answered.append(step)
                first_key += len(known) >= 32
        found.append(
            Operation(process=process, f="txn", value=asked, result=answered, invoke_ns=call * 1_000,
                      complete_ns=done * 1_000, call=call, done=done)
        )  # fmt: skip
    return sorted(found, key=lambda operation: operation.call)


def predicate_history(
    count: int, rng: random.Random, *, key_count: int = 20, process_count: int = 10
) -> list[Operation]:
    """Return strictly serializable transactions that insert, update, delete and query the rows of a closed universe."""
    rows: dict[str, int] = {}
    written = 0
    found = []
    for process, call, done in interleaved(rng, count, process_count):
        asked: list[list[object]] = []
        answered: list[list[object]] = []
        for _ in range(rng.randrange(1, 4)):
            key = f"k{rng.randrange(key_count)}"
            f, name, value = rng.choice(["rp", "r", "w" if key in rows else "insert", "delete"]), key, None
            if f in {"w", "insert"}:
                written += 1
                value = rows[key] = written
            elif f == "delete":
                rows.pop(key, None)
            asked.append([f, ["mod", 2, 0] if f == "rp" else name, value])
            seen = {k: v for k, v in sorted(rows.items()) if v % 2 == 0} if f == "rp" else rows.get(key)
            answered.append([f, asked[-1][1], seen if f in {"r", "rp"} else value])
        found.append(
            Operation(process=process, f="txn", value=asked, result=answered, invoke_ns=call * 1_000,
                      complete_ns=done * 1_000, call=call, done=done)
        )  # fmt: skip
    return sorted(found, key=lambda operation: operation.call)


def _crashing(count: int, rng: random.Random) -> Timed:
    """Return the judging of cas-register histories of 170 operations, a tenth of them crashed."""
    model = MODELS["cas-register"]()
    histories = []
    for _ in range(max(1, count // 170)):
        recipe = Recipe(operation_count=170, process_count=5, crash_chance=0.1)
        histories.append(generate(rng, model, _draw_register, recipe))
    return lambda: _worst([check(history, model).verdict for history in histories])


def _draw_register(rng: random.Random) -> tuple[str, object, Sequence[object]]:
    match rng.randrange(3):
        case 0:
            return "read", None, (None, 0, 1, 2, 3, 4)
        case 1:
            return "write", rng.randrange(5), ()
        case _:
            return "cas", [rng.randrange(5), rng.randrange(5)], (True, False)


def _worst(verdicts: Sequence[str]) -> str:
    return next((verdict for verdict in ("invalid", "unknown") if verdict in verdicts), "valid")


def _reading(count: int, rng: random.Random) -> Timed:
    lines = list(History.from_operations(register_history(count, rng)).to_lines())
    return lambda: f"{len(History.from_lines(lines).operations)} operations"


def _register(count: int, rng: random.Random) -> Timed:
    history = register_history(count, rng)
    return lambda: check(history, "register").verdict


def _register_half_lost(count: int, rng: random.Random) -> Timed:
    """Return the judging of a history with a lost write at its end: the witness is found and shrunk."""
    history = register_history(count, rng)
    last = max(operation.done for operation in history)
    history.append(Operation(process=99, f="write", value=-1, result=-1, call=last + 1, done=last + 2))
    seen = next(o.result for o in reversed(history[:-1]) if o.f == "read")
    history.append(Operation(process=99, f="read", result=seen, call=last + 3, done=last + 4))
    return lambda: check([o if o.key is None else _keyless(o) for o in history], "register").verdict


def _keyless(operation: Operation) -> Operation:
    return Operation(
        process=operation.process, f=operation.f, value=operation.value, result=operation.result,
        call=operation.call, done=operation.done, outcome=operation.outcome,
    )  # fmt: skip


def _keys(count: int, rng: random.Random) -> Timed:
    """Return the judging of repeating values over ten keys: no fast path, the engines search."""
    history = []
    for operation in register_history(count, rng, process_count=8, key_count=max(10, count // 200)):
        is_open = operation.f == "write" and rng.random() < 0.01
        history.append(
            Operation(
                process=operation.process, f="put" if operation.f == "write" else "get", key=operation.key,
                value=None if operation.value is None else operation.value % 7,
                result=None if is_open or operation.result is None else operation.result % 7, call=operation.call,
                done=NEVER if is_open else operation.done, outcome="info" if is_open else "ok",
            )
        )  # fmt: skip
    return lambda: check(history, "kv").verdict


def _list_append(count: int, rng: random.Random) -> Timed:
    history = transaction_history(count, rng, "list-append")
    return lambda: f"{len(txn.check_list_append(history).refuted)} levels refuted"


def _rw_register(count: int, rng: random.Random) -> Timed:
    history = transaction_history(count, rng, "rw-register")
    return lambda: f"{len(txn.check_rw_register(history).refuted)} levels refuted"


def _predicates(count: int, rng: random.Random) -> Timed:
    history = predicate_history(count, rng)
    return lambda: f"{len(txn.check_closed_predicate(history).refuted)} levels refuted"


def _stated(count: int, rng: random.Random) -> Timed:
    history = transaction_history(count, rng, "list-append")
    by_effect = {o.call: place for place, o in enumerate(sorted(history, key=lambda o: o.done))}
    return lambda: txn.check_stated_order(history, "list-append", by_effect).verdict


def _causal(count: int, rng: random.Random) -> Timed:
    history = register_history(count, rng, process_count=16, key_count=64)
    return lambda: weak.check_causal(history, "causal").verdict


def _sessions(count: int, rng: random.Random) -> Timed:
    history = register_history(count, rng, process_count=16, key_count=64)
    return lambda: weak.check_sessions(history).verdict


def _two_phase_commit(count: int, _rng: random.Random) -> Timed:
    managers = 3 if count < 1_000 else 5
    return lambda: f"{explore.explore(explore.TwoPhaseCommit(managers)).state_count} states"


CASES: Final = (
    Case("read JSON lines", "operations", 1_000_000, _reading),
    Case("register, distinct values", "operations", 1_000_000, _register),
    Case("register, half the size", "operations", 500_000, _register),
    Case("register, a write is lost", "operations", 100_000, _register_half_lost),
    Case("cas-register, a tenth crashed", "operations", 17_000, _crashing),
    Case("kv, values repeat, 1 % of writes open", "operations", 20_000, _keys),
    Case("list-append", "transactions", 200_000, _list_append),
    Case("list-append, stated order", "transactions", 200_000, _stated),
    Case("rw-register", "transactions", 20_000, _rw_register),
    Case("closed-predicate, 20 rows", "transactions", 2_000, _predicates),
    Case("causal, 16 sessions", "events", 1_500_000, _causal),
    Case("session guarantees, 16 sessions", "events", 500_000, _sessions),
    Case("two-phase commit explored", "states", 8_832, _two_phase_commit),
)
"""What is measured, in this order."""


def run(*, scale: float = 0.1, only: str = "", seed: int = 1) -> Iterator[CaseRow]:
    """Measure case after case; see `CASES`.

    Args:
        scale: share of the full sizes.
        only: cases whose name holds this.
        seed: what the histories are drawn from.
    """
    if not 0 < scale <= 10:
        raise errors.UsageError(f"--scale is above 0 and at most 10, not {scale}")
    chosen = [case for case in CASES if only in case.name]
    if not chosen:
        raise errors.UsageError(f"no case holds {only!r}; there are {', '.join(case.name for case in CASES)}")
    for case in chosen:
        count = max(100, round(case.count * scale))
        timed = case.make(count, Seeds(seed).stream("bench check", case.name))
        begin = time.process_time()
        answer = str(timed())
        spent = time.process_time() - begin
        if case.unit == "states":
            count = int(answer.split(maxsplit=1)[0])
        yield CaseRow(case.name, count, case.unit, spent, answer)


def print_cases(*, scale: float = 0.1, only: str = "", seed: int = 1, console: Console) -> None:
    """Measure and print a table."""
    table = Table("case", "size", "CPU s", "each second", "answer", box=None, pad_edge=False)
    for row in run(scale=scale, only=only, seed=seed):
        table.add_row(row.name, f"{row.count:,} {row.unit}", f"{row.cpu_s:.2f}", f"{row.rate:,.0f}", row.answer)
    console.print(table)
