"""An asyncio event loop written from nothing: one per host incarnation, all on one scheduler.

Everything that asyncio builds on a loop (streams, tasks, locks, queues, time-outs, servers, TLS) works unmodified.
Threads, subprocesses, signals and descriptors do not exist in the world: those calls are refused.
"""

import asyncio
import errno
import logging
import socket
import ssl as tls
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any

from quorate.sim.datagrams import SimDatagramTransport
from quorate.sim.failures import Deadlock, Unsimulated
from quorate.sim.futures import SimFuture, SimTask
from quorate.sim.listeners import Dial, SimServer, addresses_of
from quorate.sim.program_sockets import own_socket
from quorate.sim.scheduler import DEAD, SimHandle
from quorate.sim.sockets import SimSocket
from quorate.sim.tls import make_shell
from quorate.sim.transports import SimTransport

if TYPE_CHECKING:
    from quorate.sim.host import Host, Incarnation

log = logging.getLogger("quorate.sim")

BILLION = 1_000_000_000
EXECUTOR_DELAY_NS_MAX = 200_000

# Whose function runs inside an executor at this moment: there is no running loop then.
_EXECUTING: list["Incarnation"] = []


def running_incarnation() -> "Incarnation | None":
    """Return whose program runs at this moment; None outside every host."""
    loop = asyncio._get_running_loop()
    if type(loop) is SimLoop:
        return loop._incarnation
    return _EXECUTING[-1] if _EXECUTING else None


