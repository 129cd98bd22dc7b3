"""The explorer: counts, counterexamples, loops, faults, pictures; reductions against brute force."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from quorate.check.explore import (
    Choice,
    Cluster,
    Example,
    Scope,
    Search,
    Still,
    System,
    TwoPhaseCommit,
    TwoProcessConsensus,
    agrees,
    always,
    canonical,
    draw_html,
    draw_text,
    eventually,
    explore,
    is_consistent,
    is_decided,
    replay,
    rows_of,
    sometimes,
    walk,
    walk_by_coverage,
    walk_by_priority,
)
from quorate.kernel import (
    Call,
    Called,
    Deliver,
    Duration,
    Machine,
    Message,
    NodeId,
    Output,
    Persist,
    Received,
    Record,
    Send,
    SetTimer,
    Started,
    TimerFired,
)


class Counters(System[tuple[int, ...], int]):
    """Independent counters, each from 0 to a limit: (limit + 1) ** count states."""

    def __init__(self, count, limit, loops=False):
        self.count, self.limit, self.loops = count, limit, loops

    def initial(self):
        return [(0,) * self.count]

    def choices(self, state) -> Sequence[int]:
        return [place for place, value in enumerate(state) if value < self.limit or self.loops]

    def take(self, state, choice):
        value = (state[choice] + 1) % (self.limit + 1)
        return (*state[:choice], value, *state[choice + 1 :])

    def is_independent(self, one, other):
        return one != other


@pytest.mark.parametrize("order", ["breadth", "depth"])
def test_states_and_edges_are_counted_exactly(order):
    result = explore(Counters(3, 3), order=order)
    assert (result.state_count, result.edge_count, result.depth, result.final_count) == (64, 144, 9, 1)
    assert result.is_complete


def test_sleep_sets_visit_every_state_over_fewer_edges():
    result = explore(Counters(3, 3), order="depth", sleep_sets=True)
    assert result.state_count == 64
    assert result.edge_count == 63, "with full independence every state is reached once"


class Tangle(System[tuple[int, ...], tuple[int, int]]):
    """Random guarded writes on a few cells: a choice reads one cell and writes another."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.rules = [
            (rng.randrange(4), rng.randrange(3), rng.randrange(4), rng.randrange(3)) for _ in range(rng.randrange(3, 9))
        ]

    def initial(self):
        return [(0, 0, 0, 0)]

    def choices(self, state):
        return [
            (number, 0)
            for number, (cell, wanted, target, value) in enumerate(self.rules)
            if state[cell] == wanted and state[target] != value
        ]

    def take(self, state, choice):
        _, _, target, value = self.rules[choice[0]]
        return (*state[:target], value, *state[target + 1 :])

    def is_independent(self, one, other):
        a, b = self.rules[one[0]], self.rules[other[0]]
        # Neither writes what the other reads or writes (its guard looks at its target too).
        return a[2] not in (b[0], b[2]) and b[2] not in (a[0], a[2])


def test_sleep_sets_agree_with_brute_force_on_random_systems():
    for seed in range(150):
        plain = explore(Tangle(seed))
        reduced = explore(Tangle(seed), order="depth", sleep_sets=True)
        assert (plain.state_count, plain.final_count) == (reduced.state_count, reduced.final_count), seed


def test_breadth_first_gives_a_shortest_counterexample_that_replays():
    claim = always("small", lambda state: sum(state) < 4)
    system = Counters(3, 3)
    result = explore(system, [claim])
    example = result.counterexamples["small"]
    assert len(example.choices) == 4
    assert sum(replay(system, example)[-1]) == 4
    with pytest.raises(ValueError, match="choice 0 is not possible"):
        replay(system, Example(0, (7,)))


def test_a_sometimes_that_never_comes_refutes_only_a_complete_search():
    claim = sometimes("far", lambda state: sum(state) == 99)
    assert "far" in explore(Counters(2, 2), [claim]).counterexamples
    assert explore(Counters(2, 2), [claim], state_count_max=3).undecided == ("far",)
    assert explore(Counters(2, 2), [claim], depth_max=1).undecided == ("far",)


