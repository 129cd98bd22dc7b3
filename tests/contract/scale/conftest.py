"""Jobs that only these tests have, where the workers of every engine can import them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TASKS = '''
import os
import signal
from pathlib import Path


def double(configuration, first_seed, seed_count):
    print("a job may print")
    return {"sum": 2 * sum(range(first_seed, first_seed + seed_count)), "process": os.getpid()}


def die(configuration, first_seed, seed_count):
    with open(configuration["log"], "a") as log:
        log.write("died\\\\n")
    os.kill(os.getpid(), signal.SIGKILL)


def leave(configuration, first_seed, seed_count):
    os._exit(0)


def die_once(configuration, first_seed, seed_count):
    try:
        os.mkdir(configuration["once"])
    except FileExistsError:
        return {"sum": -1, "process": os.getpid()}
    os.kill(os.getpid(), signal.SIGKILL)


def fail(configuration, first_seed, seed_count):
    raise ValueError(f"nothing comes of {configuration['what']}")


def hold(configuration, first_seed, seed_count):
    """Tell who runs it, and do not end before somebody says so. Both are pipes with names."""
    place = Path(configuration["place"])
    (place / "begun").write_text(f"{os.getpid()} {os.getppid()}")
    (place / "go").read_text()
    return {"sum": 0, "process": os.getpid()}
'''


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a module of jobs that every process of these tests can import."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "jobs_of_these_tests.py").write_text(TASKS.replace("\\\\n", "\\n"), encoding="utf-8")
    before = os.environ.get("PYTHONPATH")
    source = str(Path(__file__).parents[3] / "src")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), source, *([before] if before else [])])
    sys.path.insert(0, str(folder))
    yield "jobs_of_these_tests"
    sys.path.remove(str(folder))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
