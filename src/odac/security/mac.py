"""HMAC-SHA256 with a fixed key."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

__all__ = ["Mac"]

_BLOCK: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Mac:
    """Signs with one key (RFC 2104). ``hmac.digest`` hashes the key in each call, which takes longer than the
    message.

    Args:
        key: at most 64 bytes.

    Raises:
        ValueError: the key is longer.
    """

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            raise ValueError(f"a key of {len(key)} bytes: at most {_BLOCK}")
        block = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(block.translate(_INNER))
        self._outer = sha256(block.translate(_OUTER))

    def sign(self, message: bytes) -> bytes:
        """The signature: 32 bytes. Callable from any thread."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()