def test_a_search_goes_on_from_a_checkpoint():
    whole = explore(Counters(3, 4))
    first = Search(Counters(3, 4))
    assert not first.run(state_count_max=20).is_complete
    second = Search(Counters(3, 4))
    second.restore(first.checkpoint())
    assert second.run() == whole


def test_progress_is_told():
    told = []
    explore(Counters(3, 10), progress=told.append)
    assert told[-1].state_count == 1331
    assert told[-1].frontier_count == 0
    assert [p.state_count for p in told] == sorted(p.state_count for p in told)


def test_eventually_sees_ends_and_loops():
    """The counter pair ends at (2, 2), so it passes (1, 1) on some runs only; with loops it need not pass it ever."""
    assert explore(Counters(2, 2), [eventually("full", lambda s: s == (2, 2))]).holds
    short = explore(Counters(2, 2), [eventually("even", lambda s: s == (1, 1))]).counterexamples["even"]
    assert short.loop is None
    endless = explore(Counters(2, 2, loops=True), [eventually("even", lambda s: s == (1, 1))])
    assert endless.counterexamples["even"].loop is not None


def test_a_loop_is_a_counterexample_only_if_it_is_fair():
    """Two counters that go round: a run that never moves the first one is no excuse."""
    fair = explore(Counters(2, 1, loops=True), [eventually("first moved", lambda s: s[0] == 1)])
    assert fair.holds


def test_a_lasso_closes():
    system = Counters(2, 2, loops=True)
    example = explore(system, [eventually("even", lambda s: s == (1, 1))]).counterexamples["even"]
    states = replay(system, example)
    assert states[example.loop] == states[-1]
    assert not any(state == (1, 1) for state in states)
    assert set(example.choices[example.loop :]) == {0, 1}, "both counters move in the loop"


def test_random_walks_find_shallow_bugs_and_count_what_they_saw():
    claims = [always("small", lambda s: sum(s) < 4), sometimes("one", lambda s: sum(s) == 1)]
    for found in (
        walk(Counters(3, 3), claims, random.Random(1), walk_count=5, step_count_max=9),
        walk_by_priority(Counters(3, 3), claims, random.Random(1), walk_count=5, step_count_max=9, depth=2),
    ):
        assert sum(replay(Counters(3, 3), found.counterexamples["small"])[-1]) == 4
        assert found.seen == {"one": 5}


class Rare(System[tuple[int, int], int]):
    """Lane 0 must take all its eight steps before lane 1 takes one: hopeless for a fair coin."""

    def initial(self):
        return [(0, 0)]

    def choices(self, state):
        return [lane for lane in (0, 1) if state[lane] < 8]

    def take(self, state, choice):
        return (state[0] + (choice == 0), state[1] + (choice == 1))

    def lane(self, choice):
        return str(choice)


def test_priorities_find_what_coins_do_not():
    claim = [always("not first", lambda state: state != (8, 0))]
    coins = walk(Rare(), claim, random.Random(3), walk_count=20, step_count_max=16)
    priorities = walk_by_priority(Rare(), claim, random.Random(3), walk_count=20, step_count_max=16, depth=1)
    assert not coins.counterexamples
    assert priorities.counterexamples


# A tiny protocol: node 1 sends a number that it must write down first; node 2 answers.


class Note(Record, frozen=True, gc=False, tag=True):
    number: int


class Number(Message, frozen=True, gc=False, tag=True):
    number: int


class Begin(Call, frozen=True, gc=False, tag=True):
    number: int


class Heard(Output, frozen=True, gc=False, tag=True):
    number: int


class Writer(Machine):
    def __init__(self, node, records):
        super().__init__()
        self.node = node
        self.number = records[-1].number if records else 0

    def _on_event(self, event):
        match event:
            case Started():
                self._emit(SetTimer("again", Duration(5)))
            case Called(Begin(number)):
                self.number = number
                self._emit(Persist((Note(number),)))
                self._emit(Send(NodeId(2), Number(number)))
            case Received(_, Number(number)):
                self._emit(Deliver(Heard(number)))
            case TimerFired("again") if self.node == 1 and self.number:
                self._emit(Send(NodeId(2), Number(self.number)))
            case _:
                pass


