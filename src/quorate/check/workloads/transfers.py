"""Bank, long fork, causal reverse: small transactional workloads whose errors show without any search.

Source: the workloads of the Jepsen tests of the same names.
"""

from bisect import bisect_left
from collections.abc import Hashable, Iterable
from itertools import pairwise

from quorate.check.finding import Finding
from quorate.check.history import BadHistory, History, Operation, freeze
from quorate.check.workloads.answers import few, invalid, operations_of, unknown, valid


def check_bank(history: History | Iterable[Operation], *, total: int, allow_negative: bool = False) -> Finding:
    """Say whether every read of all accounts shows the same total: read → {account: balance}.

    Complexity: O(n × accounts).
    """
    operations = operations_of(history)
    reads = [o for o in operations if o.f == "read" and o.outcome == "ok"]
    if not reads:
        return unknown("bank", "no accounts were read", len(operations))
    accounts = sorted(reads[0].result) if isinstance(reads[0].result, dict) else []
    for read in reads:
        balances = read.result
        if not isinstance(balances, dict) or not all(isinstance(value, int) for value in balances.values()):
            raise BadHistory(f"a read of a bank needs an object of whole balances as its answer: {read}")
        if sorted(balances) != accounts:
            sentence = f"a read shows the accounts {few(sorted(balances))}, an earlier one {few(accounts)}."
            return invalid("bank", sentence, [reads[0], read], len(operations))
        if sum(balances.values()) != total:
            sentence = f"the accounts hold {sum(balances.values())} together, and should always hold {total}."
            return invalid("bank", sentence, [read], len(operations))
        if not allow_negative and min(balances.values(), default=0) < 0:
            return invalid("bank", "an account is below zero.", [read], len(operations))
    return valid("bank", f"{len(reads)} reads all show {total}", len(operations))


def check_long_fork(history: History | Iterable[Operation]) -> Finding:
    """Say whether all reads of one group of keys can be put in a line: read → {key: value or null}; write once per key.

    Two reads that each see a write which the other misses saw two writes in different orders, which snapshot isolation
    forbids (parallel snapshot isolation does not).

    Complexity: O(n log n × keys in a group).
    """
    operations = operations_of(history)
    groups: dict[Hashable, list[tuple[frozenset[str], Operation]]] = {}
    for read in operations:
        if read.f != "read" or read.outcome != "ok":
            continue
        if not isinstance(read.result, dict):
            raise BadHistory(f"a read of a group needs an object of keys and values as its answer: {read}")
        seen = frozenset(key for key, value in read.result.items() if value is not None)
        groups.setdefault(tuple(sorted(read.result)), []).append((seen, read))
    for rows in groups.values():
        # In a line every read holds all that smaller ones hold.
        rows.sort(key=lambda row: (len(row[0]), row[1].call))
        for (less, one), (more, other) in pairwise(rows):
            if not less <= more:
                sentence = (
                    f"one read sees {few(sorted(less - more))} without {few(sorted(more - less))}, another the reverse."
                )
                return invalid("long-fork", sentence, [one, other], len(operations))
    if not groups:
        return unknown("long-fork", "no group was read", len(operations))
    return valid("long-fork", f"the reads of {len(groups)} groups are in line", len(operations))


def check_causal_reverse(history: History | Iterable[Operation]) -> Finding:
    """Say whether a read that sees a write also sees all that were answered before it was called.

    write v, each v once; read → list of all values. Strict serializability forbids a later write without an earlier
    one; serializability alone does not.

    Complexity: O(n log n + values read).
    """
    operations = operations_of(history)
    writes = {freeze(o.value): o for o in operations if o.f == "write" and o.outcome != "fail"}
    answered = sorted((o for o in writes.values() if o.outcome == "ok"), key=lambda o: o.done)
    dones = [o.done for o in answered]
    for read in operations:
        if read.f != "read" or read.outcome != "ok":
            continue
        if not isinstance(read.result, list | tuple):
            raise BadHistory(f"a read of all values needs a list as its answer: {read}")
        seen = dict.fromkeys(freeze(value) for value in read.result)
        known = [writes[value] for value in seen if value in writes]
        if len(known) < len(seen):
            nobody = [value for value in seen if value not in writes]
            return invalid("causal-reverse", f"nobody wrote the {few(nobody)} that was read.", [read], len(operations))
        latest = max(known, key=lambda o: o.call, default=None)
        if latest is None:
            continue
        missing = [o for o in answered[: bisect_left(dones, latest.call)] if freeze(o.value) not in seen]
        if missing:
            sentence = f"a read sees {few([latest.value])} without {few([missing[0].value])}, which had been answered"
            sentence += " before the other was called."
            return invalid("causal-reverse", sentence, [missing[0], latest, read], len(operations))
    return valid("causal-reverse", "no read sees a later write without an earlier one", len(operations))
