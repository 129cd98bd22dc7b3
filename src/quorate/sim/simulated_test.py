"""`@simulate`: an async test becomes many runs of a simulated world; the first that fails is made smaller and shown."""

import functools
import gc
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

import msgspec

from quorate.kernel import Duration, seconds
from quorate.sim.disk import DiskPolicy
from quorate.sim.faults import Mix
from quorate.sim.foreign import patched
from quorate.sim.links import LinkPolicy, TCPPolicy
from quorate.sim.nemesis import Atlas
from quorate.sim.simulated_trial import (
    Outcome,
    Program,
    Recipe,
    Setup,
    Shrunk,
    faults_as_text,
    run_trial,
    shrink_trial,
)
from quorate.sim.world import World

Test = Callable[..., Coroutine[Any, Any, Any]]

SEED_COUNT: Final = 100
SPAN: Final = seconds(10)
TIMEOUT: Final = seconds(600)


class Settings(msgspec.Struct):
    """What the command line says; the pytest plugin fills it in."""

    # Run this alone, as it is.
    recipe: Recipe | None = None
    # Instead of what tests say.
    seed_count: int | None = None
    is_shrinking: bool = True
    # Runs instead of the campaign, when set: (identity of the test, test, program, setup) → None.
    auditor: Callable[[str, Program, Setup, int], None] | None = None
    # Where reports go besides the exception.
    on_report: Callable[[str], object] | None = None
    # Which part of a test's seeds runs here, and of how many; the plugin spreads them over xdist's workers.
    part: tuple[int, int] = (0, 1)
    # Asked before each seed of a part: the seed with which another part of this test has failed, if one has.
    failed_elsewhere: Callable[[], int | None] | None = None
    # Told the seed with which this part fails; returns whether it is the first part to.
    is_first_failure: Callable[[int], bool] | None = None
    # Names the running test in commands; None: as pytest does.
    identity: str | None = None


settings: Final = Settings()


def simulate(
    test: Test | None = None,
    *,
    seeds: int | Iterable[int] = SEED_COUNT,
    faults: Mix | bool | None = None,
    hosts: Iterable[str] = (),
    span: Duration = SPAN,
    timeout: Duration = TIMEOUT,
    atlas: Atlas | None = None,
    link: LinkPolicy | None = None,
    tcp: TCPPolicy | None = None,
    disk: DiskPolicy | None = None,
    mount: str = "/disk",
    buggify: bool = False,
) -> Any:
    """Make an async test run in many simulated worlds, one for each seed.

    The test takes `world`: it makes hosts (`world.host("api")`), starts programs on them (`Host.launch`,
    `Host.script`), waits, and asserts. It runs on a host of its own that no fault touches. Other arguments are
    fixtures. While it runs, `time`, `random`, `open`, `socket` and the like are those of the running host.

    Args:
        test: the coroutine function; given when used without parentheses.
        seeds: how many, from 0 on, or which.
        faults: harm that is drawn from each seed; True for the usual mix, None for none.
        hosts: names of hosts that exist from the beginning, and that faults meet; all hosts of the test's first turn
            when empty.
        span: simulated time in which harm begins.
        timeout: simulated time after which a run is overdue.
        atlas: what the system promises to survive; one node down at a time unless said otherwise.
        link: how links behave.
        tcp: how streams behave.
        disk: how disks behave.
        mount: the directory below which files are simulated.
        buggify: whether named dice in the code may fire.
    """
    setup = Setup(
        faults=Mix() if faults is True else faults or None, hosts=tuple(hosts), span=span, timeout=timeout,
        atlas=atlas or Atlas(down_max=1), link=link, tcp=tcp, disk=disk, mount=mount, buggify=buggify,
    )  # fmt: skip
    chosen = range(seeds) if isinstance(seeds, int) else list(seeds)

    def decorate(test: Test) -> Callable[..., None]:
        signature = inspect.signature(test)
        if not inspect.iscoroutinefunction(test) or "world" not in signature.parameters:
            raise TypeError(f"{test.__qualname__} is simulated, so it is an `async def` that takes `world`")

        @functools.wraps(test)
        def run(*args: Any, **fixtures: Any) -> None:
            def program(world: World) -> Coroutine[Any, Any, Any]:
                return test(*args, world=world, **fixtures)

            campaign(program, setup, chosen)

        kept = [parameter for name, parameter in signature.parameters.items() if name != "world"]
        run.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        run.quorate_setup = setup  # type: ignore[attr-defined]
        run.quorate_seed_count = len(chosen)  # type: ignore[attr-defined]
        return run

    return decorate if test is None else decorate(test)


