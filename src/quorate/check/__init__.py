"""The judges: histories, models, checkers, explorer. Pure: texts and values in, findings out."""

from quorate.check import explore, formats, models, txn, weak, workloads
from quorate.check.finding import BUDGET_DEFAULT, Finding, Verdict
from quorate.check.generate import Recipe, generate
from quorate.check.history import (
    NEVER,
    BadHistory,
    Event,
    History,
    Operation,
    format_event,
    freeze,
    parse_event,
    show,
    thaw,
)
from quorate.check.linear import Stream, brute_force, check, check_stream
from quorate.check.models import MODELS, Model, ModelError, model_named
from quorate.check.summary import BUDGET_ALL, refutes

__all__ = [
    "BUDGET_ALL",
    "BUDGET_DEFAULT",
    "MODELS",
    "NEVER",
    "BadHistory",
    "Event",
    "Finding",
    "History",
    "Model",
    "ModelError",
    "Operation",
    "Recipe",
    "Stream",
    "Verdict",
    "brute_force",
    "check",
    "check_stream",
    "explore",
    "format_event",
    "formats",
    "freeze",
    "generate",
    "model_named",
    "models",
    "parse_event",
    "refutes",
    "show",
    "thaw",
    "txn",
    "weak",
    "workloads",
]
