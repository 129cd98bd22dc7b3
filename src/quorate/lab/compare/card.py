"""The card of a design: its runs, what was predicted of it, its letters; and the comparison of several."""

from collections.abc import Callable, Sequence

import msgspec

from quorate.kernel import Duration, seconds
from quorate.kernel.errors import UsageError
from quorate.lab.compare.letters import Letters, derive
from quorate.lab.compare.measures import MODELS
from quorate.lab.compare.plan import Load, Network, RunPlan, Timeline, check_load
from quorate.lab.compare.predictions import Predicted, model_of, predictions
from quorate.lab.compare.results import RunResult, Staleness
from quorate.lab.compare.run import run_plan
from quorate.lab.compare.scenarios import SCENARIOS_DEFAULT, scenario_named
from quorate.lab.compare.spec import Design, check_fits, design_text, parse_design

DESIGNS_MAX = 9
# Where the predicted curve is drawn, milliseconds after the acknowledgement.
CURVE_MS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 25.0, 50.0, 100.0)


class CompareOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, under what."""

    designs: tuple[str, ...]
    scenarios: tuple[str, ...] = SCENARIOS_DEFAULT
    seeds: tuple[int, ...] = (1,)
    node_count: int = 5
    rate: float = 120.0
    # Seconds of harm.
    span_s: float = 4.0
    # On processes of this machine, instead of in simulation.
    is_real: bool = False
    # Of every link, milliseconds; on real processes the machine's own come on top.
    latency_ms: float = 0.5
    jitter_ms: float = 1.5

    def parsed(self) -> tuple[Design, ...]:
        """Return the designs; raise UsageError for options that cannot be."""
        check_load(rate=self.rate, span_s=self.span_s)
        if not (0 <= self.latency_ms <= 10_000 and 0 <= self.jitter_ms <= 10_000):
            raise UsageError("latency, jitter: from 0 to 10,000 milliseconds")
        if not self.scenarios or not self.seeds:
            raise UsageError("a comparison needs a scenario and a seed")
        for name in self.scenarios:
            scenario_named(name, self.node_count)
        found = tuple(dict.fromkeys([parse_design(text) for text in self.designs]))
        if not 1 <= len(found) <= DESIGNS_MAX:
            raise UsageError(f"designs: 1 to {DESIGNS_MAX} different ones, not {len(found)}")
        for design in found:
            check_fits(design, self.node_count)
        return found

    def plans(self) -> list[RunPlan]:
        """Return all runs, design by design."""
        designs = self.parsed()
        timeline = Timeline(harm=Duration(round(self.span_s * seconds(1))))
        network = Network(latency=seconds(self.latency_ms / 1000), jitter=seconds(self.jitter_ms / 1000))
        return [
            RunPlan(
                design=design,
                scenario=scenario,
                seed=seed,
                node_count=self.node_count,
                timeline=timeline,
                load=Load(rate=self.rate),
                network=network,
            )
            for design in designs
            for scenario in dict.fromkeys(self.scenarios)
            for seed in dict.fromkeys(self.seeds)
        ]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One design, measured."""

    design: str
    letters: Letters
    # Model → whether some run refutes it (invalid), none does (valid), or nobody could say; the strongest first.
    models: dict[str, str]
    # Model → the first scenario that refutes it.
    refuted_by: dict[str, str]
    predictions: list[Predicted]
    # (milliseconds after the acknowledgement, probability that a read is consistent), as predicted from link delays.
    curve: list[tuple[float, float]]
    runs: list[RunResult]

    @property
    def strongest(self) -> str:
        """The strongest model that no run refutes; empty when there is none."""
        return next((name for name in MODELS if self.models[name] == "valid"), "")

    @property
    def weakest_refuted(self) -> str:
        """The weakest model that some run refutes; empty when there is none."""
        refuted = [name for name in MODELS if self.models[name] == "invalid"]
        return refuted[-1] if refuted else ""

    def of(self, scenario: str) -> list[RunResult]:
        """Return the runs of a scenario."""
        return [run for run in self.runs if run.plan.scenario == scenario]

    @property
    def calm(self) -> RunResult | None:
        """The first run without harm."""
        return next(iter(self.of("none")), None)

    @property
    def lost_count(self) -> int:
        """Acknowledged inserts that nobody has at the end, and acknowledged writes that came undone, of all runs."""
        return sum([len(run.lost) + run.undone_count for run in self.runs])

    @property
    def acknowledged_count(self) -> int:
        """Acknowledged inserts of all runs."""
        return sum([run.acknowledged_count for run in self.runs])

    def staleness_of(self, runs: Sequence[RunResult]) -> Staleness:
        """Return the worst of some runs together."""
        return Staleness(
            read_count=sum([run.staleness.read_count for run in runs]),
            stale_count=sum([run.staleness.stale_count for run in runs]),
            versions_p50=max([run.staleness.versions_p50 for run in runs], default=0),
            versions_max=max([run.staleness.versions_max for run in runs], default=0),
            age_p50_ns=max([run.staleness.age_p50_ns for run in runs], default=0),
            age_max_ns=max([run.staleness.age_max_ns for run in runs], default=0),
        )

    def per_operation(self) -> tuple[float, float]:
        """Return messages and bytes per operation without harm, idle traffic taken out."""
        found: list[tuple[float, float]] = []
        for run in self.of("none"):
            seen, span_s = run.observed, run.plan.timeline.end / seconds(1)
            count = max(1, run.operation_count)
            found.append(
                ((seen.messages - seen.idle_messages * span_s) / count, (seen.bytes - seen.idle_bytes * span_s) / count)
            )
        if not found:
            return 0.0, 0.0
        return sum([messages for messages, _ in found]) / len(found), sum([size for _, size in found]) / len(found)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All cards, and what repeats them."""

    options: CompareOptions
    command: str
    cards: list[Card]

    @property
    def prediction_counts(self) -> tuple[int, int]:
        """How many predictions were within their tolerance, and how many there are."""
        all_of_them = [row for card in self.cards for row in card.predictions]
        return sum([row.is_within for row in all_of_them]), len(all_of_them)


Runner = Callable[[Sequence[RunPlan], Callable[[int], None]], list[RunResult]]
"""Makes all runs, in any order and anywhere, and returns their results in the order of the plans."""


def compare_designs(
    options: CompareOptions, *, runner: Runner, on_done: Callable[[int], None] = lambda _: None
) -> Comparison:
    """Make all runs and return the cards.

    Args:
        options: what and how.
        runner: makes the runs: `run_here` or `run_on`.
        on_done: called with the number of runs done so far.

    Raises:
        UsageError: options that cannot be.
    """
    plans = options.plans()
    results = runner(plans, on_done)
    cards: list[Card] = []
    for design in options.parsed():
        mine = [result for result in results if result.plan.design == design]
        cards.append(make_card(design, mine))
    return Comparison(options=options, command=command_of(options), cards=cards)


def make_card(design: Design, runs: list[RunResult]) -> Card:
    """Return the card of a design from its runs."""
    models: dict[str, str] = {}
    refuted_by: dict[str, str] = {}
    for name in MODELS:
        verdicts = {run.judgement.verdicts[name] for run in runs}
        models[name] = "invalid" if "invalid" in verdicts else "unknown" if "unknown" in verdicts else "valid"
        if models[name] == "invalid":
            refuted_by[name] = next(r.plan.scenario for r in runs if r.judgement.verdicts[name] == "invalid")
    return Card(
        design=design_text(design),
        letters=derive(runs),
        models=models,
        refuted_by=refuted_by,
        predictions=predictions(runs[0].plan, runs),
        curve=_curve(runs),
        runs=[_without_samples(run) for run in runs],
    )


def _curve(runs: list[RunResult]) -> list[tuple[float, float]]:
    calm = next((run for run in runs if run.plan.scenario == "none"), None)
    if calm is None or calm.is_real:
        return []
    model = model_of(calm.plan, calm.observed.delays_ns)
    return [(at, model.consistent_at(at)) for at in CURVE_MS]


def _without_samples(run: RunResult) -> RunResult:
    """Return a result without what only predictions need."""
    observed = msgspec.structs.replace(run.observed, delays_ns=[])
    return msgspec.structs.replace(run, observed=observed)


def run_here(plans: Sequence[RunPlan], on_done: Callable[[int], None] = lambda _: None) -> list[RunResult]:
    """Make runs one after another in this process."""
    found: list[RunResult] = []
    for plan in plans:
        found.append(run_plan(plan))
        on_done(len(found))
    return found


def command_of(options: CompareOptions) -> str:
    """Return what repeats a comparison from a shell."""
    plain = CompareOptions(designs=())
    parts = ["quorate compare", *[design_text(design) for design in options.parsed()]]
    parts += ["--real"] if options.is_real else []
    if options.scenarios != plain.scenarios:
        parts.append(f"--faults {','.join(options.scenarios)}")
    if options.seeds != plain.seeds:
        parts.append(f"--seeds {','.join(map(str, options.seeds))}")
    if options.node_count != plain.node_count:
        parts.append(f"--nodes {options.node_count}")
    for name, field in (("rate", "rate"), ("span", "span_s"), ("latency", "latency_ms"), ("jitter", "jitter_ms")):
        if getattr(options, field) != getattr(plain, field):
            parts.append(f"--{name} {getattr(options, field):g}")
    return " ".join(parts)
