"""What theory says of a design before it runs, from its quorums, its timeouts and the delays of its links alone.

Source      Quorum overlap: Gifford 1979. Staleness: Bailis et al. 2012 (see pbs.py). Time without a leader: Ongaro
            2014, section 5.2, with timeouts in [T, 2T). Shares of a ring: counted over many keys.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from random import Random

import msgspec

from quorate.kernel import MILLISECOND, SECOND, Seeds
from quorate.lab.compare.pbs import Prediction, Round, predict, quantile
from quorate.lab.compare.plan import RunPlan
from quorate.lab.compare.results import Moment, RunResult, Service
from quorate.lab.compare.scenarios import Scenario, scenario_named
from quorate.lab.compare.spec import LeaderlessDesign, RaftDesign
from quorate.lab.compare.topology import detection_ms, preferences_of, speculative_delay_ms

TRIAL_COUNT = 20_000
KEY_COUNT = 2_000
# An absolute share; a relative time.
SHARE_TOLERANCE = 0.05
TIME_TOLERANCE = 0.20
# What a request may take beyond waiting for a leader: retries, votes, a slow disk.
SETTLE_MS = 50.0
# What processes on a busy machine may add.
REAL_PAUSE_MS = 200.0
_SURE_SIGMAS = 3.5


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction beside its measurement."""

    name: str
    predicted: str
    measured: str
    is_within: bool
    # By what rule it is judged.
    rule: str


def predictions(plan: RunPlan, runs: Sequence[RunResult]) -> list[Predicted]:
    """Return all predictions for a design beside what its runs measured.

    Args:
        plan: any of the design's plans.
        runs: of that design, all scenarios and seeds.

    Complexity: O(trials * N log N).
    """
    calm = [run for run in runs if run.plan.scenario == "none"]
    # Nobody knows the delays of this machine's processes, nor looks into their stores.
    is_real = any(run.is_real for run in runs)
    found = [_overlap(plan, calm)] if calm else []
    if calm and not is_real:
        model = model_of(plan, calm[0].observed.delays_ns)
        found += [*_latency(model, calm), *_staleness(model, calm)]
    found += [
        row for name in dict.fromkeys([run.plan.scenario for run in runs]) for row in _availability(plan, runs, name)
    ]
    found += _failover(plan, runs)
    if calm and not is_real:
        found.append(_balance(plan, calm))
    return found


# -- latency and staleness --------------------------------------------------------------------------------------------


def model_of(plan: RunPlan, delays_ns: Sequence[int]) -> Prediction:
    """Return what WARS predicts for a design on links with these delays."""
    rng = Seeds(plan.seed).stream("predictions")
    delays = [delay / MILLISECOND for delay in delays_ns] or [0.0]
    network = plan.network

    def link() -> float:
        return delays[int(rng.random() * len(delays))]

    def sync() -> float:
        return (network.sync_min + rng.random() * (network.sync_max - network.sync_min)) / MILLISECOND

    if isinstance(plan.design, RaftDesign):
        return _raft_model(plan, rng, link, sync)
    return _leaderless_model(plan, plan.design, rng, link, sync)


_Draw = Callable[[], float]


def _raft_model(plan: RunPlan, rng: Random, link: _Draw, sync: _Draw) -> Prediction:
    """Linearizable by construction; what is predicted is how long a request takes from a node drawn at random."""
    count = plan.node_count
    others = count // 2
    writes: list[float] = []
    reads: list[float] = []
    assert isinstance(plan.design, RaftDesign), "it was asked for Raft's"
    for _ in range(TRIAL_COUNT):
        is_leader = rng.randrange(count) == 0
        there, back = (0.0, 0.0) if is_leader else (link(), link())
        trips = [link() + sync() + link() for _ in range(count - 1)]
        # The leader counts itself when its own disk is done.
        commit = heapq.nsmallest(others + 1, [sync(), *trips])[-1]
        # An answer needs the entry on the disk of the node that answers.
        writes.append(there + max(commit + back, 0.0))
        rounds = [link() + link() for _ in range(count - 1)]
        quorum = 0.0 if plan.design.lease or not others else heapq.nsmallest(others, rounds)[-1]
        reads.append(there + quorum + back)
    return Prediction(consistent_from=[0.0], write_latencies=sorted(writes), read_latencies=sorted(reads))


