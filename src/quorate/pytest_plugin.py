"""The pytest plugin: options, the `world` fixture, and reports for tests under `quorate.sim.simulate`.

Under xdist the seeds of one test are spread over the workers: the test becomes a few items, each with a part of its
seeds. The first part that fails says so in a file that the others look at before each seed, so one failure is shown.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.kernel.errors import UsageError
from quorate.sim import FailedElsewhere, Recipe, StepLog, World, audit, run_trial, settings

# Parts of one test for each worker, so that whoever is done early takes another; and seeds in one, at least.
_PARTS_PER_WORKER = 2
_PART_SEEDS_MIN = 4
_PART = "quorate_part"
_FAILURES = "quorate_failures"
_REPORTS = pytest.StashKey[list[str]]()
_DIRECTORY = pytest.StashKey[tempfile.TemporaryDirectory[str]]()
_current: list[pytest.Item] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what the command line can say."""
    group = parser.getgroup("quorate", "simulation")
    group.addoption("--seed", metavar="SEED", help="run simulated tests with this seed (or shrunk run) only")
    group.addoption(
        "--seeds", metavar="COUNT", type=int, help="how many seeds simulated tests try, instead of their own"
    )
    group.addoption("--no-shrink", action="store_true", help="do not make failing runs smaller")
    group.addoption(
        "--no-spread", action="store_true", help="under xdist: run all seeds of a test in one worker, as one item"
    )
    group.addoption(
        "--audit", action="store_true", help="run one seed in fresh processes and name the first callback that differs"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hand the command line to the simulator."""
    token = config.getoption("--seed")
    try:
        settings.recipe = None if token is None else Recipe.from_token(token)
    except UsageError as error:
        raise pytest.UsageError(f"--seed: {error}") from error
    settings.seed_count = config.getoption("--seeds")
    settings.is_shrinking = not config.getoption("--no-shrink")
    settings.on_report = _keep
    settings.auditor = None
    log = os.environ.get("QUORATE_STEP_LOG")
    if log is not None:
        settings.auditor = _write_log
    elif config.getoption("--audit"):
        settings.auditor = _audit


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of xdist where parts of one test meet."""
    config = node.config
    if _DIRECTORY not in config.stash:
        config.stash[_DIRECTORY] = tempfile.TemporaryDirectory(prefix="quorate-failures-")
    node.workerinput[_FAILURES] = config.stash[_DIRECTORY].name


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the workers wrote."""
    directory = config.stash.get(_DIRECTORY, None)
    if directory is not None:
        directory.cleanup()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the seeds of a simulated test into parts, when there are workers to take them."""
    seed_count = getattr(metafunc.function, "quorate_seed_count", None)
    workers = getattr(metafunc.config, "workerinput", {}).get("workercount", 1)
    is_one_run = settings.recipe is not None or settings.auditor is not None or metafunc.config.getoption("--no-spread")
    if seed_count is None or workers < 2 or is_one_run:
        return
    if settings.seed_count is not None:
        seed_count = settings.seed_count
    part_count = min(workers * _PARTS_PER_WORKER, seed_count // _PART_SEEDS_MIN)
    if part_count > 1:
        metafunc.fixturenames.append(_PART)
        parts = [(number, part_count) for number in range(part_count)]
        metafunc.parametrize(_PART, parts, ids=[f"part{number + 1}of{part_count}" for number in range(part_count)])


@pytest.fixture
def quorate_part(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Say which part of its seeds a simulated test runs; not for use in tests."""
    part: tuple[int, int] = request.param
    return part


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Run one part of the seeds, when this item is one."""
    callspec = getattr(pyfuncitem, "callspec", None)
    part = callspec.params.get(_PART) if callspec is not None else None
    if part is None:
        return (yield)
    assert callspec is not None, "a part is a parameter"
    words = [word for word in callspec.id.split("-") if word != f"part{part[0] + 1}of{part[1]}"]
    settings.identity = pyfuncitem.nodeid.rsplit("[", 1)[0] + (f"[{'-'.join(words)}]" if words else "")
    failed = _failure_file(pyfuncitem, settings.identity)
    settings.part = part
    settings.failed_elsewhere = lambda: _seed_in(failed)
    settings.is_first_failure = lambda seed: _is_first(failed, seed)
    try:
        return (yield)
    except FailedElsewhere as news:
        pytest.skip(f"seed {news.seed} of this test fails already, in another part")
    finally:
        settings.part, settings.identity = (0, 1), None
        settings.failed_elsewhere = settings.is_first_failure = None


def _failure_file(item: pytest.Item, identity: str) -> Path:
    """Return the file that says with which seed a part of a test failed, in this run of pytest."""
    directory = Path(getattr(item.config, "workerinput")[_FAILURES])  # noqa: B009  xdist puts it there
    directory.mkdir(exist_ok=True)
    return directory / hashlib.blake2b(identity.encode(), digest_size=12).hexdigest()


def _is_first(file: Path, seed: int) -> bool:
    """Write the seed of a failure down, unless another part has been here; return whether this one is the first."""
    try:
        with file.open("x", encoding="utf-8") as fresh:
            fresh.write(str(seed))
    except FileExistsError:
        return False
    return True


def _seed_in(file: Path) -> int | None:
    try:
        return int(file.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        # Not there, or not yet whole.
        return None


def _keep(report: str) -> None:
    if _current:
        _current[-1].stash.setdefault(_REPORTS, []).append(report)


def _write_log(_: str, program: Any, setup: Any, seed: int) -> None:
    """Run once and write every step; what the test thinks of it does not matter here."""
    with Path(os.environ["QUORATE_STEP_LOG"]).open("w", encoding="utf-8") as file:
        run_trial(program, setup, settings.recipe or Recipe(seed=seed), log=StepLog(file))


def _audit(identity: str, program: Any, setup: Any, seed: int) -> None:
    recipe = settings.recipe or Recipe(seed=seed)
    config = _current[-1].config
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "--rootdir",
        str(config.rootpath),
        "--seed",
        recipe.to_token(),
    ]
    if config.pluginmanager.hasplugin("xdist"):
        command += ["-n", "0"]
    path, _, rest = identity.partition("::")
    step_count = audit([*command, f"{config.rootpath / path}::{rest}"], seed=seed)
    _keep(f"seed {seed}: {step_count} steps and payloads were equal in four fresh processes under three hash seeds")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Know which test runs."""
    _current.append(item)
    try:
        return (yield)
    finally:
        _current.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the simulation has to say."""
    report = yield
    if report.when == "call":
        report.sections += [("simulation", text) for text in item.stash.get(_REPORTS, [])]
    return report


@pytest.fixture
def world() -> Iterator[World]:
    """Give a patched world; its seed is 0, or that of `--seed`."""
    with World(settings.recipe.seed if settings.recipe is not None else 0, patch=True) as made:
        yield made
