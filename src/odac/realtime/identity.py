"""Ids of connections: 128 random bits, unguessable, and unique across processes and machines."""

from __future__ import annotations

import os
from binascii import b2a_base64
from typing import Final

__all__ = ["new_id"]

_BYTES: Final = 16
_AT_ONCE: Final = 64
"""Ids made of what one system call draws: asking the kernel for each would take longer than all the rest of it."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_drawn: list[bytes] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)  # two processes must not give the same ids


def new_id() -> str:
    """An id as base64url: 22 characters."""
    try:
        bits = _drawn.pop()
    except IndexError:
        drawn = os.urandom(_BYTES * _AT_ONCE)
        _drawn.extend(drawn[start : start + _BYTES] for start in range(0, len(drawn), _BYTES))
        bits = _drawn.pop()
    return b2a_base64(bits)[:22].translate(_URL_SAFE).decode("ascii")
