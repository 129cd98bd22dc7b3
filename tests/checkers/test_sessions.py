"""Session guarantees together: over all keys against their definition, with time, and beside the causal models."""

import itertools
import random

import pytest

from quorate.check import Operation, refutes
from quorate.check.weak import GUARANTEES, check_causal, check_sessions
from quorate.check.weak.memory import acyclic_order, find_cycle

RYW, MR, MW, WFR = GUARANTEES


def rows(*steps):
    """Steps (process, "w" or "r", key, value), one after another."""
    return [
        Operation(
            process=process, f="write" if f == "w" else "read", key=key, value=value if f == "w" else None,
            result=value if f == "r" else None, call=2 * place, done=2 * place + 1,
        )
        for place, (process, f, key, value) in enumerate(steps)
    ]  # fmt: skip


BACKWARDS = rows((1, "w", "x", 1), (1, "w", "x", 3), (2, "r", "x", 3), (2, "r", "x", 1))


def test_reads_that_go_back_break_monotonic_reads_only_if_the_versions_are_known_to_be_ordered():
    assert check_sessions(BACKWARDS, [MR]).is_valid
    assert not check_sessions(BACKWARDS, [MR, MW]).is_valid
    finding = check_sessions(BACKWARDS, [MR], versions_by_time=True)
    assert finding.verdict == "invalid"
    assert {str(o.value or o.result) for o in finding.witness} == {"1", "3"}


def test_time_orders_only_what_did_not_overlap():
    apart = rows((1, "w", "x", 1), (2, "w", "x", 3), (3, "r", "x", 3), (3, "r", "x", 1))
    assert check_sessions(apart).is_valid
    assert not check_sessions(apart, [MR], versions_by_time=True).is_valid
    first, second, *reads = apart
    together = [
        Operation(process=1, f="write", key="x", value=1, call=0, done=3),
        Operation(process=2, f="write", key="x", value=3, call=1, done=2),
        *reads,
    ]
    assert check_sessions(together, [MR], versions_by_time=True).is_valid
    assert first.key == second.key


def test_what_a_session_wrote_to_another_key_before_is_seen_too_across_keys():
    missing = rows((1, "w", "x", 1), (1, "w", "y", 1), (2, "r", "y", 1), (2, "r", "x", None))
    for chosen, refutes_it in (([MR, MW], True), ([MW, RYW], False), ([MR, RYW], False)):
        assert check_sessions(missing, chosen, across_keys=True).is_valid != refutes_it
    assert check_sessions(missing).is_valid, "key by key nothing is missed"
    finding = check_sessions(missing, [MR, MW], across_keys=True)
    assert finding.blame.key == "x"
    seen = rows((1, "w", "x", 1), (1, "w", "y", 1), (2, "r", "x", None), (2, "r", "y", 1))
    assert check_sessions(seen, across_keys=True).is_valid


def test_what_is_not_judged_across_keys_is_unknown():
    assert check_sessions(BACKWARDS, [WFR, MR], across_keys=True).verdict == "unknown"


def test_the_summary_judges_guarantees_together_too():
    found = refutes(BACKWARDS)
    assert {found[name].verdict for name in GUARANTEES} == {"valid"}
    assert found["session-pram"].verdict == found["sessions"].verdict == "invalid"


def draw(seed):
    rng = random.Random(seed)
    written, steps = {"x": [None], "y": [None]}, []
    for value in range(1, rng.randrange(5, 10)):
        key, is_write = rng.choice("xy"), rng.random() < 0.5
        seen = rng.choice(written[key][-2:])
        steps.append((rng.randrange(3), "w" if is_write else "r", key, value if is_write else seen))
        if is_write:
            written[key].append(value)
    return steps


def holds(steps, guarantees):
    """Find the least sets of visible writes, then try every order of all writes."""
    writes = [place for place, step in enumerate(steps) if step[1] == "w"]
    source = {
        place: next((w for w in writes if steps[w][2:] == step[2:]), None)
        for place, step in enumerate(steps)
        if step[1] == "r"
    }
    sees = {place: {s} - {None} for place, s in source.items()}
    pulls = {w: set() for w in writes}
    before = set()
    for a, b in itertools.combinations(range(len(steps)), 2):
        if steps[a][0] != steps[b][0]:
            continue
        if a in pulls and b in pulls and MW in guarantees:
            pulls[b].add(a)
            before.add((a, b))
        if a in source and b in pulls and WFR in guarantees and source[a] is not None:
            pulls[b].add(source[a])
            before.add((source[a], b))
    for _ in steps:
        for r in source:
            for a in range(r):
                if steps[a][0] == steps[r][0]:
                    sees[r] |= {a} if a in pulls and RYW in guarantees else set()
                    sees[r] |= sees[a] if a in source and MR in guarantees else set()
            for w in list(sees[r]):
                sees[r] |= pulls[w]
    for order in itertools.permutations(writes):
        at = {w: place for place, w in enumerate(order)}
        if all(at[a] < at[b] for a, b in before) and all(
            max((w for w in sees[r] if steps[w][2] == steps[r][2]), key=at.get, default=None) == s
            for r, s in source.items()
        ):
            return True
    return False


