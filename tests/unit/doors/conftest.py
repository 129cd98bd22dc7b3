"""A door on a desk: a transport that records, a clock that is turned by hand, a backend that answers when told."""

import asyncio
from collections import deque

import pytest

from quorate.doors.resp import RespConfig, RespServer
from quorate.env import Env
from quorate.kernel import NodeId, Seeds
from quorate.store import Command, KeyValueStore, LocalBackend, MemoryBase


class HandClock:
    def __init__(self):
        self.time_ns = 1_000_000_000
        self.timers = []

    def now(self):
        return self.time_ns

    def wall_ns(self):
        return 1_700_000_000_000_000_000 + self.time_ns

    def call_after(self, after, callback):
        timer = HandTimer(self.time_ns + after, callback)
        self.timers.append(timer)
        return timer

    def advance(self, span_ns):
        """Pass time, firing what is due in order."""
        end_ns = self.time_ns + span_ns
        while due := sorted((t for t in self.timers if t.due_ns <= end_ns), key=lambda t: t.due_ns):
            self.timers.remove(due[0])
            self.time_ns = max(self.time_ns, due[0].due_ns)
            if not due[0].is_cancelled:
                due[0].callback()
        self.time_ns = end_ns


class HandTimer:
    def __init__(self, due_ns, callback):
        self.due_ns = due_ns
        self.callback = callback
        self.is_cancelled = False

    def cancel(self):
        self.is_cancelled = True


class RecordingTransport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.chunks = []
        self.is_ended = False
        self.is_paused = False
        self.untaken_bytes = 0
        self.high_bytes = 65536

    @property
    def written(self):
        return b"".join(self.chunks)

    def take(self):
        """Return what was written since the last call."""
        data = self.written
        self.chunks.clear()
        return data

    def write(self, data):
        self.chunks.append(bytes(data))

    def close(self):
        self.is_ended = True

    abort = close

    def is_closing(self):
        return self.is_ended

    def pause_reading(self):
        assert not self.is_paused
        self.is_paused = True

    def resume_reading(self):
        assert self.is_paused
        self.is_paused = False

    def set_write_buffer_limits(self, high=None, low=None):
        self.high_bytes = high

    def get_write_buffer_size(self):
        return self.untaken_bytes

    def get_extra_info(self, name, default=None):
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 6)}.get(name, default)


class HandBackend(LocalBackend):
    """Applies commands in the order of its calls, when `turn` is called; notes how each came."""

    def __init__(self, store, wall_ms):
        super().__init__(store, wall_ms)
        self.pending = deque()
        self.calls = []

    def write(self, command: Command, caller):
        self.calls.append(("write", command))
        self.pending.append((super().write, command, caller))

    def read(self, command: Command, caller):
        self.calls.append(("read", command))
        self.pending.append((super().read, command, caller))

    def turn(self, count=None):
        """Answer what is under way (or the first few), then flush every caller once."""
        callers = {}
        for _ in range(len(self.pending) if count is None else count):
            act, command, caller = self.pending.popleft()
            act(command, _Quiet(caller))
            callers[caller] = None
        for caller in callers:
            caller.flush()

    def settle(self):
        """Answer until nothing is under way."""
        while self.pending:
            self.turn()


class _Quiet:
    def __init__(self, caller):
        self.complete = caller.complete

    def flush(self):
        pass


class Desk:
    """One door with a hand backend."""

    def __init__(self, config=None, backend_kind=HandBackend):
        self.clock = HandClock()
        env = Env(
            node=NodeId(1),
            clock=self.clock,
            network=None,
            streams=None,
            disk=None,
            rng=Seeds(1).stream("desk"),
            buggify=lambda _site: False,
        )
        self.store = KeyValueStore(MemoryBase())
        self.backend = backend_kind(self.store, lambda: self.clock.wall_ns() // 1_000_000)
        self.server = RespServer(env, self.backend, config or RespConfig())
        self.backend.on_publish = self.server.pubsub.deliver

    def connect(self):
        """Return a new client: its connection and what it is written."""
        connection = self.server._make_connection()
        transport = RecordingTransport()
        connection.connection_made(transport)
        return connection, transport

    def ask(self, client, *lines):
        """Send inline commands in one piece, answer everything, return what came back."""
        connection, transport = client
        connection.data_received(b"".join(line.encode() + b"\r\n" for line in lines))
        if isinstance(self.backend, HandBackend):
            self.backend.settle()
        return transport.take()


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def make_desk():
    return Desk


@pytest.fixture
def local_desk():
    return Desk(backend_kind=LocalBackend)


@pytest.fixture
def flushed(desk):
    """Return what ends a turn of the loop: what was pushed is written, what was woken tries again."""
    return lambda: desk.clock.advance(0)
