"""A campaign that is killed goes on from its file; its failures are told once each."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from quorate.kernel import seconds
from quorate.lab.simulation import CampaignOptions, Outcome, SimOptions, run_campaign
from quorate.lab.simulation.failures import chosen, grouped, signature_of
from quorate.sim import Crash, FaultSchedule, Heal, Partition, Planned, Restart

BUG = "no-up-to-date-check"
SEEDS = 24


def command(path: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "quorate", "sim", "--level", "core", "--span", "3", "--bug", BUG, "--shrunk", "0"),
        *("--seeds", str(SEEDS), "--seeds-per-job", "2", "--on", "local:2", "--results", str(path)),
    ]


@pytest.mark.slow
@pytest.mark.real
def test_a_campaign_that_is_killed_goes_on_and_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """Jobs that were done are not run again, the torn line is mended, and both campaigns say the same."""
    path = tmp_path / "campaign.jsonl"
    whole = run_campaign(
        CampaignOptions(levels=("core",), span=seconds(3), bug=BUG, seed_count=SEEDS, on="local:2", seeds_per_job=4)
    )
    with subprocess.Popen(command(path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert b"invariant" in line, "the first failure is told while the campaign runs"
        process.kill()
        # The workers hold the other end of this pipe, and end with the campaign; else this reads for ever.
        process.stdout.read()
    done = path.read_bytes()
    assert 2 <= done.count(b"\n") < SEEDS // 2 + 1
    path.write_bytes(done + b'{"address":"torn')

    again = subprocess.run(command(path), capture_output=True, check=False)

    text = again.stdout.decode()
    assert again.returncode == 1, again.stderr.decode()
    assert "was torn" in text
    assert f"{2 * (done.count(bytes([10])) - 1)} of these runs were in" in text
    assert path.read_bytes().startswith(done)
    addresses = [msgspec.json.decode(line)["address"] for line in path.read_bytes().splitlines()[1:]]
    assert len(addresses) == len(set(addresses)) == SEEDS // 2
    resumed = run_campaign(
        CampaignOptions(levels=("core",), span=seconds(3), bug=BUG, seed_count=SEEDS, on="local:2", results=path)
    )
    assert resumed.reused_run_count == resumed.run_count == SEEDS
    assert plain(resumed.failures) == plain(whole.failures)
    assert (resumed.marks, resumed.operations, resumed.fault_counts) == (
        whole.marks, whole.operations, whole.fault_counts
    )  # fmt: skip


def plain(failures: list[Outcome]) -> list[Outcome]:
    return [msgspec.structs.replace(failure, wall_s=0.0) for failure in failures]


def failure(seed: int, sentence: str, *faults: tuple[int, object]) -> Outcome:
    return Outcome(
        options=SimOptions(seed=seed),
        node_count=3,
        kind="invariant",
        sentence=sentence,
        applied=FaultSchedule(tuple(Planned(at, fault) for at, fault in faults)),  # type: ignore[arg-type]
        fault_counts={},
        operations={},
        marks={},
        trace_hash=0,
        simulated_ns=0,
    )


def test_failures_that_come_down_to_one_schedule_are_one() -> None:
    """Whichever node it was, and whenever: the order of the harm is what they have in common."""
    one = failure(1, "term 4", (5, Crash(2)), (9, Partition("isolate", ((2, 1), (1, 2), (2, 3), (3, 2)))), (12, Heal()))
    same = failure(2, "term 9", (7, Crash(1)), (8, Partition("isolate", ((1, 2), (2, 1), (1, 3), (3, 1)))), (9, Heal()))
    other = failure(3, "term 4", (5, Crash(2)), (9, Restart(3)))
    longer = failure(4, "term 5")
    failures = [one, same, other, longer]
    shrunk = {("loop", one.options.seed): one, ("loop", 2): same, ("loop", 3): other}

    groups = grouped(failures, shrunk)  # type: ignore[arg-type]

    assert signature_of(one) == signature_of(same)
    assert [(group.seeds, group.is_shrunk) for group in groups] == [([1, 2], True), ([3], True), ([4], False)]


def test_failures_of_many_looks_are_made_smaller_before_many_of_one() -> None:
    """A rare failure is not hidden behind a hundred of a common one."""
    common = [failure(seed, f"two leaders of term {seed}") for seed in range(1, 9)]
    rare = failure(9, "an entry was lost")

    assert [one.options.seed for one in chosen([*common, rare], 3)] == [1, 9, 2]
    assert chosen([*common, rare], 100) == [common[0], rare, *common[1:]]
    assert chosen([], 5) == []


@pytest.mark.slow
@pytest.mark.real
def test_a_campaign_makes_its_failures_smaller_on_its_engine(tmp_path: Path) -> None:
    """As jobs like any other: a second campaign finds them in the file."""
    options = CampaignOptions(
        levels=("core",), bug=BUG, first_seed=5, seed_count=2, on="local:2", results=tmp_path / "x",
        shrunk_count_max=1,
    )  # fmt: skip

    result = run_campaign(options)
    size = os.path.getsize(tmp_path / "x")
    again = run_campaign(options)

    ((place, smaller),) = result.shrunk.items()
    assert place == ("core", smaller.options.seed)
    assert smaller.kind == next(one.kind for one in result.failures if one.options.seed == place[1])
    assert again.shrunk == result.shrunk
    assert os.path.getsize(tmp_path / "x") == size
