"""One run of a test under simulation, as data that replays it, and how a failing one is made smaller."""

import base64
import binascii
import zlib
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Final

import msgspec

from quorate.kernel import Duration, seconds
from quorate.kernel.errors import UsageError
from quorate.sim.audit_log import StepLog
from quorate.sim.choices import Choices
from quorate.sim.disk import DiskPolicy
from quorate.sim.failures import ProgramFailed
from quorate.sim.faults import Fault, FaultSchedule, Mix, Planned
from quorate.sim.host import Host
from quorate.sim.links import LinkPolicy, TCPPolicy
from quorate.sim.nemesis import Atlas, Nemesis
from quorate.sim.observer import Observer
from quorate.sim.shrink import minimal
from quorate.sim.world import World

Program = Callable[[World], Coroutine[Any, Any, Any]]

SHRINK_RUN_COUNT_MAX: Final = 200


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one run is made from besides the code."""

    seed: int
    # None: drawn from the seed.
    faults: FaultSchedule | None = None
    # Stream → draws, and calm beyond them; None: everything from the seed.
    draws: dict[str, list[float]] | None = None

    def to_token(self) -> str:
        """Return a word for a command line: the seed alone, or with what was shrunk."""
        if self.faults is None and self.draws is None:
            return str(self.seed)
        packed = zlib.compress(msgspec.msgpack.encode((self.faults, self.draws)), 9)
        return f"{self.seed}:{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"

    @classmethod
    def from_token(cls, token: str) -> "Recipe":
        """Return what a word stands for; raise UsageError naming what is wrong."""
        seed, _, packed = token.partition(":")
        try:
            if not packed:
                return cls(seed=int(seed))
            data = zlib.decompress(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
            faults, draws = msgspec.msgpack.decode(
                data, type=tuple[FaultSchedule | None, dict[str, list[float]] | None]
            )
            return cls(seed=int(seed), faults=faults, draws=draws)
        except (ValueError, zlib.error, binascii.Error, msgspec.MsgspecError) as error:
            raise UsageError(f"{token!r} is no seed, nor a seed with a shrunk run behind a colon: {error}") from error


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What every run of one test has in common."""

    faults: Mix | None = None
    # Hosts that exist from the beginning; faults meet them, or all hosts that exist after the test's first turn.
    hosts: tuple[str, ...] = ()
    # Simulated time in which harm begins.
    span: Duration = seconds(10)
    timeout: Duration = seconds(600)
    atlas: Atlas = Atlas(down_max=1)
    link: LinkPolicy | None = None
    tcp: TCPPolicy | None = None
    disk: DiskPolicy | None = None
    mount: str = "/disk"
    buggify: bool = False


class Outcome(msgspec.Struct, frozen=True):
    """How one run ended."""

    error: BaseException | None
    faults: FaultSchedule
    draws: dict[str, list[float]]
    observer: Observer
    trace_hash: int
    # Simulated nanoseconds.
    now: int

    @property
    def mark(self) -> tuple[str, ...] | None:
        """Return what tells this failure from others: the kind of error and where it was raised."""
        if self.error is None:
            return None
        root = self.error.__cause__ if isinstance(self.error, ProgramFailed) and self.error.__cause__ else self.error
        return (type(root).__qualname__, *_place(root.__traceback__))


def _place(traceback: TracebackType | None) -> tuple[str, ...]:
    """Return the innermost place outside of the simulator."""
    found: tuple[str, ...] = ()
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if not str(traceback.tb_frame.f_globals.get("__name__", "")).startswith("quorate.sim."):
            found = (code.co_filename, code.co_qualname, str(traceback.tb_lineno))
        traceback = traceback.tb_next
    return found


