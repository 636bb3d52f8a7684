"""Replaces the transport of a connection that has ended."""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["GONE"]


class _Gone(asyncio.Transport):
    """A transport that is closing, holds nothing and takes nothing."""

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

A handler may run on after the end, and its connection keeps the lane meanwhile. Over TLS the transport holds OpenSSL's
memory and buffers of several hundred KiB, which must not stay that long.
"""
