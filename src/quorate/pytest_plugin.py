"""The pytest plugin: options, the `world` fixture, and reports for tests under `quorate.sim.simulate`."""

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.kernel.errors import UsageError
from quorate.sim import Recipe, StepLog, World, audit, run_trial, settings

_REPORTS = pytest.StashKey[list[str]]()
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
