"""Shared ways to write a small history."""

import pytest

from quorate.check import Operation
from quorate.check.history import NEVER


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