def pair(**scope):
    nodes = (NodeId(1), NodeId(2))
    calls = ((NodeId(1), Begin(7)),)
    return Cluster(Writer, Scope(nodes=nodes, calls=calls, **scope), observe=lambda _node, output: output.number)


def test_a_quiet_cluster_of_machines_is_counted():
    """Nothing, called, heard."""
    assert explore(pair()).state_count == 3


def test_a_message_behind_a_write_waits_for_it():
    """Nothing; called (nothing on its way yet); stable and sent; heard."""
    system = pair(is_disk_instant=False)
    assert explore(system).state_count == 4
    state = system.take(system.initial()[0], Choice("call", NodeId(1)))
    assert state.network == ()
    assert len(system.take(state, Choice("persist", NodeId(1))).network) == 1


def test_a_crash_loses_unfinished_writes_or_keeps_a_prefix():
    def forgot(state):
        node = state.nodes[0]
        return node.machine is not None and state.calls_left == () and node.machine.number == 0

    result = explore(
        pair(is_disk_instant=False, crash_count=1),
        [sometimes("forgot", forgot), always("told means written", lambda s: not s.nodes[1].seen or not forgot(s))],
    )
    assert result.holds
    kinds = [choice.kind for choice in result.reached["forgot"].choices]
    assert kinds == ["call", "crash", "restart"]


def test_losses_and_repeats_are_choices_with_counts():
    def heard(state, times):
        return state.nodes[1].seen == (7,) * times

    lossy = explore(pair(lose_count=1), [eventually("heard", lambda s: heard(s, 1))])
    assert [c.kind for c in lossy.counterexamples["heard"].choices] == ["call", "lose"]
    twice = explore(pair(repeat_count=1), [sometimes("twice", lambda s: heard(s, 2))])
    assert [c.kind for c in twice.reached["twice"].choices] == ["call", "repeat", "deliver"]
    assert "thrice" in explore(pair(repeat_count=1), [sometimes("thrice", lambda s: heard(s, 3))]).counterexamples


def test_timers_fire_as_often_as_the_scope_says_and_not_at_quiet_nodes():
    def heard(times):
        return [sometimes("heard", lambda s: len(s.nodes[1].seen) == times)]

    timers = (("again", 1),)
    assert explore(pair(timers=timers), heard(2)).reached
    assert not explore(pair(timers=timers), heard(3)).reached
    assert not explore(pair(timers=timers, quiet=(NodeId(1),)), heard(2)).reached


def test_sleep_sets_change_no_count_for_machines():
    scope = {"timers": (("again", 1),), "lose_count": 1, "crash_count": 1, "is_disk_instant": False}
    plain = explore(pair(**scope))
    reduced = explore(pair(**scope), order="depth", sleep_sets=True)
    assert plain.state_count == reduced.state_count
    assert reduced.edge_count < plain.edge_count


def test_links_that_keep_their_order_deliver_the_oldest_first():
    nodes, calls = (NodeId(1), NodeId(2)), ((NodeId(1), Begin(1)), (NodeId(1), Begin(2)))

    def heard(is_fifo):
        system = Cluster(
            Writer, Scope(nodes=nodes, calls=calls, is_fifo=is_fifo), observe=lambda _node, output: output.number
        )
        backwards = always("in order", lambda s: s.nodes[1].seen != (2, 1) or s.nodes[0].machine.number == 1)
        return explore(system, [backwards])

    assert heard(is_fifo=True).holds
    assert not heard(is_fifo=False).holds


def test_canonical_bytes_ignore_history_and_identity():
    shared = ("a",)
    assert canonical([shared, shared]) == canonical([("a",), ("a",)])
    assert canonical({1: 2, 3: 4}) == canonical({3: 4, 1: 2})
    assert canonical({1, 2, 3}) == canonical({3, 2, 1})
    different = [1, "1", True, 1.0, b"1", (1,), [1], {1}, {1: 1}, None]
    assert len({canonical(value) for value in different}) == len(different)
    with pytest.raises(TypeError, match="not plain data"):
        canonical(lambda: None)


