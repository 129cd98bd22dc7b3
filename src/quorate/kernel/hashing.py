"""One stable 64-bit hash for keys, the same on every machine and in every version, one at a time or as NumPy arrays.

Text is hashed as UTF-8, so `"a"` and `b"a"` are one key. An integer is hashed as its 8 bytes in two's complement,
little endian, so -1 and 2⁶⁴-1 are one key. Everything that needs more than one hash derives it with `mix64`.

Source      XXH3 (xxHash specification 0.1.1, 64-bit, inputs of 4 to 8 bytes); finaliser: Stafford's variant 13.
Complexity  O(length of the key).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import xxhash

from quorate.kernel.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Key: TypeAlias = bytes | str | int
HASH_COUNT: Final = 1 << 64
_MASK: Final = HASH_COUNT - 1
_INT_MIN: Final = -(1 << 63)
# From XXH3's default secret: bytes 8 to 15 xor bytes 16 to 23.
_BITFLIP: Final = 0x1CAD21F72C81017C ^ 0xDB979083E96DD4DE
_RRMXMX: Final = 0x9FB21C651E98DF25
# Arrays are hashed in pieces that stay in the second-level cache.
_PIECE: Final = 1 << 14

_xxh3 = xxhash.xxh3_64_intdigest


class BadKey(UsageError):
    """A key is not bytes, str, or an integer of 64 bits."""

    code = "BADKEY"


def hash_key(key: Key) -> int:
    """Return the 64-bit hash of a key.

    Raises:
        BadKey: the key has another type, or is an integer outside -2⁶³ to 2⁶⁴-1.

    Example:
        >>> hash_key("a") == hash_key(b"a") != hash_key(97)
        True
    """
    if isinstance(key, bytes):
        return _xxh3(key)
    if isinstance(key, str):
        # Lone surrogates, as in file names of unknown encoding, are keys like any other.
        return _xxh3(key.encode("utf-8", "surrogatepass"))
    return _hash_other(key)


def _hash_other(key: object) -> int:
    if isinstance(key, int) and not isinstance(key, bool) and _INT_MIN <= key < HASH_COUNT:
        return _xxh3((key & _MASK).to_bytes(8, "little"))
    if isinstance(key, bytearray | memoryview):
        return _xxh3(bytes(key))
    if type(key).__module__ == "numpy" and hasattr(key, "item"):
        return hash_key(cast("Any", key).item())
    raise BadKey(f"a key is bytes, str or an integer from -2**63 to 2**64-1, not {key!r:.80}")


def mix64(value: int) -> int:
    """Return another hash, derived from a 64-bit one; a bijection."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)


def is_array(keys: object) -> bool:
    """Return whether something is a NumPy array, without importing NumPy."""
    return type(keys).__module__ == "numpy" and hasattr(keys, "dtype")


def hash_list(keys: Iterable[Key]) -> list[int]:
    """Return the hashes of keys as a list, without NumPy."""
    return [hash_key(key) for key in keys]


def hash_array(keys: "Iterable[Key] | NDArray[Any]") -> "NDArray[np.uint64]":
    """Return the hashes of keys as an array; needs NumPy. The same numbers as `hash_key`.

    Integer arrays are hashed by vector instructions; text, bytes and lists one by one.

    Raises:
        BadKey: as for `hash_key`; floats and objects that are no keys.
    """
    import numpy as np

    if is_array(keys):
        array: NDArray[Any] = keys  # type: ignore[assignment]
        if array.dtype.kind in "iu":
            return _hash_integers(np.ascontiguousarray(array).reshape(-1))
        keys = array.reshape(-1).tolist()
    return np.fromiter(map(hash_key, keys), dtype=np.uint64)


def _hash_integers(array: "NDArray[Any]") -> "NDArray[np.uint64]":
    import numpy as np

    words = array.astype(np.uint64, copy=False) if array.dtype.kind == "u" else array.astype(np.int64).view(np.uint64)
    hashes = np.empty_like(words)
    flip, multiplier = np.uint64(_BITFLIP), np.uint64(_RRMXMX)
    scratch = np.empty(min(_PIECE, len(words)), dtype=np.uint64)
    for start in range(0, len(words), _PIECE):
        h = hashes[start : start + _PIECE]
        t = scratch[: len(h)]
        word = words[start : start + _PIECE]
        # The two 32-bit halves change places.
        np.left_shift(word, 32, out=h)
        np.right_shift(word, 32, out=t)
        h |= t
        h ^= flip
        _xor_rotations(h, t)
        h *= multiplier
        np.right_shift(h, 35, out=t)
        t += 8  # the length of the input
        h ^= t
        h *= multiplier
        np.right_shift(h, 28, out=t)
        h ^= t
    return hashes


def _xor_rotations(h: "NDArray[np.uint64]", t: "NDArray[np.uint64]") -> None:
    """Set h to h ^ rotl(h, 49) ^ rotl(h, 24), with t as scratch."""
    original = h.copy()
    for left in (49, 24):
        t[:] = original
        t <<= left
        h ^= t
        t[:] = original
        t >>= 64 - left
        h ^= t


def mix_array(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """Return `mix64` of every element."""
    import numpy as np

    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
