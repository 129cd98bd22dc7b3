"""What every filter can do: answer "certainly not" or "probably", for one key or for many."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from quorate.kernel import Key, hash_array, hash_key, hash_list
from quorate.sketches.common import has_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Filter(ABC):
    """A set of keys that may claim too much and never too little."""

    kind: ClassVar[str]

    def __contains__(self, key: Key) -> bool:
        """Return whether a key was added, or (with the error rate) only seems so."""
        return self._has_hash(hash_key(key))

    def contains_many(self, keys: "Iterable[Key] | NDArray[Any]") -> "list[bool] | NDArray[np.bool_]":
        """Return the answer for each key: an array with NumPy, else a list; the same answers."""
        if has_numpy():
            return self._has_hashes(hash_array(keys))
        return [self._has_hash(key_hash) for key_hash in hash_list(keys)]

    @abstractmethod
    def _has_hash(self, key_hash: int) -> bool:
        """Return the answer for a key's hash."""

    def _has_hashes(self, hashes: "NDArray[np.uint64]") -> "NDArray[np.bool_]":
        import numpy as np

        return np.fromiter(map(self._has_hash, hashes.tolist()), dtype=np.bool_, count=len(hashes))

    @abstractmethod
    def error_rate_now(self) -> float:
        """Return the share of keys never added that seem to be there, by theory, at the present filling."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return the sealed bytes."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Filter) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # a filter changes


class GrowingFilter(Filter):
    """A filter to which keys can be added."""

    def add(self, key: Key) -> None:
        """Add a key."""
        self._add_hash(hash_key(key))

    def add_many(self, keys: "Iterable[Key] | NDArray[Any]") -> None:
        """Add all keys; the same outcome as one by one."""
        if has_numpy():
            self._add_hashes(hash_array(keys))
            return
        for key_hash in hash_list(keys):
            self._add_hash(key_hash)

    @abstractmethod
    def _add_hash(self, key_hash: int) -> None:
        """Add a key's hash."""

    def _add_hashes(self, hashes: "NDArray[np.uint64]") -> None:
        for key_hash in hashes.tolist():
            self._add_hash(key_hash)
