"""The chance of OpenSSL, so that encrypted connections have the same bytes in every run of a seed.

`ssl` asks libcrypto for random bytes, which asks the operating system. While a world runs, libcrypto asks here instead:
a stream of the running host's life, apart from its other chance; the real entropy outside of hosts. Where libcrypto
cannot be reached (a build without its symbols), bytes stay random and only their order is the seed's.

Source: OpenSSL, RAND_set_rand_method(3). Deprecated since 3.0 in favour of providers, which Python cannot write.
"""

import ctypes
from collections.abc import Callable
from typing import Any, Final

from quorate.sim.foreign.chance import REAL
from quorate.sim.loop import running_incarnation

_SEED: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_BYTES: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_CLEANUP: Final = ctypes.CFUNCTYPE(None)
_ADD: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_double)
_STATUS: Final = ctypes.CFUNCTYPE(ctypes.c_int)


class _Method(ctypes.Structure):
    """RAND_METHOD of OpenSSL's rand.h."""

    _fields_ = (
        ("seed", _SEED),
        ("bytes", _BYTES),
        ("cleanup", _CLEANUP),
        ("add", _ADD),
        ("pseudorand", _BYTES),
        ("status", _STATUS),
    )


def _fill(buffer: int, count: int) -> int:
    incarnation = running_incarnation()
    if incarnation is None:
        data = REAL["urandom"](count)
    else:
        stream = incarnation.cipher_chance
        if stream is None:
            host = incarnation.host
            stream = incarnation.cipher_chance = host.world.choices.random("tls", host.name, incarnation.boot_count)
        data = stream.randbytes(count)
    ctypes.memmove(buffer, data, count)
    return 1


# Kept for ever: libcrypto holds their address.
_METHOD: Final = _Method(
    _SEED(lambda _data, _count: 1),
    _BYTES(_fill),
    _CLEANUP(lambda: None),
    _ADD(lambda _data, _count, _entropy: 1),
    _BYTES(_fill),
    _STATUS(lambda: 1),
)


def _libcrypto() -> Any | None:
    """Return the library that `ssl` itself uses, found through it; None where it cannot be reached."""
    try:
        import _ssl

        library = ctypes.CDLL(_ssl.__file__)
        library.RAND_get_rand_method.restype = ctypes.c_void_p
        library.RAND_set_rand_method.argtypes = [ctypes.c_void_p]
    except (ImportError, AttributeError, OSError):
        return None
    return library


_LIBRARY: Final = _libcrypto()


def is_reachable() -> bool:
    """Return whether encrypted bytes are reproducible here."""
    return _LIBRARY is not None


def install(undo: list[Callable[[], None]]) -> None:
    """Let libcrypto ask here for chance."""
    if _LIBRARY is None:
        return
    before = _LIBRARY.RAND_get_rand_method()
    _LIBRARY.RAND_set_rand_method(ctypes.byref(_METHOD))
    undo.append(lambda: _LIBRARY.RAND_set_rand_method(before))
