"""What asyncio documents of a loop holds for the simulated one as for its own."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quorate.sim import World


def on_simulation(main: Coroutine[Any, Any, Any]) -> Any:
    with World(3) as world:
        return world.run(main)


def on_asyncio(main: Coroutine[Any, Any, Any]) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[on_simulation, pytest.param(on_asyncio, marks=pytest.mark.real)])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end on one of the loops."""
    return request.param  # type: ignore[no-any-return]


def test_call_soon_is_first_in_first_out(run: Run) -> None:
    """Callbacks that are asked for meanwhile come after all that were asked before."""

    async def main() -> list[int]:
        loop, seen = asyncio.get_running_loop(), []

        def call(number: int) -> None:
            seen.append(number)
            if number < 10:
                loop.call_soon(call, number + 10)

        for number in range(3):
            loop.call_soon(call, number)
        loop.call_soon(call, 99).cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        return seen

    assert run(main()) == [0, 1, 2, 10, 11, 12]


def test_timers_come_in_order_of_time(run: Run) -> None:
    """`when` tells the time, `cancel` stops them, equal times come in order of asking."""

    async def main() -> Any:
        loop, seen = asyncio.get_running_loop(), []
        begun = loop.time()
        handle = loop.call_later(0.01, seen.append, "b")
        loop.call_at(begun + 0.005, seen.append, "a")
        cancelled = loop.call_later(0.001, seen.append, "never")
        cancelled.cancel()
        await asyncio.sleep(0.02)
        return seen, handle.when() - begun > 0.0099, cancelled.cancelled(), handle.cancelled()

    assert run(main()) == (["a", "b"], True, True, False)


