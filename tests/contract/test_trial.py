"""Trials of a server that we did not write: the laboratory must pass what is sound and catch what is not."""

import io
import itertools
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from quorate.check import History
from quorate.kernel import NodeId, errors, seconds
from quorate.lab import Client, EtcdSystem, Leadership, Links, RedisSystem, TrialOptions, TrialResult, run_trial
from quorate.lab.systems import Signal

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
]


class LyingClient:
    """Acknowledges every third write without making it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._writes = itertools.count(1)

    async def write(self, key: str, value: int) -> None:
        if next(self._writes) % 3 == 0 and key.startswith("register"):
            return
        await self._client.write(key, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


class LyingSystem(RedisSystem):
    def client(self, process: int) -> Client:
        return LyingClient(super().client(process))  # type: ignore[return-value]


class DoublingClient(LyingClient):
    """Sends every third increment twice, as a client with silent retries does."""

    async def write(self, key: str, value: int) -> None:
        await self._client.write(key, value)

    async def increment(self, key: str) -> int:
        if next(self._writes) % 3 == 0:
            await self._client.increment(key)
        return await self._client.increment(key)


class DoublingSystem(RedisSystem):
    def client(self, process: int) -> Client:
        return DoublingClient(super().client(process))  # type: ignore[return-value]


class DeadSystem(RedisSystem):
    """Never starts anything."""

    async def start(self, node: NodeId) -> None:
        del node


def tried(tmp_path: Path, system: RedisSystem, **options: Any) -> tuple[TrialResult, str]:
    console = Console(file=io.StringIO(), width=120)
    wanted = {
        "node_count": 1,
        "duration": seconds(2),
        "faults": (),
        "rate_per_second": 300,
        "output": tmp_path,
        **options,
    }
    result = run_trial(TrialOptions(**wanted), system=system, console=console)
    assert isinstance(console.file, io.StringIO)
    return result, console.file.getvalue()


def leftovers() -> list[str]:
    """Return the servers that this process started and that still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "redis-server" in command and str(os.getpid()) == str(_parent(entry)):
                found.append(command)
    return found


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_sound_server_without_faults_is_valid_and_everything_is_written(tmp_path: Path) -> None:
    result, text = tried(tmp_path, RedisSystem())
    assert result.verdict == "valid"
    assert result.exit_status == 0
    assert result.outcomes["ok"] > 300
    assert "VALID" in text
    history = History.from_lines((tmp_path / "history.jsonl").read_bytes().splitlines())
    assert len(history.operations) == sum(result.outcomes.values())
    assert "Trial of redis" in (tmp_path / "report.html").read_text()
    assert not leftovers()


def test_a_durable_server_that_is_killed_and_paused_stays_valid(tmp_path: Path) -> None:
    """appendfsync always: what was acknowledged survives kill -9, and clients sort their errors rightly."""
    result, text = tried(
        tmp_path, RedisSystem(), duration=seconds(6), faults=("crash-leader", "pause-leader"), fault_duration=seconds(1)
    )
    assert result.verdict == "valid"
    assert {span.name for span in result.spans} == {"crash-leader", "pause-leader"}
    assert result.error_codes.get("UNREACHABLE", 0) > 0
    assert result.recovery_ns is not None
    # A whole second down shows in the figures.
    assert max(outage.gap_ns for outage in result.outages) > 0.7 * seconds(1)
    assert "without service" in text


def test_a_client_that_acknowledges_without_writing_is_invalid(tmp_path: Path) -> None:
    result, text = tried(tmp_path, LyingSystem())
    assert result.verdict == "invalid"
    assert result.exit_status == 1
    assert result.finding.witness
    assert "INVALID" in text
    data = (tmp_path / "report.html").read_text()
    assert json.dumps("invalid") in data


def test_an_increment_that_is_applied_twice_is_invalid(tmp_path: Path) -> None:
    assert tried(tmp_path, DoublingSystem())[0].verdict == "invalid"


def test_asynchronous_replication_loses_acknowledged_writes_at_failover(tmp_path: Path) -> None:
    """The old primary goes on accepting writes that nobody else will ever have."""
    result, _ = tried(
        tmp_path,
        RedisSystem(),
        node_count=3,
        duration=seconds(9),
        faults=("isolate-leader",),
        fault_duration=seconds(5),
    )
    assert len({seen.node for _, seen in result.leaders if seen.node is not None}) == 2
    assert result.verdict == "invalid"


