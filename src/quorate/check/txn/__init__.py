"""Transactions: which isolation levels a history refutes, and by which anomaly."""

from quorate.check.txn.anomalies import Anomaly, Isolation
from quorate.check.txn.exact import check_exactly
from quorate.check.txn.levels import LEVEL_NAMES, level_named, shows
from quorate.check.txn.list_append import check_list_append
from quorate.check.txn.rw_register import check_rw_register
from quorate.check.txn.stated import check_stated_order
from quorate.check.txn.transactions import Transaction
from quorate.check.txn.weak import WEAK_LEVELS, check_weak

__all__ = [
    "LEVEL_NAMES",
    "WEAK_LEVELS",
    "Anomaly",
    "Isolation",
    "Transaction",
    "check_exactly",
    "check_list_append",
    "check_rw_register",
    "check_stated_order",
    "check_weak",
    "level_named",
    "shows",
]
