"""The kernel's side of TCP: what goes on between two hosts whether or not their programs look.

One event of the world per packet. A packet that meets a cut link or a dead machine is held and retransmitted with a
growing pause, so a partition also catches what was under way, and bytes flow again some time after it heals.
Not modelled: congestion control, keep-alive probes, ICMP.
"""

import errno
import os
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from quorate.sim.host import Host

DATA: Final = 0
FIN: Final = 1
# The third packet of the handshake: the listener's program may accept now.
ACCEPT: Final = 2


def os_error(number: int) -> OSError:
    """Return the error of a number, as its proper subclass."""
    return OSError(number, os.strerror(number))


class Owner(Protocol):
    """The program's side of a socket."""

    def wake_reader(self) -> None:
        """Something arrived."""

    def wake_writer(self) -> None:
        """There is room again, or an error to be met."""


class Segment:
    """One packet, or several that the network glued together."""

    __slots__ = ("departs_at", "kind", "parts")

    def __init__(self, kind: int, departs_at: int, parts: list[bytes]) -> None:
        self.kind = kind
        self.departs_at = departs_at
        self.parts = parts


class SimSocket:
    """One end of a connection, as the kernel of its host keeps it."""

    def __init__(self, host: "Host", *, local: tuple[str, int], remote: tuple[str, int]) -> None:
        self.host = host
        self.local = local
        self.remote = remote
        self.links = host.world.links
        # The power-on in which this end was made: after another one nobody remembers it.
        self.power_count = host.power_count
        self.scheduler = host.world.scheduler
        # Set by `connect` before anything is sent.
        self.peer: SimSocket = self
        self.owner: Owner | None = None
        # Arrived and not yet read.
        self.inbox: deque[bytes] = deque()
        self.inbox_bytes = 0
        self.is_fin_received = False
        self.is_fin_sent = False
        # The program closed it, or died. What is still queued goes on.
        self.is_closed = False
        # The machine lost power: nobody remembers this connection.
        self.is_forgotten = False
        self.error: OSError | None = None
        # Sent and not yet read by the other program.
        self.flight_bytes = 0
        self.is_waiting_for_room = False
        self._sent: deque[Segment] = deque()
        self._last_arrival = 0
        self._epoch = 0
        self._is_stuck = False
        self._stuck_since = 0
        self._pause = 0
        self._is_probing = False
        self._is_room_coming = False
        self._room_bytes = 0

    # -- the program's calls ----------------------------------------------------------------------------------------

    def send(self, data: bytes) -> int:
        """Take as many bytes as there is room for; raise OSError when the connection is known to be broken."""
        if self.error is not None:
            raise self.error
        room = self.links.tcp.window_bytes - self.flight_bytes
        if room <= 0:
            self.is_waiting_for_room = True
            return 0
        if len(data) > room:
            self.is_waiting_for_room = True
            data = data[:room]
        self.flight_bytes += len(data)
        self._send_data(data)
        return len(data)

    def read(self, byte_count: int) -> bytes:
        """Return up to so many bytes that arrived; empty when there are none."""
        if not self.inbox:
            return b""
        if self.inbox_bytes <= byte_count:
            data = self.inbox.popleft() if len(self.inbox) == 1 else b"".join(self.inbox)
            self.inbox.clear()
        else:
            whole = b"".join(self.inbox)
            data, rest = whole[:byte_count], whole[byte_count:]
            self.inbox.clear()
            self.inbox.append(rest)
        self.inbox_bytes -= len(data)
        self.peer._was_read(len(data))
        return data

    def shut_writing(self) -> None:
        """Send FIN after what was sent."""
        if not self.is_fin_sent and self.error is None:
            self.is_fin_sent = True
            self._send(Segment(FIN, self.host.departs_at(), []), 40)

    def close(self) -> None:
        """Give the socket up: FIN, or RST when something that arrived was never read."""
        if self.is_closed:
            return
        self.is_closed = True
        self.owner = None
        if self.inbox_bytes:
            self.inbox.clear()
            self.inbox_bytes = 0
            self._sent.clear()
            self._send_reset()
        else:
            self.shut_writing()

    def forget(self) -> None:
        """Lose it with the machine's power: packets under way arrive, nothing is repeated, nothing is answered."""
        self.is_forgotten = True
        self.is_closed = True
        self.owner = None
        self.error = os_error(errno.ECONNRESET)
        if self._is_stuck:
            self._sent.clear()

    # -- sending ----------------------------------------------------------------------------------------------------

    def _send_data(self, data: bytes) -> None:
        dice = self.links.dice(self.host.number, self.peer.host.number)
        tcp = self.links.tcp
        departs_at = self.host.departs_at()
        last = self._sent[-1] if self._sent else None
        if last is not None and last.kind == DATA and last.departs_at == departs_at and dice.chance(tcp.coalesce):
            last.parts.append(data)
            return
        if len(data) > 1 and dice.chance(tcp.fragment):
            middle = dice.between(1, len(data) - 1)
            self._send(Segment(DATA, departs_at, [data[:middle]]), middle)
            data = data[middle:]
        self._send(Segment(DATA, departs_at, [data]), len(data))

    def begin(self) -> None:
        """Send the third packet of the handshake."""
        self._send(Segment(ACCEPT, self.host.departs_at(), []), 40)

    def _send(self, segment: Segment, byte_count: int) -> None:
        self._sent.append(segment)
        if not self._is_stuck:
            self._schedule(segment.departs_at, byte_count)

    def _schedule(self, departs_at: int, byte_count: int) -> None:
        source, target = self.host.number, self.peer.host.number
        delay = self.links.stream_delay(source, target, now=departs_at, byte_count=byte_count)
        self._last_arrival = max(self._last_arrival, departs_at + delay)
        self.scheduler.at(self._last_arrival, self.peer.host.kernel_gate, self._arrive, self._epoch)

    def _send_reset(self) -> None:
        """Let the other side learn that this one does not know the connection."""
        source, target = self.host.number, self.peer.host.number
        delay = self.links.delay(source, target, now=self.scheduler.now, byte_count=40)
        self._last_arrival = max(self._last_arrival, self.host.departs_at() + delay)
        self.scheduler.at(self._last_arrival, self.peer.host.kernel_gate, self._reset_arrives)

    def _reset_arrives(self) -> None:
        if not self.links.is_cut(self.host.number, self.peer.host.number):
            if self.links.observer is not None:
                self.links.observer.happened(self.scheduler.now, self.peer.host.name, f"reset by {self.host.name}")
            self.peer.fail(errno.EPIPE if self.peer.is_fin_received else errno.ECONNRESET)

    # -- arriving ---------------------------------------------------------------------------------------------------

    def _arrive(self, epoch: int) -> None:
        if epoch != self._epoch or not self._sent:
            return
        peer = self.peer
        if not peer.host.is_up or self.links.is_cut(self.host.number, peer.host.number):
            self._get_stuck()
            return
        segment = self._sent.popleft()
        if peer.is_closed or peer.power_count != peer.host.power_count:
            self._refused(segment)
            return
        if peer.error is not None:
            return
        observer = self.links.observer
        if observer is not None and segment.kind != ACCEPT:
            observer.arrived(self.scheduler.now, self.host, peer.host, segment.departs_at, segment.parts)
        match segment.kind:
            case 0:
                data = segment.parts[0] if len(segment.parts) == 1 else b"".join(segment.parts)
                peer.inbox.append(data)
                peer.inbox_bytes += len(data)
                if self.links.cut and self.links.is_cut(peer.host.number, self.host.number):
                    self._probe()
            case 1:
                peer.is_fin_received = True
            case _:
                peer.host.accept(peer)
                return
        if peer.owner is not None:
            peer.owner.wake_reader()

    def _refused(self, segment: Segment) -> None:
        """Meet a kernel that has no program for these bytes."""
        if segment.kind == DATA or self.peer.power_count != self.peer.host.power_count:
            self._sent.clear()
            self.peer._send_reset()

    def refuse(self) -> None:
        """Answer a handshake for which there is no listener any more."""
        self.is_closed = True
        self._send_reset()

    def fail(self, number: int) -> None:
        """Break: the program learns at its next read or write."""
        if self.error is None and not self.is_forgotten:
            self.error = os_error(number)
            self._sent.clear()
            self._epoch += 1
            owner = self.owner
            if owner is not None:
                owner.wake_reader()
                owner.wake_writer()

    # -- retransmission ---------------------------------------------------------------------------------------------

    def _get_stuck(self) -> None:
        if self.links.observer is not None:
            text = f"cut or down: packet from {self.host.name} held"
            self.links.observer.happened(self.scheduler.now, self.peer.host.name, text)
        self._is_stuck = True
        self._epoch += 1
        self._stuck_since = self.scheduler.now
        self._pause = self.links.tcp.retransmit_min
        self.scheduler.at(self.scheduler.now + self._pause, self.host.kernel_gate, self._retransmit)

    def _is_path_broken(self) -> bool:
        mine, theirs = self.host.number, self.peer.host.number
        return not self.peer.host.is_up or self.links.is_cut(mine, theirs)

    def _retransmit(self) -> None:
        if self.error is not None or self.is_forgotten:
            return
        if self._is_path_broken():
            if self.scheduler.now - self._stuck_since >= self.links.tcp.timeout:
                self.fail(errno.ETIMEDOUT)
                return
            self._pause = min(2 * self._pause, self.links.tcp.retransmit_max)
            self.scheduler.at(self.scheduler.now + self._pause, self.host.kernel_gate, self._retransmit)
            return
        self._is_stuck = False
        for segment in self._sent:
            self._schedule(self.scheduler.now, sum(map(len, segment.parts)) or 40)

    def _probe(self) -> None:
        """Wait for an acknowledgement whose way back is cut; break when it does not come for too long."""
        if not self._is_probing:
            self._is_probing = True
            self._await_acknowledgement(self.scheduler.now)

    def _await_acknowledgement(self, since: int) -> None:
        if self.error is not None or not self.links.is_cut(self.peer.host.number, self.host.number):
            self._is_probing = False
        elif self.scheduler.now - since >= self.links.tcp.timeout:
            self.fail(errno.ETIMEDOUT)
        else:
            pause = self.links.tcp.retransmit_max
            self.scheduler.at(self.scheduler.now + pause, self.host.kernel_gate, self._await_acknowledgement, since)

    # -- the window -------------------------------------------------------------------------------------------------

    def _was_read(self, byte_count: int) -> None:
        """Learn, a latency later when it matters, that the other program has read."""
        if not self.is_waiting_for_room:
            self.flight_bytes -= byte_count
            return
        self._room_bytes += byte_count
        if not self._is_room_coming:
            self._is_room_coming = True
            delay = self.links.delay(self.peer.host.number, self.host.number, now=self.scheduler.now, byte_count=40)
            self.scheduler.at(self.scheduler.now + delay, self.host.kernel_gate, self._room_arrives)

    def _room_arrives(self) -> None:
        if self.links.is_cut(self.peer.host.number, self.host.number):
            pause = self.links.tcp.retransmit_min
            self.scheduler.at(self.scheduler.now + pause, self.host.kernel_gate, self._room_arrives)
            return
        self._is_room_coming = False
        self.is_waiting_for_room = False
        self.flight_bytes -= self._room_bytes
        self._room_bytes = 0
        if self.owner is not None:
            self.owner.wake_writer()