def _leaderless_model(plan: RunPlan, design: LeaderlessDesign, rng: Random, link: _Draw, sync: _Draw) -> Prediction:
    """WARS with coordinators among the nodes: an owner that coordinates reaches its own copy at once."""
    preferences = preferences_of(plan)
    nodes = list(range(1, plan.node_count + 1))
    owners_of = [[int(node) for node in preferences.owners(key)] for key in _registers(plan)]
    wait_ms = speculative_delay_ms(design)

    def draw(_: Random) -> Round:
        owners = owners_of[rng.randrange(len(owners_of))]
        writer = nodes[rng.randrange(len(nodes))]
        reader = nodes[(writer - 1 + rng.randrange(1, len(nodes))) % len(nodes)]
        first = sorted(owners, key=lambda owner: owner != reader)[: design.read_quorum]
        # Who is not asked at first is asked when the others are late.
        extra = [0.0 if design.eager or owner in first else wait_ms for owner in owners]
        if design.rule == "siblings":
            writes, acks = _dotted_write(writer, owners, link, sync)
        else:
            writes = [0.0 if owner == writer else link() for owner in owners]
            acks = [sync() + (0.0 if owner == writer else link()) for owner in owners]
        reads = [late + (0.0 if owner == reader else link()) for owner, late in zip(owners, extra, strict=True)]
        answers = [0.0 if owner == reader else link() for owner in owners]
        return writes, acks, reads, answers

    if design.write_quorum == 0:
        return _forget(predict(draw, r=design.read_quorum, w=1, trial_count=TRIAL_COUNT, rng=rng), draw, design, rng)
    return predict(draw, r=design.read_quorum, w=design.write_quorum, trial_count=TRIAL_COUNT, rng=rng)


def _dotted_write(writer: int, owners: Sequence[int], link: _Draw, sync: _Draw) -> tuple[list[float], list[float]]:
    """Return the delays W and A of a write that needs a dot: an owner coordinates it, and writes it down first."""
    there, back = (0.0, 0.0) if writer in owners else (link(), link())
    coordinator = writer if writer in owners else owners[0]
    first = sync()
    writes = [there + (0.0 if owner == coordinator else first + link()) for owner in owners]
    acks = [back + (first if owner == coordinator else sync() + link()) for owner in owners]
    return writes, acks


def _forget(found: Prediction, draw: Callable[[Random], Round], design: LeaderlessDesign, rng: Random) -> Prediction:
    """Return the prediction for writes that are acknowledged before they have left."""
    consistent_from: list[float] = []
    for _ in range(TRIAL_COUNT):
        writes, _, reads, answers = draw(rng)
        order = sorted(range(len(reads)), key=lambda place: reads[place] + answers[place])
        consistent_from.append(min([writes[place] - reads[place] for place in order[: design.read_quorum]]))
    return Prediction(
        consistent_from=sorted(consistent_from),
        write_latencies=[0.0],
        read_latencies=found.read_latencies,
    )


def _latency(model: Prediction, calm: Sequence[RunResult]) -> list[Predicted]:
    found: list[Predicted] = []
    services: tuple[tuple[str, Sequence[float], Callable[[RunResult], Service]], ...] = (
        ("read latency, p50", model.read_latencies, lambda run: run.reads),
        ("write latency, p50", model.write_latencies, lambda run: run.writes),
    )
    for name, expected, read in services:
        measured = sum([read(run).p50_ns for run in calm]) / len(calm) / MILLISECOND
        value = quantile(expected, 0.5)
        # A fifth, or half a millisecond where everything is local.
        is_within = abs(measured - value) <= max(0.5, TIME_TOLERANCE * value)
        found.append(
            Predicted(
                name=name,
                predicted=f"{value:.2f} ms",
                measured=f"{measured:.2f} ms",
                is_within=is_within,
                rule="within 20 %, or 0.5 ms",
            )
        )
    return found


PBS_BINS: Sequence[tuple[float, float]] = (
    *((0.0, 0.25), (0.25, 0.75), (0.75, 1.5), (1.5, 2.5), (2.5, 4.0), (4.0, 7.0)),
    *((7.0, 15.0), (15.0, 30.0), (30.0, 75.0), (75.0, 150.0)),
)
"""Milliseconds after the acknowledgement."""


def binned(moments: Sequence[Moment]) -> list[tuple[float, float, int]]:
    """Return (mean time after the acknowledgement, share consistent, reads) of each bin that has any."""
    found: list[tuple[float, float, int]] = []
    for low, high in PBS_BINS:
        inside = [moment for moment in moments if low <= moment.after_ms < high]
        if inside:
            mean = sum([moment.after_ms for moment in inside]) / len(inside)
            found.append((mean, sum([moment.is_consistent for moment in inside]) / len(inside), len(inside)))
    return found


