"""Read committed, read atomic and causal transactions: each with a refuted history, a near miss, and all commit orders."""

import itertools
import random

import pytest

from quorate.check import Operation
from quorate.check.history import NEVER
from quorate.check.txn import WEAK_LEVELS, check_rw_register, check_weak
from quorate.check.txn.transactions import parse
from quorate.check.txn.weak import _Judge


def txn(process, place, *steps, outcome="ok"):
    asked = [[f, key, None if f == "r" else value] for f, key, value in steps]
    return Operation(
        process=process, f="txn", value=asked, result=[list(step) for step in steps] if outcome == "ok" else None,
        outcome=outcome, call=2 * place, done=NEVER if outcome == "info" else 2 * place + 1,
    )  # fmt: skip


def rows(*sessions):
    """Sessions of transactions; each transaction is a list of steps."""
    found = []
    for process, session in enumerate(sessions):
        found += [txn(process, len(found) + place, *steps) for place, steps in enumerate(session)]
    return found


def w(key, value):
    return ("w", key, value)


def r(key, value=None):
    return ("r", key, value)


PAIRS = [
    ("read-committed", "an aborted value",
     [txn(1, 0, w("x", 1), outcome="fail"), txn(2, 1, r("x", 1))],
     [txn(1, 0, w("x", 1), outcome="info"), txn(2, 1, r("x", 1))]),
    ("read-committed", "a value from the middle",
     rows([[w("x", 1), w("x", 2)]], [[r("x", 1)]]),
     rows([[w("x", 1), w("x", 2)]], [[r("x", 2)]])),
    ("read-committed", "goes back behind a transaction that it has read from",
     rows([[w("x", 1), w("y", 1)]], [[r("y", 1), r("x")]]),
     rows([[w("x", 1), w("y", 1)]], [[r("x"), r("y", 1)]])),
    ("read-committed", "its own write unread",
     rows([[w("x", 1), r("x")]]),
     rows([[w("x", 1), r("x", 1)]])),
    ("read-atomic", "half of a transaction",
     rows([[w("x", 1), w("y", 1)]], [[r("x"), r("y", 1)]]),
     rows([[w("x", 1), w("y", 1)]], [[r("x", 1), r("y", 1)]])),
    ("read-atomic", "a read that does not repeat",
     rows([[w("x", 1)]], [[r("x"), r("x", 1)]]),
     rows([[w("x", 1)]], [[r("x", 1), r("x", 1)]])),
    ("read-atomic", "the session's own past unread",
     rows([[w("x", 1)], [r("x")]]),
     rows([[w("x", 1)], [r("x", 1)]])),
    ("causal", "the cause of what was read is missing",
     rows([[w("x", 1)]], [[r("x", 1), w("y", 1)]], [[r("y", 1)], [r("x")]]),
     rows([[w("x", 1)]], [[r("x", 1), w("y", 1)]], [[r("y", 1)], [r("x", 1)]])),
]  # fmt: skip


@pytest.mark.parametrize(("level", "claim", "bad", "good"), PAIRS, ids=[pair[1] for pair in PAIRS])
def test_a_level_is_refuted_and_its_near_miss_is_not(level, claim, bad, good):
    finding = check_weak(bad, level)
    assert finding.verdict == "invalid"
    assert finding.blame in finding.witness
    assert check_weak(good, level).verdict == "valid"
    # A level above a refuted one is refuted too.
    for stronger in WEAK_LEVELS[WEAK_LEVELS.index(level) :]:
        assert check_weak(bad, stronger).verdict == "invalid"


def test_levels_differ_where_they_should():
    fractured, acausal = PAIRS[4][2], PAIRS[7][2]
    assert check_weak(fractured, "read-committed").is_valid
    assert check_weak(acausal, "read-atomic").is_valid


def test_values_written_twice_are_unknown():
    assert check_weak(rows([[w("x", 1)]], [[w("x", 1)]]), "causal").verdict == "unknown"


def draw(seed):
    rng = random.Random(seed)
    values, sessions = {"x": [None], "y": [None]}, [[] for _ in range(rng.randrange(1, 4))]
    for number in range(rng.randrange(2, 6)):
        steps, mine = [], {}
        for turn in range(rng.randrange(1, 4)):
            key = rng.choice("xy")
            if key in mine:
                steps.append(r(key, mine[key]))
            elif rng.random() < 0.4:
                mine[key] = 10 * number + turn
                steps.append(w(key, mine[key]))
            else:
                steps.append(r(key, rng.choice(values[key][-3:])))
        for key, value in mine.items():
            values[key].append(value)
        rng.choice(sessions).append(steps)
    return rows(*sessions)


