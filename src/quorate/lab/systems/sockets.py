"""Whose socket is it? Tells which of our children dialled a proxy (Linux: /proc).

Some systems know one address per node, whoever dials it. To harm one direction alone the proxy must know who called.

Source: proc(5), /proc/net/tcp and /proc/PID/fd.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from quorate.kernel import NodeId


def owner_of(local_port: int, pids: Mapping[NodeId, int]) -> NodeId | None:
    """Return the node whose process holds the TCP socket with a local port; None when none does, or is gone.

    Complexity: O(sockets of the machine + open files of the processes); once per connection.
    """
    inode = _inode(local_port)
    if inode is None:
        return None
    wanted = f"socket:[{inode}]"
    for node, pid in pids.items():
        if wanted in _links(Path(f"/proc/{pid}/fd")):
            return node
    return None


def _inode(local_port: int) -> str | None:
    wanted = f":{local_port:04X}"
    try:
        lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        # Fields: number, local address, remote address, state, …, inode as the tenth; 0 while it has no owner.
        if fields[1].endswith(wanted) and fields[9] != "0":
            return fields[9]
    return None


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
