"""The world: one seed, one time, many hosts."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TextIO, TypeVar

from quorate.kernel import Duration, NodeId
from quorate.sim.choices import Choices
from quorate.sim.disk import DiskPolicy
from quorate.sim.failures import Deadlock, Overdue
from quorate.sim.foreign import patched, reseed
from quorate.sim.host import Host, Incarnation
from quorate.sim.links import LinkPolicy, Links, TCPPolicy
from quorate.sim.observer import Observer
from quorate.sim.partitions import Partitions
from quorate.sim.scheduler import Scheduler

T = TypeVar("T")

BUGGIFY_LIVE_SHARE = 0.25
BUGGIFY_FIRES_SHARE = 0.25


class World:
    """Owns virtual time, randomness, links, disks, faults and the trace of one run.

    Args:
        seed: generates every choice that is not replayed.
        choices: replays an earlier run's choices (see `Choices`).
        link: how links behave unless set otherwise.
        trace: print one line per notable event to standard error, or to a text file that is given.
        buggify: whether the named dice in the code may fire.
        livelock_limit: callbacks that may run without time passing.
        patch: while the world runs, `time`, `random`, `open`, `socket` and the like are those of the running host.
        mount: the directory below which files are on the host's simulated disk, when patched.

    Example:
        >>> world = World(7)
        >>> world.run(asyncio.sleep(3600))
        >>> world.now >= 3600 * 10**9
        True
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        choices: Choices | None = None,
        link: LinkPolicy | None = None,
        tcp: TCPPolicy | None = None,
        disk: DiskPolicy | None = None,
        trace: bool | TextIO = False,
        buggify: bool = False,
        livelock_limit: int = 1_000_000,
        patch: bool = False,
        mount: str = "/disk",
    ) -> None:
        self.choices = choices or Choices(seed)
        self.scheduler = Scheduler(livelock_limit=livelock_limit)
        self.links = Links(self.choices, policy=link or LinkPolicy(), tcp=tcp or TCPPolicy())
        self.partitions = Partitions(self)
        self.hosts: list[Host] = []
        self.disk_policy = disk or DiskPolicy()
        self.trace_lines: list[str] = []
        self.buggified: dict[str, int] = {}
        self._names: dict[str, Host] = {}
        self._trace: TextIO | None = sys.stderr if trace is True else trace or None
        self._is_buggy = buggify
        self._live_sites: dict[str, bool] = {}
        self._awaited: dict[asyncio.Future[Any], None] = {}
        self._lab: Host | None = None
        self.mount = mount.rstrip("/")
        self._is_patched = patch
        self._is_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- observing --------------------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Return true time in nanoseconds."""
        return self.scheduler.now

    @property
    def trace_hash(self) -> int:
        """Return the rolling hash of everything that ran: equal for equal runs."""
        return self.scheduler.trace_hash

    def trace(self, host: str, event: str) -> None:
        """Note something: one line with the columns time (s), host, event."""
        if self.links.observer is not None:
            self.links.observer.happened(self.now, host, event)
        if self._trace is not None:
            line = f"{self.now / 1e9:14.6f}  {host:<10} {event}"
            self.trace_lines.append(line)
            print(line, file=self._trace)

    def observe(self) -> Observer:
        """Keep from now on what arrives where, for a space-time diagram. Changes nothing in the run."""
        if self.links.observer is None:
            self.links.observer = Observer()
        return self.links.observer

    # -- hosts ------------------------------------------------------------------------------------------------------

    def host(self, name: str, *, node: int | None = None, disk: DiskPolicy | None = None) -> Host:
        """Return the host of a name, making it when it is new."""
        found = self._names.get(name)
        if found is not None:
            return found
        number = len(self.hosts) + 1
        host = Host(self, name=name, number=number, node=NodeId(node or number), disk=disk or self.disk_policy)
        self.hosts.append(host)
        self._names[name] = self._names[host.ip] = host
        return host

    def find(self, name: Any, asker: Host) -> Host | None:
        """Return the host of a name or address, as a host sees it."""
        if name in {"localhost", "::1"} or (isinstance(name, str) and name.startswith("127.")):
            return asker
        if isinstance(name, bytes):
            name = name.decode()
        return self._names.get(name)

    def buggify(self, host: Host, site: str) -> bool:
        """Throw a named die: a site is live in a quarter of the runs and then fires at a quarter of the visits."""
        if not self._is_buggy:
            return False
        live = self._live_sites.get(site)
        if live is None:
            live = self._live_sites[site] = self.choices.stream("buggify", site).chance(BUGGIFY_LIVE_SHARE)
        fires = live and self.choices.stream("buggify", site, host.name).chance(BUGGIFY_FIRES_SHARE)
        if fires:
            self.buggified[site] = self.buggified.get(site, 0) + 1
        return fires

    # -- running ----------------------------------------------------------------------------------------------------

    @property
    def lab(self) -> Incarnation:
        """Return where the experimenter's own coroutines run: a host that no fault touches."""
        if self._lab is None:
            self._lab = Host(self, name="lab", number=0, node=NodeId(1 << 30), disk=DiskPolicy())
            self._names["lab"] = self._names[self._lab.ip] = self._lab
            self._lab.boot()
        assert self._lab.incarnation is not None, "the lab never dies"
        return self._lab.incarnation

    def run(self, main: Coroutine[Any, Any, T], *, timeout: Duration | None = None) -> T:
        """Run the world until a coroutine of the experimenter is done; return its result.

        Raises:
            Deadlock: it waits and nothing can ever happen.
            Overdue: it is not done after so much simulated time.
            ProgramFailed: a program raised where nobody caught it.
            Livelock: time does not pass any more.
        """
        scheduler = self.scheduler
        task: asyncio.Task[T] = self.lab.loop.create_task(main, name="lab")
        task.add_done_callback(lambda _: scheduler.stop())
        deadline = None if timeout is None else self.now + timeout
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=_finalize)
        try:
            with self._patches():
                self._run_until(task, main, deadline, timeout)
            scheduler.raise_errors()
        finally:
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    def _run_until(self, task: "asyncio.Task[T]", main: object, deadline: int | None, timeout: Duration | None) -> None:
        scheduler = self.scheduler
        while not task.done():
            if not scheduler.run(deadline) and not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is abandoned on purpose
                if deadline is not None and scheduler.next_time() is not None:
                    raise Overdue(f"{_name(main)} is not done after {(timeout or 0) / 1e9:.3f} s")
                raise Deadlock(f"{_name(main)} waits at {self.now} ns for something that can never happen")

    def _patches(self) -> AbstractContextManager[None]:
        """Return what is in force while the world runs."""
        if not self._is_patched:
            return nullcontext()
        if not self._is_begun:
            self._is_begun = True
            reseed(self)
        return patched()

    def run_for(self, span: Duration) -> None:
        """Run the world for a span of true time."""
        with self._patches():
            self.scheduler.run(self.now + span)

    def at(self, when: int, callback: Callable[[], object]) -> None:
        """Call back at a true time, outside every host: where faults come from."""
        self.scheduler.at(when, self.scheduler.world_gate, callback)

    def is_awaited(self, future: "asyncio.Future[Any]") -> bool:
        """Return whether somebody in the lab waits for a host's future."""
        return future in self._awaited

    async def result(self, future: "asyncio.Future[T]") -> T:
        """Await a host's task from the lab; a task of one loop cannot await one of another."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def tell(_: object) -> None:
            loop.call_soon(_finish, done)

        self._awaited[future] = None
        try:
            if not future.done():
                future.add_done_callback(tell)
                await done
        finally:
            self._awaited.pop(future, None)
        return future.result()

    def close(self) -> None:
        """End all hosts as a crash would: what still runs never runs again."""
        for host in [*self.hosts, *([self._lab] if self._lab else [])]:
            if host.incarnation is not None:
                host.incarnation.end()


def _finalize(generator: AsyncGenerator[Any, Any]) -> None:
    """Close a dropped generator on the loop that dropped it."""
    loop = asyncio._get_running_loop()
    if loop is not None and not loop.is_closed():
        loop.create_task(_aclose(generator))


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


def _name(main: object) -> str:
    return str(getattr(main, "__qualname__", main))


async def _aclose(generator: AsyncGenerator[Any, Any]) -> None:
    await generator.aclose()
