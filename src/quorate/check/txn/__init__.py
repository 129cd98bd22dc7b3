"""Transactions: which isolation levels a history refutes, and by which anomaly."""

from quorate.check.txn.anomalies import Anomaly, Isolation, finding_of
from quorate.check.txn.exact import ExactLevel, check_exactly
from quorate.check.txn.levels import LEVEL_NAMES, level_named, shows
from quorate.check.txn.list_append import check_list_append
from quorate.check.txn.predicates import check_closed_predicate
from quorate.check.txn.rw_register import check_rw_register
from quorate.check.txn.stated import StatedLevel, check_stated_order
from quorate.check.txn.stated_snapshots import SnapshotLevel, check_stated_snapshots
from quorate.check.txn.transactions import Kind, Transaction
from quorate.check.txn.weak import WEAK_LEVELS, WeakLevel, check_weak

__all__ = [
    "LEVEL_NAMES",
    "WEAK_LEVELS",
    "Anomaly",
    "ExactLevel",
    "Isolation",
    "Kind",
    "SnapshotLevel",
    "StatedLevel",
    "Transaction",
    "WeakLevel",
    "check_closed_predicate",
    "check_exactly",
    "check_list_append",
    "check_rw_register",
    "check_stated_order",
    "check_stated_snapshots",
    "check_weak",
    "finding_of",
    "level_named",
    "shows",
]
