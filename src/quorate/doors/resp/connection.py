"""One client of the Redis door: an asyncio Protocol without a task, a future or a lock.

Order. Answers leave in the order of the requests. The backend keeps that order among writes and among reads, so at any
time all requests under way are of one kind: with writes under way a read goes through the log too; with reads under way
a write waits in `_backlog`, and everything behind it. What the door answers itself takes its place in the queue by
number: `_hooks` holds answers, and things to do with answers, by the number of the request they belong to.

Pressure. Nothing more is read while too many requests are under way or wait, or while the client does not take its
answers. A client that takes nothing for too long, or lets too much gather, is disconnected.

A turn is what one received piece of bytes causes; all answers of a turn leave in one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from quorate.doors.resp import dispatch
from quorate.doors.resp.parser import Request, RequestParser
from quorate.doors.resp.session import Session
from quorate.doors.resp.table import NO_REPLY, NoReply, Route
from quorate.doors.resp.wire import DoorReply, encode
from quorate.store import OK, Command, Reply, ReplyError

if TYPE_CHECKING:
    from quorate.doors.resp.server import RespServer

Hook = Callable[[Reply], "DoorReply | NoReply"]

_OK_BYTES: Final = b"+OK\r\n"
# A door's own answer above this size leaves at once, so that a cheap request cannot gather much before the client is
# found not to read.
_LARGE_REPLY_BYTES: Final = 1024


def _discard(_data: bytes) -> None:
    """Stand in for the output of a client that wants no answers or is gone."""


class Connection(asyncio.Protocol):
    """Reads requests, hands them to the backend, and writes the answers in order. It is the backend's `Caller`."""

    __slots__ = (
        "_append",
        "_backend",
        "_backlog",
        "_final",
        "_hooks",
        "_in_flight_count",
        "_in_flight_writes",
        "_in_turn",
        "_is_plain",
        "_is_reading",
        "_is_waiting",
        "_is_writable",
        "_issued_count",
        "_out",
        "_parser",
        "_pipeline_count_max",
        "_routes",
        "_transport",
        "blocked_since_ns",
        "db",
        "heard_ns",
        "id",
        "last_command",
        "made_ns",
        "protocol",
        "server",
        "session",
    )

    def __init__(self, server: "RespServer", connection_id: int) -> None:
        config = server.config
        self.server = server
        self.id = connection_id
        # RESP dialect: 2 or 3.
        self.protocol = 2
        self.db = 0
        # What is only known of connections that asked for more than plain commands; made when first needed.
        self.session: Session | None = None
        # Name of the last command received, as it came.
        self.last_command = b""
        # Monotonic time of the opening and of the last bytes received; since when the client does not take its answers
        # (0: it does).
        self.made_ns = self.heard_ns = server.clock.now()
        self.blocked_since_ns = 0
        self._backend = server.backend
        self._routes: dict[bytes, Route] = server.routes
        self._transport: asyncio.Transport | None = None
        self._parser = RequestParser(
            bulk_bytes_max=config.bulk_bytes_max,
            count_max=config.argument_count_max,
            request_bytes_max=config.request_bytes_max,
        )
        # Encoded answers of this turn.
        self._out: list[bytes] = []
        self._append: Callable[[bytes], None] = _discard
        # Requests that wait for those under way; None or empty when there are none.
        self._backlog: deque[Request] | None = None
        # (number of a request, what to do with its answer) or (number, answer of the door that comes before it).
        self._hooks: deque[tuple[int, Hook | None, bytes]] | None = None
        # Requests given to the backend, ever / not answered yet / whether these are writes.
        self._issued_count = 0
        self._in_flight_count = 0
        self._in_flight_writes = False
        self._pipeline_count_max = config.pipeline_count_max
        # Whether the short path of `_take_now` holds: nothing but the command itself decides what happens.
        self._is_plain = True
        self._in_turn = False
        self._is_reading = True
        self._is_waiting = False
        self._is_writable = True
        # Set when the connection ends with these last bytes, once everything before is answered.
        self._final: bytes | None = None

    # ── what the transport calls ────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse when there are too many already."""
        self._transport = cast("asyncio.Transport", transport)
        self._append = self._out.append
        refusal = self.server.admit(self)
        if refusal is not None:
            self._append = _discard
            self.close_after(encode(refusal, 2))
            self._end_turn()
            return
        self._transport.set_write_buffer_limits(high=self.server.config.output_pause_bytes)
        if self.server.needs_password:
            self._parser.is_authenticated = False
            self._is_plain = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; answers still under way go nowhere."""
        del exc
        if self._is_waiting:
            self.server.blocking.leave(self)
        self._transport = None
        self._append = _discard
        self._is_plain = False
        self._out.clear()
        self._backlog = self._hooks = None
        if self.session is not None:
            self.session.close()
        self.server.forget(self)

    def eof_received(self) -> bool:
        """Answer what was asked before the client shut its half, then close."""
        if self._final is None:
            self._final = b""
        if self._transport is not None:
            self._end_turn()
        return True

    def data_received(self, data: bytes) -> None:
        """Take bytes: every request that is complete is under way, waiting or answered when this returns."""
        server = self.server
        server.received_bytes += len(data)
        if self._final is not None or self._transport is None:
            return
        self.heard_ns = server.clock.now()
        parser = self._parser
        self._in_turn = True
        if parser.is_authenticated:
            requests = parser.feed(data)
            if requests:
                server.command_count += len(requests)
                self.last_command = requests[-1][0]
            for request in requests:
                if self._backlog or not self._take_now(request):
                    self._put_off(request)
        else:
            parser.append(data)
            for request in parser.requests():
                server.command_count += 1
                if self._backlog or not self._take_now(request):
                    self._put_off(request)
        if parser.error is not None and self._final is None:
            server.error_count += 1
            self._final = encode(ReplyError("ERR", parser.error), self.protocol)
        self._end_turn()

    def pause_writing(self) -> None:
        """The client does not take its answers: read nothing more from it."""
        self._is_writable = False
        self.blocked_since_ns = self.server.clock.now()
        self.server.blocked[self.id] = self
        self._set_reading()

    def resume_writing(self) -> None:
        """The client took its answers: go on."""
        self._is_writable = True
        self.blocked_since_ns = 0
        self.server.blocked.pop(self.id, None)
        self._end_turn()

    # ── what the backend calls ──────────────────────────────────────────────────────────────────────────────────────

    def complete(self, reply: Reply) -> None:
        """Take the answer of the oldest request under way."""
        assert self._in_flight_count > 0, "an answer belongs to a request"
        self._in_flight_count -= 1
        if self._hooks:
            self._complete_hooked(reply)
        elif reply is OK:
            self._append(_OK_BYTES)
        else:
            if type(reply) is ReplyError:
                self.server.error_count += 1
            self._append(encode(reply, self.protocol))

    def flush(self) -> None:
        """Write what was completed, and go on with what waited."""
        if not self._in_turn:
            if self._out and not self._backlog and self._final is None and self._is_reading:
                self._write_out()
            else:
                self._end_turn()

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_now(self, request: Request) -> bool:
        """Begin a request; return False when it has to wait for requests before it."""
        route = self._routes.get(request[0])
        if route is None or not self._is_plain:
            return dispatch.take(self, request, route)
        if not route.arity_min <= len(request) <= route.arity_max:
            self.reply(route.spec.arity_error())
            return True
        return self.issue(Command(self.db, request), route)

    def issue(self, command: Command, route: Route) -> bool:
        """Give a command of the store to the backend; return False when it has to wait for requests before it."""
        in_flight_count = self._in_flight_count
        if in_flight_count == 0:
            self._in_flight_writes = route.is_write
        elif in_flight_count >= self._pipeline_count_max or (route.is_write and not self._in_flight_writes):
            return False
        command.args[0] = route.name
        self._issued_count += 1
        self._in_flight_count = in_flight_count + 1
        if self._in_flight_writes:
            self._backend.write(command, self)
        else:
            self._backend.read(command, self)
        return True

    def issue_hooked(self, command: Command, route: Route, hook: Hook) -> bool:
        """Like `issue`, and let a function make of the answer what is sent."""
        if self.is_blocked(is_write=route.is_write):
            return False
        self._add_hook(hook)
        is_issued = self.issue(command, route)
        assert is_issued, "what was asked just before still holds"
        return True

    def expect(self, *, is_write: bool, hook: Hook | None = None) -> bool:
        """Make room in the order of answers for a request that the caller gives to the backend right after.

        Returns:
            False when it has to wait for requests before it; nothing was noted then.
        """
        if self.is_blocked(is_write=is_write):
            return False
        if self._in_flight_count == 0:
            self._in_flight_writes = is_write
        if hook is not None:
            self._add_hook(hook)
        self._issued_count += 1
        self._in_flight_count += 1
        return True

    def is_blocked(self, *, is_write: bool) -> bool:
        """Return whether a request of this kind has to wait for those under way."""
        if self._in_flight_count == 0:
            return False
        return self._in_flight_count >= self._pipeline_count_max or (is_write and not self._in_flight_writes)

    @property
    def is_closing(self) -> bool:
        """Whether no more requests are taken."""
        return self._final is not None or self._transport is None

    @property
    def is_writable(self) -> bool:
        """Whether the client takes its answers."""
        return self._is_writable

    @property
    def has_writes_in_flight(self) -> bool:
        """Whether requests under way are writes (reads may be among them)."""
        return self._in_flight_writes and self._in_flight_count > 0

    @property
    def is_waiting(self) -> bool:
        """Whether a command of this connection waits for something other than its answer; it holds all others."""
        return self._is_waiting

    def set_waiting(self, *, is_waiting: bool) -> None:
        """Hold all further requests of this connection, or let them go on."""
        self._is_waiting = is_waiting
        self.update_plain()

    @property
    def in_flight_count(self) -> int:
        """How many requests are under way."""
        return self._in_flight_count

    def _put_off(self, request: Request) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(request)

    def _drain_backlog(self) -> None:
        """Begin what waited, as far as it goes. Called within a turn."""
        backlog = self._backlog
        while backlog and self._is_writable and self._transport is not None:
            if not self._take_now(backlog[0]):
                return
            # A request may close the connection; then the backlog was dropped.
            if self._backlog is not backlog:
                return
            backlog.popleft()

    def _end_turn(self) -> None:
        """Go on with what waited, write the answers, and decide whether to read on or to end."""
        self._in_turn = True
        if self._backlog:
            self._drain_backlog()
        self._in_turn = False
        transport = self._transport
        if transport is None:
            return
        if self._out:
            self._write_out()
        if self._final is not None and self._in_flight_count == 0 and not self._backlog:
            final, self._final = self._final, b""
            if final:
                self.server.sent_bytes += len(final)
                transport.write(final)
            transport.close()
            return
        self._set_reading()

    def _set_reading(self) -> None:
        """Read from the client exactly while there is room for what it may send."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        waiting_count = self._in_flight_count + (len(self._backlog) if self._backlog else 0)
        limit = self._pipeline_count_max if self._is_reading else self._pipeline_count_max // 2
        wants_reading = self._is_writable and waiting_count <= limit and self._final is None
        if wants_reading == self._is_reading:
            return
        self._is_reading = wants_reading
        if wants_reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def reply(self, reply: DoorReply) -> None:
        """Answer a request without the backend, behind everything that is under way."""
        if type(reply) is ReplyError:
            self.server.error_count += 1
        self.reply_encoded(encode(reply, self.protocol))

    def reply_encoded(self, data: bytes) -> None:
        """Like `reply`, with the bytes at hand."""
        if self._in_flight_count == 0:
            self._append(data)
            if len(data) > _LARGE_REPLY_BYTES:
                self._write_out()
            return
        if self._hooks is None:
            self._hooks = deque()
        self._hooks.append((self._issued_count, None, data))

    def push(self, data: bytes) -> None:
        """Write something the client did not ask for now, between answers; `flush` follows."""
        self._append(data)

    def _add_hook(self, hook: Hook) -> None:
        if self._hooks is None:
            self._hooks = deque()
        self._hooks.append((self._issued_count, hook, b""))

    def _complete_hooked(self, reply: Reply) -> None:
        hooks = self._hooks
        assert hooks, "called only when there are hooks"
        completed_count = self._issued_count - self._in_flight_count
        sent: DoorReply | NoReply = reply
        number, hook, _ = hooks[0]
        if hook is not None and number == completed_count - 1:
            hooks.popleft()
            sent = hook(reply)
        if sent is not NO_REPLY:
            if type(sent) is ReplyError:
                self.server.error_count += 1
            self._append(encode(cast("DoorReply", sent), self.protocol))
        while hooks and hooks[0][0] == completed_count and hooks[0][1] is None:
            self._append(hooks.popleft()[2])

    def _write_out(self) -> None:
        transport = self._transport
        out = self._out
        if transport is None:
            out.clear()
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self.server.sent_bytes += len(data)
        transport.write(data)
        if not self._is_writable:
            limit = self.server.output_limit(self)
            if transport.get_write_buffer_size() > limit:
                self.server.overrun_count += 1
                self.abort()

    # ── what commands of the door change ────────────────────────────────────────────────────────────────────────────

    def get_session(self) -> Session:
        """Return what is known beyond plain commands; make it when it is asked for the first time."""
        if self.session is None:
            self.session = Session(self)
        return self.session

    def update_plain(self) -> None:
        """Decide again whether requests may take the short path."""
        session = self.session
        self._is_plain = (
            self._transport is not None
            and self._final is None
            and not self._is_waiting
            and self._parser.is_authenticated
            and self.server.pause_until_ns == 0
            and (session is None or session.is_plain(self.protocol))
        )

    @property
    def is_authenticated(self) -> bool:
        """Whether the client has said who it is, or nobody asked."""
        return self._parser.is_authenticated

    def set_authenticated(self, *, is_authenticated: bool) -> None:
        """Let the client use all commands, or nothing but AUTH and its like."""
        self._parser.is_authenticated = is_authenticated
        self.update_plain()

    def set_muted(self, *, is_muted: bool) -> None:
        """Drop answers, or send them again."""
        self._append = _discard if is_muted or self._transport is None else self._out.append

    def close_after(self, last: bytes) -> None:
        """Take no more requests, and close when everything before, and these last bytes, are written."""
        self._final = last
        self._backlog = None
        self._is_plain = False

    def abort(self) -> None:
        """Close now; nothing that waits is sent."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def transport(self) -> asyncio.Transport | None:
        """The open transport, None once it is gone."""
        return self._transport

    @property
    def input_bytes(self) -> int:
        """Received bytes that wait for the rest of their request."""
        return self._parser.buffered_bytes

    @property
    def backlog_count(self) -> int:
        """Requests that wait for those under way."""
        return len(self._backlog) if self._backlog else 0

    def resume(self) -> None:
        """Go on with requests that waited for something other than answers (a pause that ended, a reply that came)."""
        if not self._in_turn and self._transport is not None:
            self._end_turn()