def campaign(program: Program, setup: Setup, seeds: Iterable[int]) -> None:
    """Run a test with each seed; raise the first failure, shrunk, with what replays it.

    Raises:
        Exception: what the test raised, with notes: the seed, the commands that replay it.
        FailedElsewhere: this is one part of the seeds, and another has failed.
    """
    seeds = list(seeds)
    if settings.seed_count is not None:
        seeds = list(range(settings.seed_count))
    if settings.auditor is not None:
        seed = settings.recipe.seed if settings.recipe is not None else seeds[0]
        settings.auditor(_identity(), program, setup, seed)
        return
    number, part_count = settings.part
    # Every part has early seeds, as they would have run first.
    share = seeds[number::part_count]
    with patched():
        # What exists by now is no garbage of the runs; so collections within them are quick.
        gc.collect()
        gc.freeze()
        try:
            if settings.recipe is not None:
                _replay(program, setup, settings.recipe)
                return
            for place, seed in enumerate(share):
                elsewhere = settings.failed_elsewhere() if settings.failed_elsewhere is not None else None
                if elsewhere is not None:
                    raise FailedElsewhere(elsewhere)
                outcome = run_trial(program, setup, Recipe(seed=seed))
                if outcome.error is not None:
                    if settings.is_first_failure is not None and not settings.is_first_failure(seed):
                        raise FailedElsewhere(seed)
                    part = f" of part {number + 1} of {part_count}" if part_count > 1 else ""
                    _fail(program, setup, Recipe(seed=seed), outcome, f"{place + 1} of {len(share)} seeds{part} run")
        finally:
            gc.unfreeze()


class FailedElsewhere(Exception):
    """Another part of this test's seeds has failed already: one failure is enough."""

    def __init__(self, seed: int) -> None:
        super().__init__(f"seed {seed} fails already")
        self.seed = seed


def _identity() -> str:
    if settings.identity is not None:
        return settings.identity
    return os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", 1)[0]


def _command(recipe: Recipe) -> str:
    return f"pytest '{_identity()}' --seed {recipe.to_token()}"


def _replay(program: Program, setup: Setup, recipe: Recipe) -> None:
    outcome = run_trial(program, setup, recipe)
    if outcome.error is not None:
        lines = [f"seed {recipe.seed} fails at {outcome.now / 1e9:.6f} s, trace {outcome.trace_hash & 0xFFFF_FFFF:08x}"]
        _raise(outcome, lines)


def _fail(program: Program, setup: Setup, recipe: Recipe, outcome: Outcome, progress: str) -> None:
    lines = [f"seed {recipe.seed} fails ({progress})", f"replay: {_command(recipe)}"]
    shrunk = shrink_trial(program, setup, recipe) if settings.is_shrinking else None
    if shrunk is not None and shrunk.recipe != recipe:
        lines.append(_shrunk_line(shrunk))
        outcome = shrunk.outcome
    elif shrunk is None and settings.is_shrinking:
        lines.append("it did not fail again: something outlives a run (a global, a cache); find it with --audit")
    _raise(outcome, lines)


def _shrunk_line(shrunk: Shrunk) -> str:
    faults = f"{len(shrunk.outcome.faults)} of {shrunk.fault_count_before} faults"
    draws = f"{shrunk.draw_count} of {shrunk.draw_count_before} draws"
    return f"shrunk in {shrunk.run_count} runs to {faults} and {draws}: {_command(shrunk.recipe)}"


def _raise(outcome: Outcome, lines: list[str]) -> None:
    error = outcome.error
    assert error is not None, "only a failure is raised"
    if outcome.faults.items:
        lines += ["faults:", *faults_as_text(outcome.faults)]
    for line in lines:
        error.add_note(line)
    report = "\n".join([*lines, "", outcome.observer.diagram()])
    if settings.on_report is not None:
        settings.on_report(report)
    else:
        error.add_note(report.split("\n\n", 1)[1])
    raise error