def test_sleep_never_ends_early(run: Run) -> None:
    """By the loop's own clock."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        early = []
        for _ in range(5):
            begun = loop.time()
            await asyncio.sleep(0.0012345)
            early.append(loop.time() - begun < 0.0012)
        return any(early)

    assert run(main()) is False


def test_a_task_group_cancels_the_rest(run: Run) -> None:
    """When one task raises, the others are cancelled and the errors come together."""

    async def main() -> Any:
        seen: list[str] = []

        async def wait(name: str) -> None:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                seen.append(name)
                raise

        async def fail() -> None:
            await asyncio.sleep(0.001)
            raise ValueError("one")

        told: list[str] = []
        try:
            async with asyncio.TaskGroup() as group:
                for name in "abc":
                    group.create_task(wait(name))
                group.create_task(fail())
        except* ValueError as errors:
            told = [str(error) for error in errors.exceptions]
        return sorted(seen), told

    assert run(main()) == (["a", "b", "c"], ["one"])


def test_timeouts_fire(run: Run) -> None:
    """`timeout` and `wait_for` raise TimeoutError; what is fast enough passes."""

    async def main() -> list[str]:
        seen = []
        try:
            async with asyncio.timeout(0.005):
                await asyncio.sleep(10)
        except TimeoutError:
            seen.append("timeout")
        try:
            await asyncio.wait_for(asyncio.sleep(10), 0.005)
        except TimeoutError:
            seen.append("wait_for")
        seen.append(await asyncio.wait_for(asyncio.sleep(0, "fast"), 10))
        return seen

    assert run(main()) == ["timeout", "wait_for", "fast"]


def test_queues_locks_events_and_conditions(run: Run) -> None:
    """All that synchronises tasks works, in order of waiting."""

    async def main() -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        lock, event, gate = asyncio.Lock(), asyncio.Event(), asyncio.Semaphore(2)
        seen: list[Any] = []

        async def produce() -> None:
            for number in range(5):
                await queue.put(number)
            event.set()

        async def consume(name: str) -> None:
            async with gate, lock:
                seen.append(name)
                await asyncio.sleep(0)

        producer = asyncio.create_task(produce())
        consumers = [asyncio.create_task(consume(name)) for name in "abcd"]
        got = [await queue.get() for _ in range(5)]
        await event.wait()
        await asyncio.gather(producer, *consumers)
        condition = asyncio.Condition()

        async def waiter() -> str:
            async with condition:
                await condition.wait()
                return "told"

        task = asyncio.create_task(waiter())
        await asyncio.sleep(0)
        async with condition:
            condition.notify()
        return got, seen, await task

    assert run(main()) == ([0, 1, 2, 3, 4], ["a", "b", "c", "d"], "told")


def test_wait_gather_and_shield(run: Run) -> None:
    """`wait` tells done from pending; `gather` keeps order; `shield` protects."""

    async def main() -> Any:
        fast, slow = asyncio.ensure_future(asyncio.sleep(0.001, "fast")), asyncio.ensure_future(asyncio.sleep(5))
        done, pending = await asyncio.wait({fast, slow}, return_when=asyncio.FIRST_COMPLETED)
        slow.cancel()
        ordered = await asyncio.gather(*(asyncio.sleep(0.005 - number / 1000, number) for number in range(4)))
        inner = asyncio.ensure_future(asyncio.sleep(0.002, "kept"))
        outer = asyncio.shield(inner)
        outer.cancel()
        return done == {fast}, pending == {slow}, ordered, await inner, outer.cancelled()

    assert run(main()) == (True, True, [0, 1, 2, 3], "kept", True)


def test_executors_return_and_raise(run: Run) -> None:
    """`to_thread` brings results and exceptions, and contexts go along."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def main() -> Any:
        variable.set("set")
        got = await asyncio.to_thread(variable.get)
        try:
            await asyncio.get_running_loop().run_in_executor(None, lambda: 1 // 0)
        except ZeroDivisionError:
            return got, "raised"

    assert run(main()) == ("set", "raised")


def test_contexts_of_tasks_and_callbacks(run: Run) -> None:
    """A task sees the context of its making; what it sets stays its own."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def main() -> Any:
        variable.set(1)
        seen: list[int] = []

        async def child() -> None:
            seen.append(variable.get())
            variable.set(2)

        await asyncio.create_task(child())
        asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
        await asyncio.sleep(0)
        return seen, variable.get()

    assert run(main()) == ([1, 1], 1)


def test_an_exception_handler_of_the_program_is_asked(run: Run) -> None:
    """With the exception and what raised it."""

    async def main() -> Any:
        loop, seen = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: seen.append(context["message"]))
        loop.call_exception_handler({"message": "told"})
        return seen

    assert run(main()) == ["told"]


@pytest.mark.parametrize("server_first", [True, False])
def test_streams_echo_lines(run: Run, server_first: bool) -> None:
    """start_server and open_connection, readers, writers, drain and wait_closed."""

    async def main() -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, start_serving=server_first)
        await server.start_serving()
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        got = []
        for number in range(3):
            writer.write(b"line %d\n" % number)
            got.append(await reader.readline())
        writer.write_eof()
        rest = await reader.read()
        names = writer.get_extra_info("peername")[1] == port
        writer.close()
        await writer.wait_closed()
        async with server:
            serving = server.is_serving()
        return got, rest, names, serving, server.is_serving()

    assert run(main()) == ([b"LINE 0\n", b"LINE 1\n", b"LINE 2\n"], b"", True, True, False)


def test_datagram_endpoints(run: Run) -> None:
    """A connected endpoint hears of a port that nobody uses; others do not."""

    class Noting(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.got: list[bytes] = []
            self.errors: list[str] = []

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.got.append(data)

        def error_received(self, exc: Exception) -> None:
            self.errors.append(type(exc).__name__)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        bound, target = await loop.create_datagram_endpoint(Noting, local_addr=("127.0.0.1", 0))
        address = bound.get_extra_info("sockname")
        sender, source = await loop.create_datagram_endpoint(Noting, remote_addr=address)
        sender.sendto(b"one")
        while not target.got:
            await asyncio.sleep(0.001)
        bound.close()
        await asyncio.sleep(0.005)
        sender.sendto(b"two")
        for _ in range(200):
            if source.errors:
                break
            await asyncio.sleep(0.001)
        sender.close()
        await asyncio.sleep(0.001)
        return target.got, source.errors

    assert run(main()) == ([b"one"], ["ConnectionRefusedError"])


def test_names_resolve(run: Run) -> None:
    """localhost has an address; an unknown name is a gaierror."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80)
        try:
            await loop.getaddrinfo("no-such-host.invalid", 80)
        except OSError as error:
            return found[0][4][1], type(error).__name__

    assert run(main()) == (80, "gaierror")


def test_runner_accepts_the_loop() -> None:
    """`asyncio.Runner` drives it and closes it."""
    world = World(1)
    with asyncio.Runner(loop_factory=lambda: world.lab.loop) as runner:
        assert runner.run(asyncio.sleep(5, "done")) == "done"
    assert world.lab.loop.is_closed()


def test_threads_and_signals_do_not_exist() -> None:
    """What cannot be simulated is refused, not faked."""

    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(2, lambda: None)

    with World(1) as world, pytest.raises(RuntimeError):
        world.run(main())
