"""Runs a script inside a host, as it is: `asyncio.run(main())` hands its coroutine to the host that runs already."""

import asyncio
import runpy
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn, Self


class _Handed(BaseException):
    """Leaves a script at its `asyncio.run`, with what the script wanted to run. No `except Exception` catches it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self.coroutine = coroutine


class _Runner:
    """In place of `asyncio.Runner`."""

    def __init__(self, **_: Any) -> None:
        """Take any option: debug mode and loops are the world's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: the host goes on."""

    def run(self, coro: Coroutine[Any, Any, Any], **_: Any) -> NoReturn:
        """Hand the coroutine over."""
        raise _Handed(coro)


def _run(main: Coroutine[Any, Any, Any], **_: Any) -> NoReturn:
    raise _Handed(main)


async def run_script(path: str, argv: Sequence[str] = ()) -> Any:
    """Run a file as `__main__`, then await what it gave to `asyncio.run`; return that result, or the script's names.

    What follows `asyncio.run` in the script is not reached. `sys.argv` is the script's until then, and no longer.
    """
    saved: list[tuple[Any, str, Any]] = [(asyncio, "run", asyncio.run), (asyncio, "Runner", asyncio.Runner)]
    saved.append((sys, "argv", sys.argv))
    replaced: dict[str, Callable[..., Any]] = {"run": _run, "Runner": _Runner}
    for name, replacement in replaced.items():
        setattr(asyncio, name, replacement)
    sys.argv = [path, *argv]
    try:
        return runpy.run_path(path, run_name="__main__")
    except _Handed as handed:
        coroutine = handed.coroutine
    finally:
        for holder, name, original in saved:
            setattr(holder, name, original)
    return await coroutine
