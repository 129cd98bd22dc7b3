"""Chance and identity as the host of the running program sees them: random, os.urandom, uuid, process and host name.

One stream for each host and life, apart from those of network and disk. Generators that were made without a seed, also
at import time (as the default of an argument, say), are watched from the moment this module is loaded and get a new
seed when a world starts, by the module and line that made them: import order does not matter.
"""

import os
import random
import socket
import sys
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from quorate.sim.failures import Unsimulated
from quorate.sim.loop import running_incarnation

if TYPE_CHECKING:
    from quorate.sim.host import Incarnation
    from quorate.sim.world import World

REAL: Final[dict[str, Any]] = {
    "urandom": os.urandom,
    "getpid": os.getpid,
    "getppid": os.getppid,
    "gethostname": socket.gethostname,
    "getfqdn": socket.getfqdn,
    "getaddrinfo": socket.getaddrinfo,
    "gethostbyname": socket.gethostbyname,
    "uuid1": uuid.uuid1,
    "getnode": uuid.getnode,
    "seed": random.Random.seed,
}
# The bound methods of the hidden generator behind the functions of `random`.
_METHODS: Final = tuple(
    name
    for name in random.__all__
    if isinstance(getattr(getattr(random, name), "__self__", None), random.Random)
    and name not in {"getstate", "setstate"}
)
_UUID_EPOCH_100NS: Final = 0x01B21DD213814000

# Unseeded generators and (module, line) of their making.
_unseeded: list[tuple["weakref.ref[random.Random]", tuple[str, int]]] = []


def generator_of(incarnation: "Incarnation") -> random.Random:
    """Return the chance of a host's life."""
    found = incarnation.chance
    if found is None:
        host = incarnation.host
        found = incarnation.chance = host.world.choices.random("program", host.name, incarnation.boot_count)
    return found


def watch_unseeded() -> None:
    """Note every generator that is made without a seed from now on. Harmless when called again."""
    if random.Random.seed is REAL["seed"]:
        random.Random.seed = _seed  # type: ignore[method-assign]


def _seed(self: random.Random, a: Any = None, version: int = 2) -> None:
    if a is None and not isinstance(self, random.SystemRandom):
        incarnation = running_incarnation()
        if incarnation is not None:
            a = generator_of(incarnation).getrandbits(64)
        else:
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_globals.get("__name__") == "random":
                frame = frame.f_back
            place = (str(frame.f_globals.get("__name__")), frame.f_lineno)
            _unseeded.append((weakref.ref(self), place))
    REAL["seed"](self, a, version)


def reseed(world: "World") -> None:
    """Give every generator that was made without a seed one of the world's."""
    counts: dict[tuple[str, int], int] = {}
    _unseeded[:] = [(found, place) for found, place in _unseeded if found() is not None]
    for found, place in _unseeded:
        generator = found()
        counts[place] = counts.get(place, 0) + 1
        if generator is not None:
            REAL["seed"](generator, f"{world.choices.seed}/unseeded/{place[0]}/{place[1]}/{counts[place]}")


def _of_random(name: str) -> Callable[..., Any]:
    real = getattr(random, name)

    def draw(*args: Any, **keywords: Any) -> Any:
        incarnation = running_incarnation()
        if incarnation is None:
            return real(*args, **keywords)
        return getattr(generator_of(incarnation), name)(*args, **keywords)

    draw.__name__ = name
    return draw


def _of_host(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that asks the running host, and the real one outside."""

    def ask(*args: Any, **keywords: Any) -> Any:
        incarnation = running_incarnation()
        if incarnation is None:
            return REAL[name](*args, **keywords)
        return answer(incarnation, *args, **keywords)

    ask.__name__ = name
    return ask


def _urandom(incarnation: "Incarnation", size: int, /) -> bytes:
    return generator_of(incarnation).randbytes(size)


def _pid(incarnation: "Incarnation") -> int:
    return 1_000 * (incarnation.host.number + 1) + incarnation.boot_count


def _node(incarnation: "Incarnation") -> int:
    # A locally administered address, as of a virtual machine.
    return 0x0200_0000_0000 | incarnation.host.number


def _uuid1(incarnation: "Incarnation", node: int | None = None, clock_seq: int | None = None) -> uuid.UUID:
    wall_ns = incarnation.loop.time_ns() + incarnation.host.time.wall_offset_ns
    moment = max(wall_ns // 100 + _UUID_EPOCH_100NS, incarnation.last_uuid_time + 1)
    incarnation.last_uuid_time = moment
    sequence = generator_of(incarnation).getrandbits(14) if clock_seq is None else clock_seq
    fields = (
        moment & 0xFFFF_FFFF, moment >> 32 & 0xFFFF, moment >> 48 & 0x0FFF,
        sequence >> 8 & 0x3F, sequence & 0xFF, _node(incarnation) if node is None else node,
    )  # fmt: skip
    return uuid.UUID(fields=fields, version=1)


def _address_of(incarnation: "Incarnation", name: Any) -> str:
    found = incarnation.host.world.find("127.0.0.1" if name is None else name, incarnation.host)
    if found is None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found.ip


def _getaddrinfo(
    incarnation: "Incarnation",
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002  the signature of the module
    proto: int = 0,
    flags: int = 0,
) -> list[Any]:
    address = (_address_of(incarnation, host), int(port or 0))
    return [(socket.AF_INET, type or socket.SOCK_STREAM, proto or socket.IPPROTO_TCP, "", address)]


def _refused_socketpair(*_: Any, **__: Any) -> Any:
    raise Unsimulated("socket pairs are not simulated: use an asyncio.Queue, or a connection to localhost")


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """Yield (module, name, replacement)."""
    REAL["socketpair"] = socket.socketpair
    for name in _METHODS:
        yield random, name, _of_random(name)
    yield os, "urandom", _of_host("urandom", _urandom)
    yield os, "getpid", _of_host("getpid", _pid)
    yield os, "getppid", _of_host("getppid", lambda _: 1)
    yield uuid, "uuid1", _of_host("uuid1", _uuid1)
    yield uuid, "getnode", _of_host("getnode", _node)
    yield socket, "gethostname", _of_host("gethostname", lambda incarnation: incarnation.host.name)
    yield socket, "getfqdn", _of_host("getfqdn", lambda incarnation, name="": name or incarnation.host.name)
    yield socket, "getaddrinfo", _of_host("getaddrinfo", _getaddrinfo)
    yield socket, "gethostbyname", _of_host("gethostbyname", _address_of)
    yield socket, "socketpair", _of_host("socketpair", _refused_socketpair)


# As early as possible: a library's generator may be a default argument, made at import.
watch_unseeded()
