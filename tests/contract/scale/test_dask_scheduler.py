"""A Dask cluster that somebody else started."""

from typing import Any

import msgspec
import pytest

from quorate.kernel.errors import UsageError
from quorate.lab.scale import EngineFailed, JobsFailed, Returned, make_job, open_engine, spread

pytestmark = [pytest.mark.slow, pytest.mark.real]


@pytest.fixture(scope="module")
def cluster(tasks: str) -> Any:
    import distributed

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as started:
        yield started


class Sum(msgspec.Struct):
    sum: int


def test_a_cluster_is_joined_by_its_address_used_on_all_threads_and_left_running(cluster: Any, tasks: str) -> None:
    """Several campaigns may use one, one after the other."""
    address = cluster.scheduler_address.removeprefix("tcp://")
    for _ in range(2):
        with open_engine(f"dask://{address}") as engine:
            assert engine.slot_count == 4
            engine.submit(make_job(f"{tasks}:double", {}, first_seed=3))
            ((_, answer),) = engine.results()
            assert isinstance(answer, Returned)
            assert b'"sum":6' in bytes(answer.result)


def test_one_function_is_called_for_many_configurations_in_their_order(cluster: Any, tasks: str) -> None:
    """What comparisons need; a configuration that fails does not take the others along."""
    address = cluster.scheduler_address.removeprefix("tcp://")
    seen: list[int] = []

    rows = spread(
        f"{tasks}:double", [{"row": 1}, {"row": 2}, {"row": 1}], Sum, on=f"dask://{address}",
        on_result=lambda place, _: seen.append(place),
    )  # fmt: skip
    with pytest.raises(JobsFailed, match="nothing comes of it"):
        spread(f"{tasks}:fail", [{"what": "it"}], Sum, on=f"dask://{address}")

    assert rows == [Sum(2)] * 3
    assert sorted(seen) == [0, 1, 2]


def test_a_scheduler_that_goes_away_ends_the_campaign_with_a_sentence(cluster: Any, tasks: str) -> None:
    """It does not wait for ever; what came back before is in the file."""
    address = cluster.scheduler_address.removeprefix("tcp://")
    with open_engine(f"dask://{address}") as engine:
        engine.submit(make_job(f"{tasks}:hold", {"place": "nowhere"}))
        engine.submit(make_job(f"{tasks}:double", {}))
        cluster.close()
        with pytest.raises(EngineFailed, match="gone"):
            list(engine.results())


def test_nobody_there_is_said_and_so_is_a_name_that_is_none() -> None:
    """One sentence, nothing attempted."""
    for name in ("dusk://local", "dask://host", "ray://", "local:0", "spark://a:1", "", "dask://h:99999", "local:x"):
        with pytest.raises(UsageError, match="--on"), open_engine(name):
            pass
