"""Every judge of `quorate.check` by name, so that a command line can ask for any of them."""

from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec

from quorate.check import (
    BUDGET_DEFAULT,
    MODELS,
    BadHistory,
    Finding,
    History,
    Verdict,
    check,
    freeze,
    txn,
    weak,
    workloads,
)
from quorate.kernel import errors

_STATED: Final = ("serializable", "strong-session-serializable", "strict-serializable")
_SNAPSHOTS: Final = ("snapshot-isolation", "strong-session-snapshot-isolation", "strong-snapshot-isolation")


class JudgeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What some judges need to know beside the history."""

    # Steps of search.
    budget: int = BUDGET_DEFAULT
    # Isolation level that transactions must not refute.
    level: str = "strict-serializable"
    # Sum of all accounts of a bank.
    total: int | None = None
    # Session guarantees: of the whole store, not key by key; versions are known to be ordered as they were written.
    across_keys: bool = False
    versions_by_time: bool = False
    # Bounds of staleness; None: no bound.
    version_count_max: int | None = None
    age_ns_max: int | None = None
    # Stated order: index of a transaction's invocation → (its place in the commit order), or (start, commit).
    order: Mapping[int, tuple[int, ...]] | None = None


class Judge(msgspec.Struct, frozen=True):
    """One judge: what it says of a history, and in a few words what it asks."""

    asks: str
    run: Callable[[History, JudgeOptions], Finding]


def judge_named(name: str) -> Judge:
    """Return a judge by its name.

    Raises:
        UsageError: none has that name; the sentence lists those there are.
    """
    parts = name.split("+")
    if len(parts) > 1 and all(part in weak.GUARANTEES for part in parts):
        return Judge("session guarantees together", _session(*dict.fromkeys(parts)))
    if name not in JUDGES:
        raise errors.UsageError(f"no model is named {name!r}; there are all, {', '.join(JUDGES)}")
    return JUDGES[name]


def _linear(name: str) -> Callable[[History, JudgeOptions], Finding]:
    return lambda history, options: check(history, name, budget=options.budget)


def _causal(name: str) -> Callable[[History, JudgeOptions], Finding]:
    chosen = next(model for model in weak.CAUSAL_MODELS if model == name)
    return lambda history, options: weak.check_causal(history, chosen, budget=options.budget)


def _session(*names: str) -> Callable[[History, JudgeOptions], Finding]:
    return lambda history, options: weak.check_sessions(
        history, names, across_keys=options.across_keys, versions_by_time=options.versions_by_time
    )


def _staleness(history: History, options: JudgeOptions) -> Finding:
    if options.version_count_max is None and options.age_ns_max is None:
        raise errors.UsageError("bounded-staleness needs a bound: --versions, --age-ms, or both")
    return weak.check_staleness(
        history, version_count_max=options.version_count_max, age_ns_max=options.age_ns_max
    )  # fmt: skip


_INFERRING: Final[Mapping[str, Callable[[History], txn.Isolation]]] = {
    "list-append": txn.check_list_append,
    "rw-register": txn.check_rw_register,
    "closed-predicate": txn.check_closed_predicate,
}


def _isolation(history: History, options: JudgeOptions, kind: str) -> Finding:
    """Judge one level, and say at the end which others the history refutes."""
    if txn.level_named(options.level) is None:
        raise errors.UsageError(f"no level is named {options.level!r}; there are {', '.join(txn.LEVEL_NAMES)}")
    isolation = _INFERRING[kind](history)
    finding = txn.finding_of(isolation, options.level)
    strongest = " and ".join(isolation.strongest) or "none"
    sentence = f"{options.level} is not refuted" if finding.is_valid else finding.explanation
    if isolation.anomalies:
        sentence += f" All anomalies: {', '.join(isolation.anomalies)}."
    return msgspec.structs.replace(
        finding, explanation=f"{sentence.rstrip('.')}. Strongest level not refuted: {strongest}."
    )


def _exact(history: History, options: JudgeOptions, kind: txn.Kind) -> Finding:
    known = ("serializable", "strict-serializable", *_SNAPSHOTS)
    if options.level not in known:
        raise errors.UsageError(f"exact search judges {', '.join(known)}, not {options.level!r}")
    level = cast("txn.ExactLevel", options.level)
    return txn.check_exactly(history, kind, level, budget=options.budget)


def _stated(history: History, options: JudgeOptions, kind: txn.Kind) -> Finding:
    if options.level not in (*_STATED, *_SNAPSHOTS):
        known = ", ".join((*_STATED, *_SNAPSHOTS))
        raise errors.UsageError(f"a stated order is judged for {known}, not for {options.level!r}")
    if options.order is None:
        raise errors.UsageError(
            "a stated order is given by --order FILE: lines of [index, position] or [index, start, commit]"
        )
    # The checker knows calls by their place in the history, users by the index that they wrote on the line.
    places = {event.index: place for place, event in enumerate(history.events) if event.type == "invoke"}
    unknown = [index for index in options.order if index not in places]
    if unknown:
        raise BadHistory(f"the stated order names index {unknown[0]}, where no transaction is called")
    stated = {places[index]: stamps for index, stamps in options.order.items()}
    if options.level in _SNAPSHOTS:
        if any(len(stamps) != 2 for stamps in stated.values()):
            raise BadHistory("snapshots are judged by lines of [index, start, commit]")
        stamps = {place: (row[0], row[1]) for place, row in stated.items()}
        return txn.check_stated_snapshots(history, kind, stamps, cast("txn.SnapshotLevel", options.level))
    # Of start and commit, the commit is the place in the order.
    positions = {place: row[-1] for place, row in stated.items()}
    return txn.check_stated_order(history, kind, positions, cast("txn.StatedLevel", options.level))


def _weak_transactions(level: txn.WeakLevel) -> Callable[[History, JudgeOptions], Finding]:
    return lambda history, _options: txn.check_weak(history, level)


def _bank(history: History, options: JudgeOptions) -> Finding:
    if options.total is None:
        raise errors.UsageError("a bank is judged against its total: --total N")
    return workloads.check_bank(history, total=options.total)


def check_echo(history: History) -> Finding:
    """Say whether every answer repeats what was asked: echo v → v. Complexity: O(n)."""
    echoes = [operation for operation in history.operations if operation.f == "echo" and operation.outcome == "ok"]
    count = len(history.operations)
    for echo in echoes:
        if freeze(echo.value) != freeze(echo.result):
            sentence = "an answer is not what was asked."
            return Finding(
                verdict="invalid", model="echo", explanation=sentence, witness=(echo,), blame=echo,
                operation_count=count,
            )  # fmt: skip
    verdict: Verdict = "valid" if echoes else "unknown"
    words = f"{len(echoes)} answers repeat what was asked" if echoes else "nothing was answered"
    return Finding(verdict=verdict, model="echo", explanation=words, operation_count=count)


JUDGES: Final[Mapping[str, Judge]] = {
    **{name: Judge(f"linearizability of a {name}", _linear(name)) for name in MODELS},
    "sequential": Judge(
        "one order of all, with each process's own",
        lambda h, o: weak.check_sequential(h, budget=o.budget),
    ),
    "pram": Judge("an order for each process", lambda h, o: weak.check_pram(h, budget=o.budget)),
    **{name: Judge(f"{name.replace('-', ' ')} of reads and writes", _causal(name)) for name in weak.CAUSAL_MODELS},
    "sessions": Judge("all four session guarantees", _session(*weak.GUARANTEES)),
    "session-pram": Judge("read your writes, monotonic reads and writes", _session(*weak.GUARANTEES[:3])),
    **{name: Judge("a session guarantee; several with +", _session(name)) for name in weak.GUARANTEES},
    "bounded-staleness": Judge("reads no staler than --versions or --age-ms", _staleness),
    "list-append": Judge("transactions: --level is not refuted", lambda h, o: _isolation(h, o, "list-append")),
    "rw-register": Judge("transactions: --level is not refuted", lambda h, o: _isolation(h, o, "rw-register")),
    "closed-predicate": Judge(
        "transactions with predicates: --level is not refuted", lambda h, o: _isolation(h, o, "closed-predicate")
    ),
    "list-append-exact": Judge("transactions: exact search, small", lambda h, o: _exact(h, o, "list-append")),
    "rw-register-exact": Judge("transactions: exact search, small", lambda h, o: _exact(h, o, "rw-register")),
    "list-append-stated": Judge("transactions: commit order in --order", lambda h, o: _stated(h, o, "list-append")),
    "rw-register-stated": Judge("transactions: commit order in --order", lambda h, o: _stated(h, o, "rw-register")),
    **{f"txn-{level}": Judge("read-write transactions, exact", _weak_transactions(level)) for level in txn.WEAK_LEVELS},
    "set-full": Judge("no acknowledged element is lost", lambda h, _o: workloads.check_set_full(h)),
    "set-full-linearizable": Judge("nor read late", lambda h, _o: workloads.check_set_full(h, linearizable=True)),
    "unique-ids": Judge("no id is handed out twice", lambda h, _o: workloads.check_unique_ids(h)),
    "counter-bounds": Judge("totals within what was added", lambda h, _o: workloads.check_counter(h)),
    "total-queue": Judge("what goes in comes out", lambda h, _o: workloads.check_total_queue(h)),
    "exactly-once-queue": Judge("and comes out once", lambda h, _o: workloads.check_total_queue(h, exactly_once=True)),
    "bank": Judge("all accounts hold --total together", _bank),
    "long-fork": Judge("reads of a group are in a line", lambda h, _o: workloads.check_long_fork(h)),
    "causal-reverse": Judge("later inserts do not overtake", lambda h, _o: workloads.check_causal_reverse(h)),
    "kafka": Judge("logs keep messages and order", lambda h, _o: workloads.check_kafka(h)),
    "echo": Judge("answers repeat what was asked", lambda h, _o: check_echo(h)),
}
"""The judges that a command line can name."""
