"""Hosts: machines that boot, crash, lose power, stall and boot again."""

import asyncio
import ctypes
import errno
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

from quorate.env import Env
from quorate.kernel import Duration, NodeId
from quorate.sim.datagrams import SimDatagramSocket
from quorate.sim.disk import DiskPolicy, SimDisk
from quorate.sim.env import make_env
from quorate.sim.failures import Revoked
from quorate.sim.loop import SimLoop
from quorate.sim.scheduler import DEAD, OPEN, STALLED, Gate, SimHandle
from quorate.sim.sockets import SimSocket
from quorate.sim.time import HostTime

if TYPE_CHECKING:
    from quorate.sim.world import World

Main = Callable[[Env], Coroutine[Any, Any, Any]]

EPHEMERAL_PORT_MIN: Final = 32_768
EPHEMERAL_PORT_MAX: Final = 60_999

# Tasks of the dead. A coroutine that is collected runs its `finally` blocks, which no dead process does; so they are
# kept, and one more reference keeps them even while the interpreter shuts down.
_GRAVEYARD: Final[list[Any]] = []
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_GRAVEYARD))


class Acceptor(Protocol):
    """Who takes the connections of a listening port."""

    def accept(self, sock: SimSocket) -> None:
        """Take one."""


class Incarnation:
    """One life of a host's process: from a start to a crash."""

    def __init__(self, host: "Host", boot_count: int) -> None:
        self.host = host
        self.boot_count = boot_count
        self.gate = Gate(host.number)
        self.is_alive = True
        self.is_paused = False
        self.busy_until = 0
        self.is_in_executor = False
        # Time spent blocking inside the executor: it delays the result, not the loop.
        self.executor_ns = 0
        # What programs that know nothing of the world use: their chance, that of their encryption, and the
        # time of the last `uuid1`.
        self.chance: random.Random | None = None
        self.cipher_chance: random.Random | None = None
        self.last_uuid_time = 0
        # Files that were opened below the mount, by number.
        self.descriptors: dict[int, Any] = {}
        self.last_descriptor = 0
        # A dict, for its order.
        self.sockets: dict[SimSocket, None] = {}
        self.loop = SimLoop(self)  # type: ignore[abstract]  # what does not exist in the world stays refused

    def check(self) -> None:
        """Raise Revoked when this life is over."""
        if not self.is_alive:
            raise Revoked(f"{self.host.name} of boot {self.boot_count} is dead and reaches nothing")

    def enter(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> None:
        """Run a callback of this life's program from an event of the world: now if it runs, else when it does."""
        if self.gate.state == OPEN:
            outer = asyncio._get_running_loop()
            asyncio._set_running_loop(self.loop)
            try:
                (context or Context()).run(callback, *args)
            finally:
                asyncio._set_running_loop(outer)
        elif self.gate.state == STALLED:
            self.host.world.scheduler.ready.append(SimHandle(self.gate, callback, args, context, -1))

    def stall(self, span: int) -> None:
        """Block this life's loop, as a blocking call does: nothing runs, and what it sends leaves afterwards."""
        if self.is_in_executor:
            self.executor_ns += span
            return
        scheduler = self.host.world.scheduler
        self.busy_until = max(self.busy_until, scheduler.now) + span
        if self.gate.state != DEAD:
            self.gate.state = STALLED
            scheduler.at(self.busy_until, self.host.kernel_gate, self._maybe_release)

    def pause(self) -> None:
        """Stop it, as SIGSTOP does."""
        self.is_paused = True
        if self.gate.state == OPEN:
            self.gate.state = STALLED

    def resume(self) -> None:
        """Let it go on."""
        self.is_paused = False
        self._maybe_release()

    def _maybe_release(self) -> bool:
        scheduler = self.host.world.scheduler
        if self.is_paused or scheduler.now < self.busy_until:
            return False
        scheduler.release(self.gate)
        return True

    def end(self) -> None:
        """Run nothing any more, ever: no `finally`, no `__aexit__`, no cancellation."""
        # First, so that whatever still holds the Env reaches nothing.
        self.is_alive = False
        self.host.world.scheduler.kill(self.gate)
        for task in asyncio.all_tasks(self.loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is not an oversight
            _GRAVEYARD.append(task)
        # With what its connections call, so that no `__del__` of the dead writes or warns.
        _GRAVEYARD.append((self, [sock.owner for sock in self.sockets]))


class Host:
    """One machine of the world: it outlives its processes; disk and clocks belong to it."""

    def __init__(self, world: "World", *, name: str, number: int, node: NodeId, disk: DiskPolicy) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.node = node
        self.ip = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        dice = world.choices.stream("host", name)
        self.time = HostTime(origin_ns=dice.below(1_000) * 1_000_000_000)
        self.disk = SimDisk(world.choices.stream("disk", name), policy=disk)
        # Events of this machine's kernel: they run also while its program is stalled or dead.
        self.kernel_gate = Gate(number)
        self.is_up = True
        self.power_count = 1
        self.boot_count = 0
        self.incarnation: Incarnation | None = None
        self.listeners: dict[int, Acceptor] = {}
        self.datagrams: dict[int, SimDatagramSocket] = {}
        # Directories that were made below the mount; they survive everything.
        self.directories: dict[str, None] = {}
        self.main: Main | None = None
        self.task: asyncio.Task[Any] | None = None
        self._next_port = EPHEMERAL_PORT_MIN + dice.below(EPHEMERAL_PORT_MAX - EPHEMERAL_PORT_MIN)

    def __repr__(self) -> str:
        return f"<Host {self.name}>"

    # -- life -------------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Return whether a process is alive (it may be paused, or its main may have returned)."""
        return self.incarnation is not None and self.incarnation.is_alive

    @property
    def is_paused(self) -> bool:
        """Return whether the process is stopped by `pause`."""
        return self.incarnation is not None and self.incarnation.is_paused

    def boot(self) -> Incarnation:
        """Begin a life without a program."""
        assert not self.is_running, "one process at a time runs on a host"
        if not self.is_up:
            self.is_up = True
            self.power_count += 1
        self.boot_count += 1
        self.incarnation = Incarnation(self, self.boot_count)
        self.kernel_gate.loop = self.incarnation.loop
        return self.incarnation

    def start(self, main: Main) -> asyncio.Task[Any]:
        """Boot and run a program; return its main task (await it with `world.result`).

        An exception that leaves the program fails the run, unless somebody awaits it.
        """
        self.main = main
        incarnation = self.boot()
        self.world.trace(self.name, f"start boot={self.boot_count}")
        env = make_env(incarnation)
        self.task = incarnation.loop.create_task(main(env), name=f"{self.name} main")
        self.task.add_done_callback(self._main_ended, context=Context())
        return self.task

    def launch(self, program: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> asyncio.Task[Any]:
        """Boot and run a program that knows nothing of the world: a coroutine function and its arguments.

        `World(patch=True)` lets it see this host's clocks, chance, files and sockets. `restart` calls it again.
        """
        return self.start(lambda _: program(*args))

    def script(self, path: str, *argv: str) -> asyncio.Task[Any]:
        """Boot and run a file as `python path argv …` does; a script that ends in `asyncio.run` runs as it is."""
        from quorate.sim.foreign import run_script

        return self.launch(run_script, path, argv)

    def _main_ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and not self.world.is_awaited(task) and task.exception() is not None:
            error = task.exception()
            assert error is not None, "just tested"
            self.world.scheduler.errors.append(error)

    def restart(self) -> asyncio.Task[Any]:
        """Run the last program again; boots the machine when it has no power."""
        assert self.main is not None, "only what was started can be restarted"
        return self.start(self.main)

    def stop(self) -> None:
        """Ask the program to end in good order, by cancelling its main task."""
        if self.task is not None and not self.task.done():
            self.task.cancel()

    def crash(self) -> None:
        """End the process at once (kill -9): the kernel closes its connections, the page cache survives."""
        incarnation = self._end("crash")
        if incarnation is not None:
            for sock in incarnation.sockets:
                sock.close()

    def power_cut(self) -> None:
        """Switch the machine off: silence on the network, un-synced writes are lost, torn or reordered."""
        if not self.is_up:
            return
        incarnation = self._end("power cut")
        self.is_up = False
        if incarnation is not None:
            for sock in incarnation.sockets:
                sock.forget()
        self.disk.power_cut()

    def wipe(self) -> None:
        """Switch the machine off and put an empty disk into it."""
        self.power_cut()
        self.disk.wipe()

    def _end(self, how: str) -> Incarnation | None:
        incarnation = self.incarnation
        if incarnation is None or not incarnation.is_alive:
            return None
        self.world.trace(self.name, how)
        incarnation.end()
        self.kernel_gate.loop = None
        self.incarnation = None
        self.listeners.clear()
        self.datagrams.clear()
        self.disk.process_ended()
        return incarnation

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does; its kernel goes on."""
        if self.incarnation is not None:
            self.world.trace(self.name, "pause")
            self.incarnation.pause()

    def resume(self) -> None:
        """Let the process go on."""
        if self.incarnation is not None and self.incarnation.is_paused:
            self.world.trace(self.name, "resume")
            self.incarnation.resume()

    # -- clocks -----------------------------------------------------------------------------------------------------

    def departs_at(self) -> int:
        """Return the true time at which what the program does now takes effect outside."""
        now = self.world.scheduler.now
        incarnation = self.incarnation
        return now if incarnation is None or incarnation.busy_until < now else incarnation.busy_until

    def set_drift(self, drift_ppb: int) -> None:
        """Change the rate of the clocks: nanoseconds gained per second of true time. Complexity: O(timers)."""
        # From the end of a blocking call that is under way: the program has seen the time up to there.
        self.time.set_drift(self.departs_at(), drift_ppb)
        if self.incarnation is not None:
            self.world.scheduler.retime(self.incarnation.gate, self.time.true)

    def jump_wall(self, span: Duration) -> None:
        """Set the wall clock forward or back; the monotonic one knows nothing of it."""
        self.time.wall_offset_ns += span

    # -- kernel -----------------------------------------------------------------------------------------------------

    def ephemeral_port(self) -> int:
        """Return a port that nobody uses."""
        while True:
            self._next_port += 1
            if self._next_port > EPHEMERAL_PORT_MAX:
                self._next_port = EPHEMERAL_PORT_MIN
            if self._next_port not in self.listeners and self._next_port not in self.datagrams:
                return self._next_port

    def bind_listener(self, port: int, acceptor: Acceptor) -> None:
        """Give a port to a listener; raise OSError when it is taken."""
        if port in self.listeners:
            raise OSError(errno.EADDRINUSE, f"address {self.name}:{port} is in use")
        self.listeners[port] = acceptor

    def bind_datagrams(
        self,
        incarnation: Incarnation,
        local: tuple[str, int],
        receiver: Callable[[tuple[str, int], bytes], None],
        on_refused: Callable[[OSError], None] | None = None,
    ) -> SimDatagramSocket:
        """Give a UDP port to a receiver; raise OSError when it is taken."""
        port = local[1] or self.ephemeral_port()
        if port in self.datagrams:
            raise OSError(errno.EADDRINUSE, f"address {self.name}:{port} is in use")
        self.datagrams[port] = SimDatagramSocket(incarnation, (local[0], port), receiver, on_refused)
        return self.datagrams[port]

    def accept(self, sock: SimSocket) -> None:
        """Take a new connection: the kernel knows it at once, the program when it runs."""
        acceptor = self.listeners.get(sock.local[1])
        if acceptor is None or self.incarnation is None:
            sock.refuse()
            return
        self.incarnation.sockets[sock] = None
        self.incarnation.loop.call_soon(acceptor.accept, sock, context=Context())
