"""Shared ways to write a small history; comparisons that take minutes are made only when asked for."""

import pytest

from quorate.check import Operation
from quorate.check.history import NEVER


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "soak: takes minutes; part of make soak only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long comparisons out unless the expression of marks names them."""
    if "soak" in (config.getoption("-m") or ""):
        return
    long = [item for item in items if item.get_closest_marker("soak") is not None]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]


@pytest.fixture
def ops():
    """Return a builder: rows of (process, f, value, result, call, done); done None means that nobody knows."""

    def build(*rows, key=None):
        return [
            Operation(
                process=process,
                f=f,
                key=key,
                value=value,
                result=result,
                invoke_ns=call * 1_000_000,
                complete_ns=None if done is None else done * 1_000_000,
                outcome="info" if done is None else "ok",
                call=call,
                done=NEVER if done is None else done,
            )
            for process, f, value, result, call, done in rows
        ]

    return build