def brute(history, level):
    """Try every commit order against the axioms as they are written."""
    size = len(history)
    writes = [{k: v for f, k, v in o.result if f == "w"} for o in history]
    writer = {(k, v): n for n, row in enumerate(writes) for k, v in row.items()}
    reads = []
    for n, o in enumerate(history):
        own = set()
        for place, (f, k, v) in enumerate(o.result):
            if f == "w":
                own.add(k)
            elif k not in own:
                reads.append((n, place, k, -1 if v is None else writer[k, v]))
    if level != "read-committed":
        first = {}
        if any(first.setdefault((n, k), source) != source for n, _, k, source in reads):
            return False
    so = {(a, b) for a in range(size) for b in range(a + 1, size) if history[a].process == history[b].process}
    wr = {(source, n) for n, _, _, source in reads if source >= 0}
    past = so | wr
    if level == "causal":
        while True:
            more = {(a, d) for a, b in past for c, d in past if b == c} | past
            if more == past:
                break
            past = more
    demands = {(-1, n) for n in range(size)} | so | wr
    for n, place, key, source in reads:
        for other in range(size):
            if other in (source, n) or key not in writes[other]:
                continue
            if level == "read-committed":
                is_seen = any(m == n and at < place and s == other for m, at, _, s in reads)
            else:
                is_seen = (other, n) in past
            if is_seen:
                demands.add((other, source))
    for order in itertools.permutations(range(size)):
        at = {n: p for p, n in enumerate(order)} | {-1: -1}
        if all(at[a] < at[b] for a, b in demands):
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("level", WEAK_LEVELS)
def test_verdicts_agree_with_all_commit_orders(level):
    refuted = 0
    for seed in range(200):
        history = draw(seed)
        expected = brute(history, level)
        assert check_weak(history, level).is_valid == expected, seed
        refuted += not expected
    assert 5 < refuted < 195


@pytest.mark.slow
def test_what_is_serializable_in_sessions_is_weaker_too():
    """Serializable in the order of the sessions implies causal, read atomic and read committed."""
    count = 0
    for seed in range(300):
        history = draw(seed)
        if "strong-session-serializable" in check_rw_register(history).not_refuted:
            count += 1
            assert all(check_weak(history, level).is_valid for level in WEAK_LEVELS), seed
    assert count > 10


class Quadratic(_Judge):
    """The axioms written out, every pair of reads: what the fast walk must agree with."""

    def _demands(self, level, order):
        past = self.past(order)
        for number, reads in enumerate(self.reads):
            earlier = {}
            sources = dict.fromkeys(source for _, source in reads if source is not None)
            for key, source in reads:
                for other in earlier if level == "read-committed" else sources:
                    if other != source and key in self.last_writes[other]:
                        yield number, key, source, other
                if source is not None:
                    earlier[source] = None
                if level == "causal":
                    others = past[number]
                elif level == "read-atomic":
                    session, place = self.places[number]
                    others = self.sessions[session][:place]
                else:
                    others = ()
                for other in others:
                    if other != source and key in self.last_writes[other]:
                        yield number, key, source, other

    def past(self, order):
        """Return of each transaction all that is causally before it."""
        found = {}
        for number in order:
            session, place = self.places[number]
            direct = {source for _, source in self.reads[number] if source is not None}
            direct |= {self.sessions[session][place - 1]} if place else set()
            found[number] = direct.union(*(found[other] for other in direct))
        return found


def draw_wide(seed):
    """Transactions of many reads, most of the newest values, some read twice."""
    rng = random.Random(seed)
    keys = "abcdefgh"[: rng.randrange(2, 9)]
    versions, sessions, fresh = {key: [None] for key in keys}, [[] for _ in range(4)], itertools.count(1)
    for _ in range(rng.randrange(4, 25)):
        written = {key: next(fresh) for key in keys if rng.random() < 0.4}
        reads = [r(key, rng.choice(versions[key][-2:])) for key in rng.choices(keys, k=rng.randrange(7))]
        if rng.random() < 0.7:
            reads = [r(key, {k: v for _, k, v in reads}[key]) for _, key, _ in reads]
        rng.choice(sessions).append(reads + [w(key, value) for key, value in written.items()])
        for key, value in written.items():
            versions[key].append(value)
    return rows(*sessions)


@pytest.mark.slow
@pytest.mark.parametrize("level", WEAK_LEVELS)
def test_the_fast_walk_agrees_with_every_pair_of_reads(level):
    refuted = 0
    for seed in range(1200):
        history = draw_wide(seed)
        sentence, members = Quadratic(parse(history, "rw-register")).run(level)
        assert sentence is None or members
        assert check_weak(history, level).is_valid == (sentence is None), seed
        refuted += sentence is not None
    assert 200 < refuted < 1190, refuted


def test_of_three_reads_of_a_key_the_first_of_somebody_else_is_ordered():
    """T1 is read from, then x as T1 left it, then x as T2 left it, though T1 follows T2 in their session."""
    history = rows([[w("x", 2)], [w("x", 1), w("y", 1)]], [[r("y", 1), r("x", 1), r("x", 2)]])
    assert check_weak(history, "read-committed").verdict == "invalid"
    forward = rows([[w("x", 1), w("y", 1)], [w("x", 2)]], [[r("y", 1), r("x", 1), r("x", 2)]])
    assert check_weak(forward, "read-committed").is_valid