def test_a_still_stream_draws_the_least_and_survives_copies():
    assert (Still().random(), Still().randrange(5, 9), Still().getrandbits(64)) == (0.0, 5, 0)
    assert canonical(Still()) == canonical(Still())


def test_a_run_is_drawn_with_its_messages():
    system = pair()
    example = Example(0, (Choice("call", NodeId(1)), Choice("deliver", NodeId(2), NodeId(1), Number(7))))
    rows = rows_of(system, example)
    assert draw_text(rows).splitlines() == [
        "     node 1         node 2",
        "  0  ●              │               call Begin(number=7) at 1",
        "  1  └─────────────▶●               deliver 1→2 Number(number=7) (sent at 0)",
    ]
    page = draw_html(rows, title="one <message>")
    assert "one &lt;message&gt;" in page
    assert page.count('class="message ') == 1
    assert "http" not in page


def test_harm_is_drawn_as_harm():
    """A lost message does not arrive, and a node that goes down is crossed out."""
    system = pair(lose_count=1, crash_count=1)
    lost = Choice("lose", NodeId(2), NodeId(1), Number(7))
    rows = rows_of(system, Example(0, (Choice("call", NodeId(1)), lost, Choice("crash", NodeId(2)))))
    assert [line[5:21] for line in draw_text(rows).splitlines()[2:]] == ["└─────────────✗│", "│              ✗"]
    page = draw_html(rows, title="harm")
    assert 'class="message lost"' in page
    assert 'class="down"' in page


def test_consensus_of_two_is_safe_and_may_never_end():
    """Both move in step and exchange their preferences for ever; neither is slow, none has failed."""
    system = TwoProcessConsensus()
    result = explore(system, [always("agreement", agrees), eventually("decision", is_decided)])
    assert "agreement" not in result.counterexamples
    example = result.counterexamples["decision"]
    states = replay(system, example)
    assert states[example.loop] == states[-1]
    assert set(example.choices[example.loop :]) == {0, 1}
    assert "from here for ever" in draw_text(rows_of(system, example))


def test_symmetry_merges_renamed_managers_and_nothing_else():
    whole = explore(TwoPhaseCommit(3), [always("consistent", is_consistent)])
    merged = explore(TwoPhaseCommit(3, symmetric=True), [always("consistent", is_consistent)])
    assert whole.holds
    assert merged.holds
    # One state of each class of renamings, counted without the reduction.
    plain, classes = TwoPhaseCommit(3), set()
    namer = TwoPhaseCommit(3, symmetric=True)
    work, seen = list(plain.initial()), set(plain.initial())
    while work:
        state = work.pop()
        classes.add(namer.key(state))
        for choice in plain.choices(state):
            after = plain.take(state, choice)
            if after not in seen:
                seen.add(after)
                work.append(after)
    assert merged.state_count == len(classes)


def test_sleep_sets_refuse_symmetry():
    with pytest.raises(AssertionError, match="symmetry renames"):
        explore(TwoPhaseCommit(3, symmetric=True), order="depth", sleep_sets=True)


class Lock(System[int, int]):
    """Ten digits, each of which opens the next or begins anew: a coin needs 4^10 tries, a memory 4 × 10."""

    def initial(self):
        return [0]

    def choices(self, state):
        return [0, 1, 2, 3] if state < 10 else []

    def take(self, state, choice):
        return state + 1 if choice == state * 7 % 4 else 0