class SimLoop(asyncio.AbstractEventLoop):
    """The event loop of one incarnation of one host."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation
        self._gate = incarnation.gate
        self._gate.loop = self
        self._host = incarnation.host
        self._scheduler = self._host.world.scheduler
        self._ready = self._scheduler.ready
        self._executor_dice = self._host.world.choices.stream("executor", self._host.name)
        self._is_closed = False
        self._is_running = False
        self._is_debug = False
        self._task_factory: Any = None
        self._exception_handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None

    def __repr__(self) -> str:
        return f"<SimLoop of {self._host.name}>"

    # -- running ----------------------------------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run the whole world until this loop is stopped."""
        self._is_running = True
        try:
            self._scheduler.run()
        finally:
            self._is_running = False

    def run_until_complete(self, future: Awaitable[Any]) -> Any:  # type: ignore[override]
        """Run the whole world until something is done; return its result."""
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(lambda _: self._scheduler.stop())
        self._is_running = True
        try:
            if not task.done() and not self._scheduler.run() and not task.done():
                raise Deadlock(f"{task!r} waits for something that can never happen")
        finally:
            self._is_running = False
        return task.result()

    def stop(self) -> None:
        """Let `run_forever` return."""
        self.call_soon(self._scheduler.stop)

    def is_running(self) -> bool:
        """Return whether callbacks of this loop run."""
        return self._is_running or asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Return whether the loop was closed."""
        return self._is_closed

    def close(self) -> None:
        """Run nothing more."""
        if not self._is_closed:
            self._is_closed = True
            self._scheduler.kill(self._gate)

    async def shutdown_asyncgens(self) -> None:
        """Do nothing: generators are closed where they are dropped."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: there are no threads."""

    # -- callbacks --------------------------------------------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> SimHandle:  # type: ignore[override]
        """Call back in this turn, after all that was asked before."""
        handle = SimHandle(self._gate, callback, args, context, -1)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Call back soon; there is only one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Call back after a span in seconds, rounded up to a nanosecond."""
        span = -int(-delay * BILLION // 1)
        return self.call_at_ns(self.time_ns() + max(0, span), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Call back at a time of this loop's clock in seconds, rounded to the nearest nanosecond."""
        return self.call_at_ns(round(when * BILLION), callback, *args, context=context)

    def call_at_ns(
        self, when_ns: int, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> SimHandle:
        """Call back at an exact time of this loop's clock."""
        handle = SimHandle(self._gate, callback, args, context, when_ns)
        self._scheduler.push(self._host.time.true(when_ns), handle)
        return handle

    def time_ns(self) -> int:
        """Return this host's monotonic time, including what a blocking call of this very callback took."""
        return self._host.time.local(self._host.departs_at())

    def time(self) -> float:
        """Return this host's monotonic time in seconds."""
        return self.time_ns() / BILLION

    # -- futures and tasks ------------------------------------------------------------------------------------------

    def create_future(self) -> SimFuture:
        """Return a future whose hash is its birth number."""
        return SimFuture(self._scheduler.birth(), loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None, **rest: Any
    ) -> asyncio.Task[Any]:
        """Return a task whose hash is its birth number."""
        if self._task_factory is not None:
            task: asyncio.Task[Any] = self._task_factory(self, coro, **rest)
            if name is not None:
                task.set_name(name)
            return task
        return SimTask(self._scheduler.birth(), coro, loop=self, name=name, context=context)

    def set_task_factory(self, factory: Any) -> None:
        """Let another factory make tasks."""
        self._task_factory = factory

    def get_task_factory(self) -> Any:
        """Return the factory in use."""
        return self._task_factory

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> SimFuture:  # type: ignore[override]
        """Call at once, in the only thread, and hand the result over after a seeded delay."""
        future = self.create_future()
        asyncio._set_running_loop(None)
        began_at = self._host.departs_at()
        self._incarnation.is_in_executor = True
        _EXECUTING.append(self._incarnation)
        try:
            outcome: tuple[Callable[[Any], None], Any] = (future.set_result, func(*args))
        except Exception as error:  # noqa: BLE001  it belongs to whoever awaits
            outcome = (future.set_exception, error)
        finally:
            self._incarnation.is_in_executor = False
            _EXECUTING.pop()
            asyncio._set_running_loop(self)
        blocked_ns, self._incarnation.executor_ns = self._incarnation.executor_ns, 0
        delay = 1_000 + self._executor_dice.below(EXECUTOR_DELAY_NS_MAX) + blocked_ns
        self._scheduler.at(began_at + delay, self._gate, _settle, future, outcome)
        return future

    def set_default_executor(self, executor: Any) -> None:
        """Do nothing: there are no threads."""

    # -- names ------------------------------------------------------------------------------------------------------

    def _resolve(self, name: Any) -> "Host":
        host = self._host.world.find(name, self._host)
        if host is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return host

    async def getaddrinfo(
        self,
        host: Any,
        port: Any,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  asyncio's signature
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """Return the address of a host of this world."""
        address = (self._resolve(host).ip, int(port or 0))
        return [(socket.AF_INET, type or socket.SOCK_STREAM, proto or socket.IPPROTO_TCP, "", address)]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """Return the name of an address."""
        return (self._resolve(sockaddr[0]).name, str(sockaddr[1]))

    # -- streams ----------------------------------------------------------------------------------------------------

    async def connect_socket(self, name: Any, port: int) -> SimSocket:
        """Return a connected socket; raise OSError when refused, unreachable or too slow."""
        target = self._resolve("127.0.0.1" if name is None else name)
        done: asyncio.Future[SimSocket] = self.create_future()
        Dial(self._incarnation, target, port, done)
        return await done

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: tls.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        sock: Any = None,
        **_: Any,
    ) -> tuple[Any, Any]:
        """Connect to a host of this world."""
        if server_hostname is not None and not ssl:
            raise ValueError("server_hostname is only meaningful with ssl")
        connected = await self.connect_socket(host, int(port)) if sock is None else own_socket(sock).hand_over()
        protocol = protocol_factory()
        waiter = self.create_future()
        if ssl:
            context = tls.create_default_context() if ssl is True else ssl
            shell = make_shell(
                self,
                protocol,
                context,
                waiter,
                server_side=False,
                server_hostname=server_hostname if server_hostname is not None else host,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
            SimTransport(self._incarnation, connected, shell, {}).begin()
            transport: Any = shell._app_transport
        else:
            transport = SimTransport(self._incarnation, connected, protocol, {})
            transport.begin(waiter)
        try:
            await waiter
        except BaseException:
            transport.close()
            raise
        return transport, protocol

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        *,
        ssl: tls.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        sock: Any = None,
        **_: Any,
    ) -> SimServer:
        """Listen on this host."""
        if sock is not None:
            host, port = own_socket(sock).hand_over_bound()
        handshake = {"ssl_handshake_timeout": ssl_handshake_timeout, "ssl_shutdown_timeout": ssl_shutdown_timeout}
        addresses = addresses_of(self._host, host, port)
        server = SimServer(self, self._incarnation, addresses, protocol_factory, ssl, handshake)
        if start_serving:
            server.start()
        return server

    async def start_tls(
        self,
        transport: Any,
        protocol: asyncio.BaseProtocol,
        sslcontext: tls.SSLContext,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> Any:
        """Go on encrypted over a connection that exists."""
        waiter = self.create_future()
        shell = make_shell(
            self,
            protocol,
            sslcontext,
            waiter,
            server_side=server_side,
            server_hostname=server_hostname,
            ssl_handshake_timeout=ssl_handshake_timeout,
            ssl_shutdown_timeout=ssl_shutdown_timeout,
            call_connection_made=False,
        )
        transport.pause_reading()
        transport.set_protocol(shell)
        begun = [self.call_soon(shell.connection_made, transport), self.call_soon(transport.resume_reading)]
        try:
            await waiter
        except BaseException:
            transport.close()
            for handle in begun:
                handle.cancel()
            raise
        return shell._app_transport

    # -- sockets of the program -------------------------------------------------------------------------------------

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Connect a socket that the program made on this host."""
        own = own_socket(sock)
        own.connected(await self.connect_socket(address[0], int(address[1])))

    async def sock_accept(self, sock: Any) -> tuple[Any, tuple[str, int]]:
        """Take the next connection of a listening socket."""
        return await own_socket(sock).accept_one()

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        """Return what arrived, at least a byte; empty at the end."""
        return await own_socket(sock).receive(nbytes)

    async def sock_recv_into(self, sock: Any, buf: Any) -> int:
        """Put what arrived into a buffer; return how much."""
        data = await own_socket(sock).receive(len(buf))
        memoryview(buf)[: len(data)] = data
        return len(data)

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        """Send all of it."""
        await own_socket(sock).send_all(bytes(data))

    # -- what does not exist in the world ---------------------------------------------------------------------------

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Refuse: a host gets no signals; `Host.stop` ends its program in good order."""
        _refuse(super().add_signal_handler, "signals are not simulated: end a program with Host.stop", sig, callback)

    def add_reader(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """Refuse: there are no descriptors."""
        _refuse(super().add_reader, "descriptors are not simulated: use asyncio's transports", fd, callback)

    def add_writer(  # type: ignore[override]
        self, fd: Any, callback: Callable[..., Any], *args: Any
    ) -> None:
        """Refuse: there are no descriptors."""
        _refuse(super().add_writer, "descriptors are not simulated: use asyncio's transports", fd, callback)

    async def subprocess_exec(self, *_: Any, **__: Any) -> Any:
        """Refuse: another process has its own clock and its own I/O."""
        raise Unsimulated("subprocesses are not simulated: give the other program a host of its own")

    async def subprocess_shell(self, *_: Any, **__: Any) -> Any:
        """Refuse: another process has its own clock and its own I/O."""
        raise Unsimulated("subprocesses are not simulated: give the other program a host of its own")

    # -- datagrams --------------------------------------------------------------------------------------------------

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local_addr: Any = None,
        remote_addr: Any = None,
        **_: Any,
    ) -> tuple[SimDatagramTransport, Any]:
        """Open a UDP endpoint on this host."""
        remote = None if remote_addr is None else (self._resolve(remote_addr[0]).ip, int(remote_addr[1]))
        name, port = (None, 0) if local_addr is None else local_addr[:2]
        local = addresses_of(self._host, name, port)[0]
        if port and port in self._host.datagrams:
            raise OSError(errno.EADDRINUSE, f"address {local} is in use")
        protocol = protocol_factory()
        transport = SimDatagramTransport(self._incarnation, local, protocol, remote)
        self.call_soon(protocol.connection_made, transport)
        waiter = self.create_future()
        self.call_soon(_settle, waiter, (waiter.set_result, None))
        await waiter
        return transport, protocol

    # -- errors -----------------------------------------------------------------------------------------------------

    def set_exception_handler(self, handler: Any) -> None:
        """Let the program hear of errors that nobody caught."""
        self._exception_handler = handler

    def get_exception_handler(self) -> Any:
        """Return the program's handler."""
        return self._exception_handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Fail the run at the end of the step."""
        error = context.get("exception") or RuntimeError(context.get("message", "error without a message"))
        if self._gate.state != DEAD:
            log.error("%s: %s: %r", self._host.name, context.get("message"), error)
            self._scheduler.errors.append(error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error that nobody caught."""
        if self._gate.state == DEAD:
            return
        if self._exception_handler is None:
            self.default_exception_handler(context)
        else:
            self._exception_handler(self, context)

    def get_debug(self) -> bool:
        """Return whether debug mode is on."""
        return self._is_debug

    def set_debug(self, enabled: bool) -> None:  # noqa: FBT001  asyncio's signature
        """Set debug mode."""
        self._is_debug = enabled


def _refuse(inherited: Callable[..., object], reason: str, *args: Any) -> None:
    """Raise what asyncio's base class raises, which libraries catch, with the reason."""
    try:
        inherited(*args)
    except RuntimeError as refusal:
        raise type(refusal)(reason) from None


def _settle(future: asyncio.Future[Any], outcome: tuple[Callable[[Any], None], Any]) -> None:
    if not future.done():
        outcome[0](outcome[1])