class _Target:
    """A host that faults may meet; one that nobody started is left alone."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.number = host.number
        self.crash, self.power_cut, self.wipe = host.crash, host.power_cut, host.wipe
        self.pause, self.resume = host.pause, host.resume

    @property
    def is_running(self) -> bool:
        """Whether it runs, or cannot be started."""
        return self._host.is_running or self._host.main is None

    @property
    def is_paused(self) -> bool:
        """Whether it is stopped."""
        return self._host.is_paused

    def restart(self) -> None:
        """Start again."""
        self._host.restart()


def run_trial(
    program: Program, setup: Setup, recipe: Recipe, *, record: bool = False, log: StepLog | None = None
) -> Outcome:
    """Run a test once.

    Args:
        program: the test; its coroutine is the experimenter's.
        setup: what all runs have in common.
        recipe: what makes this one.
        record: keep all draws, to replay and shrink them.
        log: write every step here.
    """
    choices = Choices(recipe.seed, replay=recipe.draws, record=record, is_calm=recipe.draws is not None)
    world = World(
        choices=choices, link=setup.link, tcp=setup.tcp, disk=setup.disk, buggify=setup.buggify, patch=True,
        mount=setup.mount,
    )  # fmt: skip
    observer = world.observe()
    applied: list[Planned] = []
    for name in setup.hosts:
        world.host(name)
    if log is not None:
        world.scheduler.before_step = log.step
        observer.on_payload = log.payload
    if setup.faults is not None or recipe.faults is not None:
        world.at(1, lambda: _begin_faults(world, setup, recipe, applied))
    error: BaseException | None = None
    try:
        world.run(program(world), timeout=setup.timeout)
    except Exception as raised:  # noqa: BLE001  whatever a test raises is its failure
        error = raised
    finally:
        world.close()
    return Outcome(error, FaultSchedule(tuple(applied)), choices.drawn, observer, world.trace_hash, world.now)


def _begin_faults(world: World, setup: Setup, recipe: Recipe, applied: list[Planned]) -> None:
    hosts = [world.host(name) for name in setup.hosts] or world.hosts
    if not hosts:
        return
    nemesis = Nemesis(world, {host.number: _Target(host) for host in hosts}, atlas=setup.atlas)
    nemesis.applied = applied
    schedule = recipe.faults
    if schedule is None:
        numbers = [host.number for host in hosts]
        schedule = FaultSchedule.drawn(world.choices.stream("faults"), numbers, setup.span, setup.faults)
    nemesis.follow(schedule)


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest failing run that was found."""

    recipe: Recipe
    outcome: Outcome
    run_count: int
    draw_count: int
    draw_count_before: int
    fault_count_before: int


def shrink_trial(
    program: Program, setup: Setup, recipe: Recipe, *, run_count_max: int = SHRINK_RUN_COUNT_MAX
) -> Shrunk | None:
    """Return a smaller run that fails in the same way; None when the recipe does not fail again.

    First fewer faults; then the dice: a calm die for each stream that need not be wild, and for the others the
    shortest beginning that must be. Source: delta debugging, see `minimal`.
    """
    first = run_trial(program, setup, recipe, record=True)
    if first.mark is None:
        return None
    budget, best = [run_count_max], [first]

    def fails(candidate: Recipe) -> bool:
        if budget[0] <= 0:
            return False
        budget[0] -= 1
        outcome = run_trial(program, setup, candidate, record=True)
        if outcome.mark != first.mark:
            return False
        best[0] = outcome
        return True

    found = recipe
    if first.faults.items:
        found = _fewer_faults(found, first.faults, fails)
    found = _calmer(found, best[0].draws, fails)
    outcome = run_trial(program, setup, found, record=True)
    assert outcome.mark == first.mark, "what failed while shrinking fails again"
    draw_count = sum(map(len, (found.draws or first.draws).values()))
    before = sum(map(len, first.draws.values()))
    return Shrunk(found, outcome, run_count_max - budget[0], draw_count, before, len(first.faults))


def _fewer_faults(recipe: Recipe, faults: FaultSchedule, fails: Callable[[Recipe], bool]) -> Recipe:
    def having(items: Sequence[Planned]) -> Recipe:
        return msgspec.structs.replace(recipe, faults=FaultSchedule(tuple(items)))

    if not fails(having(faults.items)):
        return recipe
    return having(minimal(faults.items, lambda items: fails(having(items))))


def _calmer(recipe: Recipe, draws: dict[str, list[float]], fails: Callable[[Recipe], bool]) -> Recipe:
    def having(kept: dict[str, list[float]]) -> Recipe:
        return msgspec.structs.replace(recipe, draws=kept)

    # A stream that is not named is calm; so all that drew are named first.
    if not fails(having(draws)):
        return recipe
    names = [name for name in draws if draws[name]]
    kept_names = minimal(names, lambda some: fails(having({name: draws[name] for name in some})))
    kept = {name: draws[name] for name in kept_names}
    for name in kept_names:
        low, high = 0, len(kept[name])
        while low < high:
            middle = (low + high) // 2
            shorter = {**kept, name: kept[name][:middle]}
            if fails(having(shorter)):
                kept, high = shorter, middle
            else:
                low = middle + 1
    return having(kept)


def faults_as_text(faults: FaultSchedule) -> list[str]:
    """Return one line for each fault."""
    return [f"{item.at / 1e9:10.6f} s  {fault_as_text(item.fault)}" for item in faults]


def fault_as_text(fault: Fault) -> str:
    """Return a fault as people read it."""
    fields = ", ".join(f"{name}={getattr(fault, name)}" for name in fault.__struct_fields__)
    return f"{type(fault).__name__.lower()}({fields})"
