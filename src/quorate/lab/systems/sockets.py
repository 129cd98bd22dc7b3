"""Whose socket is it? Tells which of our children dialled a proxy (Linux).

Some systems know one address per node, whoever dials it. To harm one direction alone the proxy must know who called.
The kernel is asked for the one socket by netlink, which takes a tenth of a millisecond; where that is not allowed, the
table of all sockets is read, which takes milliseconds, and connections come in storms when a cluster heals.

Source: sock_diag(7), netlink(7); proc(5), /proc/net/tcp and /proc/PID/fd.
"""

import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from quorate.kernel import NodeId

_SOCK_DIAG = 4  # the netlink family
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY, the type of request and answer
_REQUEST_DUMP = 0x301  # NLM_F_REQUEST, NLM_F_DUMP
_ERROR, _DONE = 2, 3  # types of answers
_ESTABLISHED = 1 << 1
_HEADER = struct.Struct("=IHHII")
# inet_diag_msg: family, state, timer, retransmits; ports, source, target; interface, cookie; expiry; two queues, uid,
# inode
_ANSWER = struct.Struct("=4B4x16s16s12x4xIIII")
_ANSWER_BYTES_MAX = 65_536


def owner_of(local_port: int, pids: Mapping[NodeId, int]) -> NodeId | None:
    """Return the node whose process holds the TCP socket with a local port; None when none does, or is gone.

    Complexity: O(sockets of the machine, in the kernel + open files of the processes); once per connection.
    """
    try:
        inodes = list(_ask_kernel(local_port))
    except (OSError, AttributeError):  # the latter where there is no netlink
        inodes = list(_read_table(local_port))
    wanted = {f"socket:[{inode}]" for inode in inodes}
    if not wanted:
        return None
    for node, pid in pids.items():
        if not wanted.isdisjoint(_links(Path(f"/proc/{pid}/fd"))):
            return node
    return None


def _ask_kernel(local_port: int) -> Iterator[int]:
    """Yield the inodes of established sockets with a local port. Raise OSError where netlink is not to be had."""
    # The ports are in the network's order; no address, so any.
    wanted = struct.pack(">HH", local_port, 0) + bytes(32) + struct.pack("=I", 0) + b"\xff" * 8
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ESTABLISHED) + wanted
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST_DUMP, 1, 0) + body)
        while True:
            data = kernel.recv(_ANSWER_BYTES_MAX)
            place = 0
            while place + _HEADER.size <= len(data):
                length, kind, *_ = _HEADER.unpack_from(data, place)
                if kind == _DONE:
                    return
                if kind == _ERROR or length < _HEADER.size:
                    raise OSError("the kernel does not tell of its sockets")
                inode = _ANSWER.unpack_from(data, place + _HEADER.size)[-1]
                if inode:  # 0 while it has no owner
                    yield inode
                place += (length + 3) & ~3


def _read_table(local_port: int) -> Iterator[int]:
    wanted = f":{local_port:04X}"
    try:
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        # Fields: number, local address, remote address, state, …, inode as the tenth; 0 while it has no owner.
        if fields[1].endswith(wanted) and fields[9] != "0":
            yield int(fields[9])


def _links(directory: Path) -> set[str]:
    found: set[str] = set()
    try:
        names = os.listdir(directory)
    except OSError:
        return found
    for name in names:
        try:
            found.add(os.readlink(directory / name))
        except OSError:
            continue  # closed meanwhile
    return found
