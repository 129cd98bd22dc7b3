"""Encryption around messages: only who holds a key of the ring can speak or listen; keys are exchanged while running.

The machine knows nothing of it: a host passes its messages through `SealedCodec` instead of `MESSAGES`. Rotation is
three steps, each finished on all members before the next begins: `add` the new key everywhere, `use` it everywhere,
`remove` the old one everywhere; at every moment each member can read what every other writes.

Layout: version (1 byte, 1)  key id (4 bytes)  nonce (12 bytes)  AES-GCM ciphertext with its tag (16 bytes more).
The version and key id are authenticated too. A repeated datagram is accepted again: SWIM's news does not mind.

Source      NIST SP 800-38D (AES-GCM; 96-bit random nonces: at most 2^32 messages per key); memberlist's keyring.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from quorate.kernel import Codec, Malformed
from quorate.kernel.errors import ConfigError
from quorate.protocols.swim.messages import MESSAGES, SwimMessage

VERSION: Final = 1
KEY_ID_BYTES: Final = 4
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_LENGTHS: Final = (16, 24, 32)
_HEADER_BYTES: Final = 1 + KEY_ID_BYTES
# AES-128, AES-192 or AES-256 by the key's length; what encryption adds to every message.
SEAL_BYTES: Final = _HEADER_BYTES + NONCE_BYTES + TAG_BYTES


class Keyring:
    """The keys that a member accepts, and the one with which it writes.

    Args:
        primary: 16, 24 or 32 bytes; written with, until `use` says otherwise.
    """

    def __init__(self, primary: bytes) -> None:
        self._ciphers: dict[bytes, Any] = {}  # Any: `cryptography` is an optional extra
        self._primary = self.add(primary)

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """The ids of all keys, the one that is written with first."""
        return (self._primary, *[key_id for key_id in self._ciphers if key_id != self._primary])

    def add(self, key: bytes) -> bytes:
        """Accept what is written with a key from now on; return its id, which tells nothing about it.

        Raises:
            ConfigError: the length is wrong, or `cryptography` is not installed.
        """
        if len(key) not in KEY_LENGTHS:
            raise ConfigError(f"key: 16, 24 or 32 bytes, not {len(key)}")
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as cause:
            raise ConfigError("encryption needs the extra quorate[tls]") from cause
        key_id = hashlib.sha256(b"quorate swim key id" + key).digest()[:KEY_ID_BYTES]
        self._ciphers.setdefault(key_id, AESGCM(key))
        return key_id

    def use(self, key_id: bytes) -> None:
        """Write with another key of the ring from now on."""
        if key_id not in self._ciphers:
            raise ConfigError("key: only one that was added can be used")
        self._primary = key_id

    def remove(self, key_id: bytes) -> None:
        """Accept nothing more that is written with a key."""
        if key_id == self._primary:
            raise ConfigError("key: the one that is written with cannot be removed; use another first")
        self._ciphers.pop(key_id, None)

    def seal(self, payload: bytes, nonce: bytes) -> bytes:
        """Return the payload encrypted with the primary key. Complexity: O(len(payload))."""
        assert len(nonce) == NONCE_BYTES, "a nonce has 96 bits"
        header = bytes((VERSION,)) + self._primary
        sealed: bytes = self._ciphers[self._primary].encrypt(nonce, payload, header)
        return header + nonce + sealed

    def open(self, data: bytes) -> bytes:
        """Return the payload; raise Malformed for anything that no key of the ring has written."""
        if len(data) < SEAL_BYTES or data[0] != VERSION:
            raise Malformed("not a sealed message")
        header, nonce = data[:_HEADER_BYTES], data[_HEADER_BYTES : _HEADER_BYTES + NONCE_BYTES]
        cipher = self._ciphers.get(header[1:])
        if cipher is None:
            raise Malformed("sealed with a key that is not in the ring")
        from cryptography.exceptions import InvalidTag

        try:
            payload: bytes = cipher.decrypt(nonce, data[_HEADER_BYTES + NONCE_BYTES :], header)
        except InvalidTag as cause:
            raise Malformed("a sealed message was changed on the way") from cause
        return payload


class SealedCodec(Codec[SwimMessage]):
    """Encodes and encrypts SWIM messages; what cannot be opened is `Malformed`, counted and ignored like any garbage.

    Args:
        keyring: shared by all codecs of a node, so that a rotation is seen at once.
        draw_nonce: returns 12 fresh bytes; from the operating system in production, from a stream in simulation.
    """

    def __init__(self, keyring: Keyring, draw_nonce: Callable[[], bytes]) -> None:
        super().__init__(SwimMessage)
        self.keyring = keyring
        self._draw_nonce = draw_nonce
        self.encode = self._seal

    def _seal(self, message: SwimMessage) -> bytes:
        return self.keyring.seal(MESSAGES.encode(message), self._draw_nonce())

    def decode(self, data: bytes | memoryview) -> SwimMessage:
        """Return the message; raise `Malformed` for anything else. Complexity: O(len(data))."""
        return MESSAGES.decode(self.keyring.open(bytes(data)))