@pytest.mark.slow
def test_guarantees_across_keys_agree_with_their_definition():
    sets = [[MW], [MW, RYW], [MW, MR], [MW, WFR], [MW, WFR, RYW], [RYW, MR, MW], [RYW, MR], list(GUARANTEES)]
    counts = dict.fromkeys(map(tuple, sets), 0)
    for seed in range(500):
        steps = draw(seed)
        for chosen in sets:
            expected = holds(steps, chosen)
            assert check_sessions(rows(*steps), chosen, across_keys=True).is_valid == expected, (seed, chosen)
            counts[tuple(chosen)] += not expected
    assert counts[tuple(GUARANTEES)] >= counts[RYW, MR, MW] > counts[MW, RYW] > counts[MW, MR] > counts[MW,] == 0, (
        counts
    )


@pytest.mark.slow
def test_all_four_guarantees_across_keys_are_causal_convergence():
    refuted = 0
    for seed in range(2000):
        history = rows(*draw(seed))
        expected = check_causal(history, "causal-convergence").is_valid
        assert check_sessions(history, across_keys=True).is_valid == expected, seed
        assert not expected or check_sessions(history).is_valid, "key by key is weaker"
        refuted += not expected
    assert 200 < refuted < 1800


@pytest.mark.slow
def test_any_guarantees_key_by_key_agree_with_their_definition():
    sets = [list(chosen) for size in range(1, 5) for chosen in itertools.combinations(GUARANTEES, size)]
    refuted = 0
    for seed in range(150):
        steps = draw(seed)
        for chosen in sets:
            expected = all(holds([step for step in steps if step[2] == key], chosen) for key in "xy")
            assert check_sessions(rows(*steps), chosen).is_valid == expected, (seed, chosen)
            refuted += not expected
    assert refuted > 100


def test_all_own_writes_are_older_than_what_is_read_though_writes_are_not_monotonic():
    """One session writes 1 and 3 and reads 3 and then 1: whichever is newer, one of its reads missed it."""
    back = rows((1, "w", "x", 1), (1, "w", "x", 3), (1, "r", "x", 3), (1, "r", "x", 1))
    assert not check_sessions(back, [RYW]).is_valid
    assert check_sessions(back[:3], [RYW]).is_valid
    assert check_sessions([*back[:2], back[3]], [RYW]).is_valid


def test_a_witness_is_a_short_cycle():
    """Long sessions, and two that disagree on two versions: nobody wants to read the rest."""
    long = [(1, "w", "x", n) for n in range(1, 40)]
    swap = [(2, "r", "x", 30), (2, "r", "x", 7)]
    finding = check_sessions(rows(*long, *swap), [MR], versions_by_time=True)
    assert {o.value or o.result for o in finding.witness} == {7, 30}
    finding = check_sessions(rows(*long, (1, "r", "x", 3)))
    assert finding.verdict == "invalid"


@pytest.mark.slow
def test_cycles_are_real_and_short():
    for seed in range(300):
        rng = random.Random(seed)
        size = rng.randrange(2, 12)
        edges = [dict.fromkeys(n for n in range(size) if n != m and rng.random() < 0.3) for m in range(size)]
        if acyclic_order(edges) is None:
            cycle = find_cycle(edges)
            assert len(set(cycle)) == len(cycle)
            assert all(after in edges[node] for node, after in itertools.pairwise([*cycle, cycle[0]]))
            assert len(cycle) == len(shortest(edges, cycle[0]))


def shortest(edges, start):
    layer, seen = [[start]], set()
    while layer:
        following = []
        for path in layer:
            for target in edges[path[-1]]:
                if target == start:
                    return path
                if target not in seen:
                    seen.add(target)
                    following.append([*path, target])
        layer = following
    return None
