"""Ids of connections: 128 random bits, unguessable, and unique across processes and machines."""

from __future__ import annotations

import os
from binascii import b2a_base64
from typing import Final

__all__ = ["new_id"]

_LENGTH: Final = 22
"""Characters of an id: six bits each, of which the last four are zeros, so that 16 bytes are the same id. Rooms with
history name a client by them."""

_DRAWN: Final = 18
"""Bytes drawn for each: 24 characters, a whole number, so that many ids are encoded as one text."""

_AT_ONCE: Final = 64
"""Ids made from the random bytes of one system call: a system call for each id would take most of the time."""

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_drawn: list[str] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drawn.clear)  # two processes must not use the same ids


def new_id() -> str:
    """An id as base64url: 22 characters."""
    try:
        return _drawn.pop()
    except IndexError:
        drawn = bytearray(os.urandom(_DRAWN * _AT_ONCE))
        drawn[16::_DRAWN] = bytes(_AT_ONCE)
        text = b2a_base64(drawn, newline=False).translate(_URL_SAFE).decode("ascii")
        step = len(text) // _AT_ONCE
        _drawn.extend([text[start : start + _LENGTH] for start in range(0, len(text), step)])
        return _drawn.pop()