def _staleness(model: Prediction, calm: Sequence[RunResult]) -> list[Predicted]:
    """Compare the curve where it is steep: reads within a quarter, and within 15 milliseconds."""
    moments = [moment for run in calm for moment in run.moments]
    found: list[Predicted] = []
    for name, low, high in (("consistent, read at once", 0.0, 0.25), ("consistent, read within 15 ms", 0.0, 15.0)):
        inside = [moment for moment in moments if low <= moment.after_ms < high]
        if not inside:
            continue
        expected = sum([model.consistent_at(moment.after_ms) for moment in inside]) / len(inside)
        measured = sum([moment.is_consistent for moment in inside]) / len(inside)
        chance = _SURE_SIGMAS * (max(expected * (1 - expected), 0.25 / len(inside)) / len(inside)) ** 0.5
        found.append(
            Predicted(
                name=name,
                predicted=f"{expected:.1%}",
                measured=f"{measured:.1%} of {len(inside)}",
                is_within=abs(expected - measured) <= max(0.03, chance),
                rule=f"within {100 * max(0.03, chance):.0f} points: 3, or chance over so few reads",
            )
        )
    return found


def _overlap(plan: RunPlan, calm: Sequence[RunResult]) -> Predicted:
    stale = sum([run.staleness.stale_count for run in calm])
    reads = sum([run.staleness.read_count for run in calm])
    design = plan.design
    is_overlapping = isinstance(design, RaftDesign) or design.is_overlapping
    why = "majorities meet"
    if isinstance(design, LeaderlessDesign):
        sign = ">" if is_overlapping else "<="
        why = f"r + w = {design.read_quorum + design.write_quorum} {sign} n = {design.n}"
        if not is_overlapping and design.read_quorum + design.write_quorum > design.n:
            why = "stand-ins may take writes"
    return Predicted(
        name="quorum overlap",
        predicted=f"{'no stale read' if is_overlapping else 'stale reads may be'} ({why})",
        measured=f"{stale} stale of {reads}",
        is_within=stale == 0 or not is_overlapping,
        rule="with overlap and no fault, none is stale",
    )


# -- availability -----------------------------------------------------------------------------------------------------


