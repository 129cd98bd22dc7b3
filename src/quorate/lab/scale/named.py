"""Engines by the names that `--on` takes."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from quorate.kernel.errors import UsageError
from quorate.lab.scale.engine import Engine

FORMS: Final = (
    "local, local:N, dask://local, dask://local:N, dask://HOST:PORT, ray://local, ray://auto, ray://HOST:PORT"
)
ON_HELP: Final = "Who runs the jobs: local, local:N, dask://HOST:PORT, ray://HOST:PORT, dask://local, ray://local."
"""The help of the option."""
SLOT_COUNT_MAX: Final = 4_096

_NAME = re.compile(r"(?:(?P<kind>dask|ray)://)?(?P<host>[^:/\s]+|\[[0-9a-fA-F:]+\])(?::(?P<number>\d+))?/?")


@contextmanager
def open_engine(on: str, *, jobs_per_process: int = 1, preload: Sequence[str] = ()) -> Iterator[Engine]:
    """Start or join an engine for the length of a block; what was started for it ends with it.

    Args:
        on: local or local:N for processes of this machine; dask://HOST:PORT for a scheduler; ray://HOST:PORT for a
            cluster's client port, ray://auto for the cluster that this machine belongs to. dask://local and ray://local
            start one here, with :N workers, else one per processor.
        jobs_per_process: of the local pool; behind the others a process is replaced after a number of seeds.
        preload: modules that jobs need; processes of the local pool start with them.

    Raises:
        UsageError: the name is none of these, or its engine is not installed.
        EngineFailed: nobody answers there.
    """
    engine = _make(on, jobs_per_process, preload)
    try:
        yield engine
    finally:
        engine.cancel()


def check_engine(on: str) -> None:
    """Raise UsageError when no engine has such a name."""
    _parse(on)


def _parse(on: str) -> tuple[str, str, int | None]:
    found = _NAME.fullmatch(on.strip())
    if found is None:
        raise UsageError(f"--on is one of {FORMS}; not {on!r}")
    kind, host, number = found["kind"] or "", found["host"], found["number"]
    count = int(number) if number is not None else None
    if host == "local":
        if count is not None and not 1 <= count <= SLOT_COUNT_MAX:
            raise UsageError(f"--on {on}: 1 to {SLOT_COUNT_MAX} processes")
    elif (kind, host, number) == ("ray", "auto", None):
        pass
    elif not kind or count is None or not 1 <= count <= 65_535:
        raise UsageError(f"--on is one of {FORMS}; not {on!r}")
    return kind, host, count


def _make(on: str, jobs_per_process: int, preload: Sequence[str]) -> Engine:
    kind, host, number = _parse(on)
    is_here = host == "local"
    slot_count = number if is_here and number is not None else os.cpu_count() or 1
    match kind:
        case "dask":
            from quorate.lab.scale.dask_engine import DaskEngine

            return DaskEngine(None if is_here else f"{host}:{number}", slot_count=slot_count)
        case "ray":
            from quorate.lab.scale.ray_engine import RayEngine

            address = None if is_here else "auto" if host == "auto" else f"ray://{host}:{number}"
            return RayEngine(address, slot_count=slot_count)
        case _:
            from quorate.lab.scale.local_engine import LocalEngine

            return LocalEngine(slot_count, jobs_per_process=jobs_per_process, preload=preload)
