"""What a connection of the Redis door has seen of the keys of a leaderless keyspace: sessions without tokens.

Its next write replaces the values that it saw and no others; where the keyspace declares it, its next read is not older
than what it saw. A bounded number of keys is remembered; what is forgotten makes siblings, never a lost value.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

CALLERS_MAX: Final = 10_000
KEYS_MAX: Final = 1_000


class Kept:
    """Tokens by connection and key. Complexity: O(1) for everything."""

    def __init__(self) -> None:
        # Connection → key → (what a write replaces, what a read must include); the one used longest ago first.
        self._callers: OrderedDict[Hashable, OrderedDict[bytes, tuple[bytes, bytes]]] = OrderedDict()

    def context(self, caller: Hashable, key: bytes) -> bytes:
        """Return the token of what a connection's next write replaces; empty for nothing."""
        return self._find(caller, key)[0]

    def at_least(self, caller: Hashable, key: bytes) -> bytes:
        """Return the token of what a connection's next read must include; empty for nothing."""
        return self._find(caller, key)[1]

    def note(self, caller: Hashable, key: bytes, token: bytes, *, is_known: bool) -> None:
        """Remember what a connection has seen.

        Args:
            caller: the connection.
            key: of what was read or written.
            token: of what the copy held then.
            is_known: whether the connection knows all that the token stands for, so that it may be replaced.
        """
        keys = self._callers.get(caller)
        if keys is None:
            keys = self._callers[caller] = OrderedDict()
            if len(self._callers) > CALLERS_MAX:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(caller)
        context = token if is_known else keys.get(key, (b"", b""))[0]
        keys[key] = (context, token)
        keys.move_to_end(key)
        if len(keys) > KEYS_MAX:
            keys.popitem(last=False)

    def _find(self, caller: Hashable, key: bytes) -> tuple[bytes, bytes]:
        keys = self._callers.get(caller)
        return keys.get(key, (b"", b"")) if keys is not None else (b"", b"")
