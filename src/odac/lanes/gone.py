"""Replaces the transport of a connection that has ended."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["GONE"]


class _Gone(asyncio.Transport):
    """A closing transport with an empty buffer, which drops what is written to it."""

    __slots__ = ()

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


GONE: Final = _Gone()
"""Replaces a lane's transport when the transport has reported its end.

A handler may still run after the end, and its connection refers to the lane until then. A TLS transport refers to
OpenSSL's memory and to buffers of several hundred KiB, which must not stay that long.
"""
