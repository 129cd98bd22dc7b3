"""What a job costs on each engine, beside what it does: `python tests/perf/engines.py`."""

import os
import time
from pathlib import Path
from typing import Any

from quorate.lab.scale import make_job, open_engine

JOB_COUNT = 40
TASK = "engines:nothing"


def nothing(_configuration: Any, first_seed: int, _seed_count: int) -> int:
    """Do nothing."""
    return first_seed


def measure(on: str) -> None:
    """Print when the first job is back, and how long the others take each."""
    began = time.monotonic()
    with open_engine(on, jobs_per_process=60) as engine:
        for seed in range(2):
            engine.submit(make_job(TASK, on, first_seed=seed))
        assert len(list(engine.results())) == 2
        first_s = time.monotonic() - began
        began = time.monotonic()
        for seed in range(JOB_COUNT):
            engine.submit(make_job(TASK, on, first_seed=100 + seed))
        assert len(list(engine.results())) == JOB_COUNT
        each_ms = 1_000 * (time.monotonic() - began) / JOB_COUNT
    print(f"| `{on}` | {first_s:.1f} s | {each_ms:.1f} ms |")


if __name__ == "__main__":
    # Workers have to find this file.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    for engine_name in ("local:2", "dask://local:2", "ray://local:2"):
        measure(engine_name)
