"""Which consistency models does a history refute? One table, the strongest models first."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from quorate.check.finding import Finding
from quorate.check.history import History, Operation
from quorate.check.linear import check
from quorate.check.txn import LEVEL_NAMES, check_closed_predicate, check_list_append, check_rw_register, finding_of
from quorate.check.weak import CAUSAL_MODELS, GUARANTEES, check_causal, check_pram, check_sequential, check_sessions

# Steps of search for each model: all of them together end within seconds.
BUDGET_ALL: Final = 200_000

# Model → those that it implies directly.
IMPLIED: Final[Mapping[str, tuple[str, ...]]] = {
    "linearizable": ("sequential",),
    "sequential": ("causal-memory", "causal-convergence"),
    "causal-memory": ("causal", "pram"),
    "causal-convergence": ("causal", "sessions"),
    "causal": (),
    "pram": (),
    "sessions": ("session-pram", "writes-follow-reads"),
    "session-pram": ("read-your-writes", "monotonic-reads", "monotonic-writes"),
}

# Guarantees that are judged together: what one says of the versions of a key helps the others.
_TOGETHER: Final[Mapping[str, tuple[str, ...]]] = {
    "session-pram": IMPLIED["session-pram"],
    "sessions": GUARANTEES,
}


def refutes(history: History | Iterable[Operation], *, budget: int = BUDGET_ALL) -> dict[str, Finding]:
    """Return a finding for each consistency model that the history can speak about.

    A history of reads and writes is judged by the models of single operations, one of transactions by isolation levels.
    `invalid` means refuted; `valid` means not refuted by this history, which proves nothing about the system; `unknown`
    that the budget was spent. Cheap models are judged first; a model above a refuted one is refuted without a search,
    and one below a model that holds is not searched either.

    Args:
        history: operations named read, write, get, put, or all named txn (the first one may be init, for predicates).
        budget: steps of search for each model.

    Complexity: that of the dearest checker, bounded by the budget.
    """
    operations = history.operations if isinstance(history, History) else tuple(history)
    if operations and all(operation.f in {"txn", "init"} for operation in operations):
        return _judge_transactions(operations)
    found: dict[str, Finding] = {name: check_sessions(operations, [name]) for name in GUARANTEES}
    for model, guarantees in _TOGETHER.items():
        found[model] = _above(found, model) or msgspec.structs.replace(
            check_sessions(operations, guarantees), model=model
        )
    for model in CAUSAL_MODELS[:2]:
        found[model] = check_causal(operations, model, budget=budget)
    if not any(finding.verdict == "invalid" for finding in found.values()):
        # Judged key by key, it is cheaper than what it implies; if it holds, nothing is left to search.
        found["linearizable"] = check(operations, "kv", budget=budget)
    if "linearizable" in found and found["linearizable"].verdict == "valid":
        for name in ("sequential", "causal-memory", "pram"):
            found[name] = _below(found["linearizable"], "linearizable", name)
    else:
        found["pram"] = check_pram(operations, budget=budget)
        found["causal-memory"] = _above(found, "causal-memory") or check_causal(
            operations, "causal-memory", budget=budget
        )
        found["sequential"] = _above(found, "sequential") or check_sequential(operations, budget=budget)
        known = found.get("linearizable")
        if known is None or known.verdict == "unknown":
            found["linearizable"] = _above(found, "linearizable") or known or check(operations, "kv", budget=budget)
    _spread_down(found)
    order = [*IMPLIED, *GUARANTEES]
    return {name: found[name] for name in order}


def _above(found: Mapping[str, Finding], model: str) -> Finding | None:
    """Return the refutation that a weaker model hands up, if there is one."""
    for weaker in IMPLIED[model]:
        if weaker in found and found[weaker].verdict == "invalid":
            sentence = f"{weaker}, which it implies, is refuted: {found[weaker].explanation}"
            return msgspec.structs.replace(found[weaker], model=model, explanation=sentence, budget_spent=0)
    return None


def _spread_down(found: dict[str, Finding]) -> None:
    """Let what holds speak for weaker models that could not be decided."""
    for stronger, weaker_names in IMPLIED.items():
        for weaker in weaker_names:
            if found[stronger].verdict == "valid" and found[weaker].verdict == "unknown":
                found[weaker] = _below(found[stronger], stronger, weaker)


def _below(finding: Finding, stronger: str, weaker: str) -> Finding:
    """Return the finding of a model that another implies which holds."""
    return msgspec.structs.replace(
        finding, model=weaker, explanation=f"{stronger} holds and implies it", budget_spent=0
    )


def _judge_transactions(operations: tuple[Operation, ...]) -> dict[str, Finding]:
    steps = [step[0] for o in operations if isinstance(o.value, list | tuple) for step in o.value if step]
    if "append" in steps:
        isolation = check_list_append(operations)
    elif any(f in steps for f in ("rp", "insert", "delete")):
        isolation = check_closed_predicate(operations)
    else:
        isolation = check_rw_register(operations)
    return {name: finding_of(isolation, name) for name in reversed(LEVEL_NAMES)}