def _availability(plan: RunPlan, runs: Sequence[RunResult], name: str) -> list[Predicted]:
    scenario = scenario_named(name, plan.node_count)
    if not (scenario.cuts or scenario.killed or scenario.unpowered):
        return []
    mine = [run for run in runs if run.plan.scenario == name]
    found: list[Predicted] = []
    for place, (side, nodes) in enumerate(scenario.sides.items()):
        for word in ("reads", "writes"):
            services = [getattr(run.sides[place], word) for run in mine]
            asked = sum([service.late_asked for service in services])
            if not asked:
                continue
            measured = sum([service.late_served for service in services]) / asked
            share = Measured(share=measured, asked=asked, is_real=mine[0].is_real)
            found.append(_served(plan, scenario, nodes, side=side, word=word, measured=share))
    return found


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A share that was measured, and over how many."""

    share: float
    asked: int
    is_real: bool


def _served(
    plan: RunPlan, scenario: Scenario, nodes: Sequence[int], *, side: str, word: str, measured: Measured
) -> Predicted:
    """Compare what a side was served with what its quorums allow."""
    most = served_share(plan, scenario, nodes, is_write=word == "writes")
    least, rule = most, "last third of the fault, within 5 points, or chance over so few"
    is_sloppy = isinstance(plan.design, LeaderlessDesign) and plan.design.sloppy
    if is_sloppy and (scenario.name == "one-way" or measured.is_real):
        # A node that nobody hears still hears the others; and processes take longer than a run to find others dead.
        least = served_share(plan, scenario, nodes, is_write=word == "writes", with_stand_ins=False)
        rule = "between none and all of its stand-ins: they may step in late"
    chance = max([_SURE_SIGMAS * (share * (1 - share) / measured.asked) ** 0.5 for share in (least, most)])
    tolerance = max(SHARE_TOLERANCE, chance)
    return Predicted(
        name=f"{word} served, {scenario.name}, {side}",
        predicted=f"{most:.0%}" if least == most else f"{least:.0%} to {most:.0%}",
        measured=f"{measured.share:.0%} of {measured.asked}",
        is_within=least - tolerance <= measured.share <= most + tolerance,
        rule=rule,
    )


def served_share(
    plan: RunPlan, scenario: Scenario, nodes: Sequence[int], *, is_write: bool, with_stand_ins: bool = True
) -> float:
    """Return which share of requests through some nodes finds its quorum while links are cut and nodes are down."""
    down = {*scenario.killed, *scenario.unpowered}
    cut = {frozenset(pair) for pair in scenario.cuts}
    everyone = range(1, plan.node_count + 1)
    living = [node for node in everyone if node not in down]
    # Clients of the dead are at the next node that lives.
    asked = [next(n for n in [*everyone[node - 1 :], *everyone[: node - 1]] if n in living) for node in nodes]

    def reach(node: int) -> list[int]:
        # Both ways: a question that cannot be answered is none.
        return [other for other in living if other == node or frozenset((node, other)) not in cut]

    if isinstance(plan.design, RaftDesign):
        majority = plan.node_count // 2 + 1
        return sum([len(reach(node)) >= majority for node in asked]) / len(asked)
    design = plan.design
    need = design.write_quorum if is_write else design.read_quorum
    keys = _registers(plan)
    preferences = preferences_of(plan)
    if is_write:
        load = plan.load
        inserts = round(len(keys) * load.insert_share / max(load.write_share, 0.01) * 20)
        keys = [*keys * 20, *[f"i{number}".encode() for number in range(1, inserts + 1)]]
    served = 0
    for node in asked:
        reached = reach(node)
        for key in keys:
            owners = [int(owner) for owner in preferences.owners(key)]
            count = (
                len(reached)
                if (design.sloppy and with_stand_ins) or (is_write and design.w == "ANY")
                else sum([owner in reached for owner in owners])
            )
            served += count >= need
    return served / (len(asked) * len(keys))


def _failover(plan: RunPlan, runs: Sequence[RunResult]) -> list[Predicted]:
    """Compare the longest time without an acknowledged write, where service goes on, with what timeouts allow."""
    found: list[Predicted] = []
    for run in runs:
        scenario = scenario_named(run.plan.scenario, plan.node_count)
        if not (scenario.cuts or scenario.killed or scenario.unpowered):
            continue
        for side in run.sides:
            if served_share(plan, scenario, side.nodes, is_write=True, with_stand_ins=not run.is_real) < 1.0:
                continue
            budget_ms, why = _budget(plan, scenario, side.nodes)
            bound = budget_ms + _longest_pause_ms(plan, len(side.nodes)) + (REAL_PAUSE_MS if run.is_real else 0.0)
            found.append(
                Predicted(
                    name=f"without writes, {scenario.name}, {side.name}",
                    predicted=f"<= {bound:.0f} ms",
                    measured=f"{side.writes.gap_ns / MILLISECOND:.0f} ms",
                    is_within=side.writes.gap_ns / MILLISECOND <= bound,
                    rule=f"{why}, and the longest pause of these clients",
                )
            )
    return found


def _budget(plan: RunPlan, scenario: Scenario, nodes: Sequence[int]) -> tuple[float, str]:
    """Return how long a side may have to wait until somebody serves it again, and why."""
    is_leader_gone = 1 in (*scenario.killed, *scenario.unpowered) or (
        1 not in nodes and any(1 in pair for pair in scenario.cuts)
    )
    if isinstance(plan.design, RaftDesign) and is_leader_gone:
        return 2.0 * plan.design.election_ms + SETTLE_MS, f"2 T to an election, {SETTLE_MS:.0f} ms for votes"
    if isinstance(plan.design, LeaderlessDesign) and plan.design.sloppy:
        return detection_ms(plan.node_count), "stand-ins step in when SWIM has found the death of all others"
    return SETTLE_MS, f"nobody has to be elected: {SETTLE_MS:.0f} ms"


def _longest_pause_ms(plan: RunPlan, node_count: int) -> float:
    """Return a time that one run in a hundred has without any write asked by some nodes: arrivals are Poisson's."""
    load = plan.load
    rate = load.rate * (load.write_share + load.insert_share) * node_count / plan.node_count
    count = max(1.0, rate * (plan.timeline.harm + plan.timeline.healed) / SECOND)
    return 1000.0 * math.log(100.0 * count) / max(rate, 0.001)


# -- balance ----------------------------------------------------------------------------------------------------------


def _balance(plan: RunPlan, calm: Sequence[RunResult]) -> Predicted:
    """Compare the fullest node's copies over the mean with the ring's shares."""
    copies = [sum([run.observed.copies.get(node, 0) for run in calm]) for node in range(1, plan.node_count + 1)]
    total = max(1, sum(copies))
    measured = max(copies) * plan.node_count / total
    if isinstance(plan.design, RaftDesign):
        shares = [1 / plan.node_count] * plan.node_count
        chance = 0.01
    else:
        counts = dict.fromkeys(range(1, plan.node_count + 1), 0)
        preferences = preferences_of(plan)
        for number in range(KEY_COUNT):
            for owner in preferences.owners(f"i{number}".encode()):
                counts[int(owner)] += 1
        shares = [count / sum(counts.values()) for count in counts.values()]
        chance = _SURE_SIGMAS * (max(shares) * (1 - max(shares)) / total) ** 0.5 * plan.node_count
    expected = max(shares) * plan.node_count
    return Predicted(
        name="fullest node / mean",
        predicted=f"{expected:.2f}",
        measured=f"{measured:.2f} of {total} copies",
        is_within=abs(expected - measured) <= max(0.05, chance),
        rule=f"within {max(0.05, chance):.2f}: chance over so few keys",
    )


def _registers(plan: RunPlan) -> list[bytes]:
    return [f"r{number}".encode() for number in range(plan.load.key_count)]
