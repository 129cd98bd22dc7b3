"""Free ports that stay free.

A port that the kernel may hand to any outgoing connection can be taken while its node is down, and the node could not
come back. So ports are drawn from below the ephemeral range.
"""

import random
import socket
from pathlib import Path

from quorate.env import Address
from quorate.kernel import errors

_FIRST_PORT = 10_000
_ATTEMPT_COUNT_MAX = 2_000

_given: set[int] = set()
_rng = random.Random()  # the operating system's choice: which port it is must not matter


def free_address(host: str = "127.0.0.1") -> Address:
    """Return an address on which nothing listens, never given before by this process.

    Raises:
        UsageError: no free port was found.
    """
    last_port = _ephemeral_first() - 1
    for _ in range(_ATTEMPT_COUNT_MAX):
        port = _rng.randint(_FIRST_PORT, last_port)
        if port not in _given and _can_be_bound(host, port):
            _given.add(port)
            return Address(host, port)
    raise errors.UsageError(f"no free port between {_FIRST_PORT} and {last_port} on {host}")


def _ephemeral_first() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768


def _can_be_bound(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
