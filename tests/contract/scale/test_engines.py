"""One suite over every engine, each on a real cluster of processes on this machine."""

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from quorate.lab.scale import Drive, Engine, EngineFailed, Found, Job, Lost, Returned, Trouble, make_job, open_engine
from quorate.lab.scale.local_engine import LocalEngine

pytestmark = [pytest.mark.slow, pytest.mark.real]


class Sum(msgspec.Struct):
    sum: int
    process: int


@pytest.fixture(scope="module", params=["local:2", "dask://local:2", "ray://local:2"])
def engine(request: pytest.FixtureRequest, tasks: str) -> Iterator[Engine]:
    with open_engine(request.param, jobs_per_process=3) as opened:
        yield opened


def run(engine: Engine, jobs: list[Job]) -> tuple[dict[str, Sum], Drive]:
    found: dict[str, Sum] = {}

    def take(one: Found) -> None:
        assert one.job.address not in found, "one result for each job"
        found[one.job.address] = msgspec.json.decode(one.result, type=Sum)

    drive = Drive(engine, None, take)
    drive.run(jobs)
    return found, drive


def test_every_job_comes_back_once_whatever_the_others_do_to_their_processes(
    engine: Engine, tasks: str, tmp_path: Path
) -> None:
    """A job that raises is reported; one that kills its process is run twice and reported; the campaign goes on."""
    log = tmp_path / "log"
    ranges = [make_job(f"{tasks}:double", {}, first_seed=10 * place, seed_count=10) for place in range(7)]
    killer = make_job(f"{tasks}:die", {"log": str(log)})
    unlucky = make_job(f"{tasks}:die_once", {"once": str(tmp_path / "once")})
    leaving = make_job(f"{tasks}:leave", {})
    failing = make_job(f"{tasks}:fail", {"what": "this"})

    found, drive = run(engine, [ranges[0], killer, unlucky, failing, leaving, *ranges[1:]])

    report = drive.report
    expected = {job.address: 2 * sum(range(job.first_seed, job.first_seed + 10)) for job in ranges}
    assert {address: one.sum for address, one in found.items()} == expected | {unlucky.address: -1}
    assert os.getpid() not in {one.process for one in found.values()}
    assert log.read_text() == "died\ndied\n"
    troubles: dict[Job, Trouble] = {trouble.job: trouble for trouble in report.troubles}
    assert len(report.troubles) == 3
    assert {job: trouble.kind for job, trouble in troubles.items()} == {
        killer: "killed", leaving: "killed", failing: "raised"
    }  # fmt: skip
    assert "ValueError: nothing comes of this" in troubles[failing].sentence
    assert (report.done_count, report.rerun_count, report.is_interrupted) == (8, 3, False)


def test_a_job_is_run_again_when_its_worker_is_killed_from_outside(engine: Engine, tasks: str, tmp_path: Path) -> None:
    """The machine's fault, not the job's: nobody notices but by the time that it takes."""
    job = make_job(f"{tasks}:hold", {"place": str(tmp_path)})
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    engine.submit(job)
    child, above = (int(word) for word in (tmp_path / "begun").read_text().split())
    # Behind Dask and Ray the job's process is a child of the worker: the worker itself dies.
    is_direct = isinstance(engine, LocalEngine)
    watch = os.pidfd_open(child)
    os.kill(child if is_direct else above, signal.SIGKILL)

    # It ends together with its worker, or this waits for ever.
    select.select([watch], [], [])
    os.close(watch)
    if is_direct:
        ((_, lost),) = engine.results()
        assert isinstance(lost, Lost)
        engine.submit(job)
    (tmp_path / "begun").read_text()
    (tmp_path / "go").write_text("go")
    ((_, answer),) = engine.results()
    assert isinstance(answer, Returned)


def test_workers_with_other_code_are_refused(engine: Engine, tasks: str) -> None:
    """A result of other code would stand under the wrong address."""
    job = msgspec.structs.replace(make_job(f"{tasks}:double", {}), code="0" * 32)

    with pytest.raises(EngineFailed, match="other code than this process"):
        run(engine, [job])
