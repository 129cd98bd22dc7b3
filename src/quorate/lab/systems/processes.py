"""Child processes that never outlive us.

Each child has its own session, so that Ctrl-C reaches us alone; it dies with us even when we are killed (Linux); and
`close` kills all of them, paused ones too.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from quorate.kernel import NodeId, errors
from quorate.lab.systems.clocks import FakeClocks

_PR_SET_PDEATHSIG = 1


class Children:
    """The processes of one system, at most one per node.

    Args:
        with_families: signals reach the processes that a child has started too, as PostgreSQL's do. Each of them may
            have a group of its own, so they are looked up among all processes (Linux).
        user: whom children run as; ourselves when absent. Only root can change it.
    """

    def __init__(self, *, with_families: bool = False, user: str | None = None) -> None:
        self._with_families = with_families
        self._user = user
        # Set before the first start: every process then lives by its node's clock.
        self.clocks: FakeClocks | None = None
        self._children: dict[NodeId, subprocess.Popen[bytes]] = {}
        self._paused: set[NodeId] = set()
        self._logs: dict[NodeId, Path] = {}
        # Seconds of processor time used by children that are gone.
        self._spent_cpu_s: dict[NodeId, float] = {}

    def start(
        self,
        node: NodeId,
        command: Sequence[str],
        *,
        log: Path,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a node's process, or let it go on when it is paused. Its output is appended to a log.

        Raises:
            UsageError: the program cannot be started.
        """
        if self.is_running(node):
            self.send(node, signal.SIGCONT)
            return
        clock = self.clocks.environment(node) if self.clocks is not None else {}
        with log.open("ab") as output:
            try:
                self._children[node] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=directory,
                    env={**os.environ, **(environment or {}), **clock},
                    start_new_session=True,
                    user=self._user,
                    group=self._user,
                    extra_groups=None if self._user is None else [],
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  # takes no lock
                )
            except OSError as cause:
                raise errors.UsageError(f"cannot start {command[0]}: {cause.strerror}") from cause
        self._logs[node] = log
        self._paused.discard(node)

    def send(self, node: NodeId, signal_number: signal.Signals) -> None:
        """Send a signal to a node's process; after SIGKILL, wait until it is gone."""
        child = self._children.get(node)
        if child is None or child.poll() is not None:
            return
        if signal_number == signal.SIGSTOP:
            self._paused.add(node)
        elif signal_number == signal.SIGCONT:
            self._paused.discard(node)
        if signal_number == signal.SIGKILL:
            self._spent_cpu_s[node] = self._spent_cpu_s.get(node, 0.0) + self._family_cpu_s(child.pid)
        family = self._stilled_family(child.pid, signal_number)
        child.send_signal(signal_number)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        if signal_number == signal.SIGKILL:
            child.wait()
            self._paused.discard(node)

    def is_running(self, node: NodeId) -> bool:
        """Whether a node has a process, paused or not."""
        child = self._children.get(node)
        return child is not None and child.poll() is None

    def is_paused(self, node: NodeId) -> bool:
        """Whether a node's process was stopped by a signal."""
        return node in self._paused

    def pid(self, node: NodeId) -> int | None:
        """Return the id of a node's process, if it runs."""
        child = self._children.get(node)
        return child.pid if child is not None and child.poll() is None else None

    def pids(self) -> dict[NodeId, int]:
        """Return the ids of all processes that run."""
        return {node: child.pid for node, child in self._children.items() if child.poll() is None}

    def trouble(self) -> str:
        """Say which process ended by itself, with the last line of its log; nothing when none did."""
        for node, child in self._children.items():
            status = child.poll()
            if status is not None and status >= 0:  # below 0: a signal, and we send those
                lines = self._logs[node].read_text(encoding="utf-8", errors="replace").splitlines()
                return f"node {node} ended with status {status}: {lines[-1] if lines else 'it said nothing'}"
        return ""

    def cpu_s(self) -> float:
        """Return the processor time of all processes so far, seconds; 0 where the system does not tell."""
        running = sum(self._family_cpu_s(child.pid) for child in self._children.values() if child.poll() is None)
        return running + sum(self._spent_cpu_s.values())

    def close(self) -> None:
        """Kill and reap every process."""
        for node, child in self._children.items():
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    self.send(node, signal.SIGKILL)
        for child in self._children.values():
            child.wait()
        self._children.clear()
        self._paused.clear()

    def _family_cpu_s(self, pid: int) -> float:
        family = [pid, *_descendants(pid)] if self._with_families else [pid]
        return sum(map(_cpu_s, family))

    def _stilled_family(self, pid: int, signal_number: signal.Signals) -> list[int]:
        """Return a child's descendants; it is stopped meanwhile, lest it start more while we look."""
        if not self._with_families or signal_number == signal.SIGTERM:
            return []
        if signal_number != signal.SIGCONT:
            os.kill(pid, signal.SIGSTOP)
        return _descendants(pid)


def _descendants(pid: int) -> list[int]:
    """Return all processes that descend from one. Complexity: O(processes of the machine)."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
                children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(name))
            except (OSError, IndexError):
                continue  # gone meanwhile
    found, left = [], [pid]
    while left:
        born = children.get(left.pop(), [])
        found += born
        left += born
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return 0.0
    # Fields 14 and 15 of proc(5): ticks in user and kernel mode; the split starts at field 3.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _die_with_parent() -> None:
    """Run in the child: ask to be killed when the parent dies, and go at once if it is dead already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() == 1:
        os._exit(1)