def test_a_system_that_never_serves_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(errors.Unreachable, match="never served"):
        tried(tmp_path, DeadSystem(), recovery_timeout=seconds(0.3))
    assert not leftovers()


def test_a_server_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    class Misled(RedisSystem):
        async def start(self, node: NodeId) -> None:
            self._children.start(node, ["sh", "-c", "echo the disk is on fire; exit 3"], log=tmp_path / "log")

    with pytest.raises(errors.Unreachable, match="node 1 ended with status 3: the disk is on fire"):
        tried(tmp_path, Misled())


def test_options_that_make_no_trial_are_refused(tmp_path: Path) -> None:
    for options in ({"node_count": 0}, {"duration": 0}, {"rate_per_second": 0.0}, {"faults": ("rain",)}):
        with pytest.raises(errors.UsageError):
            tried(tmp_path, RedisSystem(), **options)


_SCRIPT = """
import sys
from pathlib import Path
from quorate.kernel import seconds
from quorate.lab import RedisSystem, TrialOptions, run_trial
class Told(RedisSystem):
    async def start(self, node):
        await super().start(node)
        print("pid", self._children.pid(node), flush=True)
run_trial(TrialOptions(node_count=1, duration=seconds(30), faults=(), output=Path(sys.argv[1])), system=Told())
"""


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_servers_die_with_the_trial(tmp_path: Path, signal_number: signal.Signals) -> None:
    """Ctrl-C cleans up; after kill -9 of the trial itself the kernel does (Linux)."""
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as trial:
        assert trial.stdout is not None
        pid = next(int(line.split()[1]) for line in trial.stdout if line.startswith("pid"))
        assert Path(f"/proc/{pid}").exists()
        trial.send_signal(signal_number)
        trial.wait(10)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and _state(pid) not in {"Z", ""}:
        assert time.monotonic() < deadline, "the server outlived its trial"


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def test_the_adapter_protocol_is_five_methods() -> None:
    class Five:
        name = "five"

        async def setup(self, directory: Path, nodes: Sequence[NodeId], links: Links) -> None: ...
        async def start(self, node: NodeId) -> None: ...
        async def stop(self, node: NodeId, how: Signal) -> None: ...
        async def leader(self) -> Leadership:
            return Leadership()

        def client(self, process: int) -> Client:
            raise AssertionError("nobody asks")

    from quorate.lab import System

    public = {name for name in vars(System) if not name.startswith("_")}
    assert {name for name in vars(Five) if not name.startswith("_")} - {"name"} == public - {"name"}


def test_the_example_of_an_own_adapter_passes_the_careful_server_and_catches_the_careless_one(tmp_path: Path) -> None:
    """docs/trials.md sends readers there."""
    example = runpy.run_path(str(ROOT / "examples" / "trial_of_own_server" / "adapter.py"), run_name="example")
    careful = example["try_it"](tmp_path / "careful", duration_s=3.0)
    assert careful.verdict == "valid"
    assert "crash-leader" in {span.name for span in careful.spans}
    assert example["try_it"](tmp_path / "careless", "--careless", duration_s=3.0).verdict == "invalid"


def test_etcd_stays_valid_while_its_leader_is_cut_off_and_killed(tmp_path: Path) -> None:
    result, _ = tried(
        tmp_path,
        EtcdSystem(),
        node_count=3,
        duration=seconds(9),
        faults=("isolate-leader", "crash-leader"),
        rate_per_second=150,
    )
    assert result.verdict == "valid"
    # The links do harm: whoever led was replaced.
    assert len({seen.node for _, seen in result.leaders if seen.node is not None}) > 1


def test_the_serializable_reads_of_etcd_are_stale_when_a_follower_is_cut_off(tmp_path: Path) -> None:
    result, _ = tried(
        tmp_path,
        EtcdSystem(is_serializable=True),
        node_count=3,
        duration=seconds(6),
        faults=("partition-halves",),
        rate_per_second=150,
    )
    assert result.verdict == "invalid"