def test_guided_walks_open_a_lock_that_coins_do_not():
    claim = [always("closed", lambda state: state < 10)]
    coins = walk(Lock(), claim, random.Random(5), walk_count=1_500, step_count_max=20)
    guided = walk_by_coverage(Lock(), claim, random.Random(5), walk_count=1_500, step_count_max=20, stop_at_first=True)
    assert not coins.counterexamples
    assert replay(Lock(), guided.counterexamples["closed"])[-1] == 10
    assert guided.found_after["closed"] < coins.step_count
    again = walk_by_coverage(Lock(), claim, random.Random(5), walk_count=1_500, step_count_max=20, stop_at_first=True)
    assert again == guided, "one seed is one search"


def test_guided_walks_learn_from_marks():
    """All states look alike; only the mark tells how far a run has come."""

    class Blind(Lock):
        def shape(self, state):
            return "closed"

        def take(self, state, choice):
            after = super().take(state, choice)
            reached[f"digit {after}"] += 1
            return after

    claim, run_counts = [always("closed", lambda state: state < 7)], []
    for is_marking in (False, True):
        total = 0
        for seed in range(4):
            reached = Counter()
            total += walk_by_coverage(
                Blind(),
                claim,
                random.Random(seed),
                walk_count=1_500,
                step_count_max=12,
                marks=reached if is_marking else None,
                stop_at_first=True,
            ).walk_count
        run_counts.append(total)
    assert run_counts[1] * 2 < run_counts[0]


def test_canonical_instants_are_distances_where_that_is_asked():
    class Clocked:
        def __init__(self, now, heard):
            self.now, self.heard = now, heard

    def name(now, heard):
        return canonical(Clocked(now, heard), frozenset({"now"}), relative=frozenset({"heard"}), now=now)

    assert name(10, {1: 4, 2: [9]}) == name(110, {1: 104, 2: [109]})
    assert name(10, {1: 4}) != name(10, {1: 5})
    assert name(10, None) == name(20, None)


def test_canonical_maps_have_an_order_where_that_is_asked():
    class Queue:
        def __init__(self, *items):
            self.waiting = dict.fromkeys(items)

    assert canonical(Queue(1, 2)) == canonical(Queue(2, 1))
    ordered = frozenset({"waiting"})
    assert canonical(Queue(1, 2), ordered=ordered) != canonical(Queue(2, 1), ordered=ordered)


class Ticker(Machine):
    """Two timers; says which fired, and when."""

    def __init__(self, _node, _records):
        super().__init__()

    def _on_event(self, event):
        match event:
            case Started():
                self._emit(SetTimer("late/1", Duration(9)))
                self._emit(SetTimer("soon", Duration(5)))
            case TimerFired(timer):
                self._emit(Deliver(Heard(self.now)))
                if timer == "soon":
                    self._emit(SetTimer("late/2", Duration(2)))
            case _:
                pass


def ticks(**scope):
    limits = Scope(nodes=(NodeId(1),), timers=(("soon", 1), ("late/", 1)), **scope)
    system = Cluster(Ticker, limits, observe=lambda _node, output: output.number)
    search = Search(system)
    search.run()
    ends = [replay(system, search._example(key))[-1] for key in search._visited]
    return system, sorted({state.nodes[0].seen for state in ends})


def test_in_a_punctual_scope_timers_fire_in_order_and_on_time():
    """The one due at 5, then the one that it set for 7; a name that ends with a slash counts for all of its family."""
    assert ticks(is_punctual=True)[1] == [(), (5,), (5, 7)]


def test_elsewhere_any_timer_fires_late():
    day = 86_400 * 10**9
    system, seen = ticks()
    assert seen == [(), (day,), (day, 2 * day)]
    assert {choice.timer for choice in system.choices(system.initial()[0])} == {"soon", "late/1"}


def test_a_packed_state_is_the_state():
    system = pair(is_disk_instant=False, crash_count=1)
    work, seen = list(system.initial()), {}
    while work:
        state = work.pop()
        again = system.unpack(system.pack(state))
        assert system.key(again) == system.key(state)
        assert again.network == state.network
        assert list(system.choices(again)) == list(system.choices(state))
        for choice in system.choices(again):
            after = system.take(again, choice)
            assert system.key(after) == system.key(system.take(state, choice))
            if system.key(after) not in seen:
                seen[system.key(after)] = after
                work.append(after)
