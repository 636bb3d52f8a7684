"""Bare writes to sockets that do not block: in C where ``_speedups.c`` was compiled, else in Python, with the same results."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from odac.realtime.outbox import Outbox

__all__ = ["ACCELERATED", "reference_write", "reference_write_to_all", "write", "write_to_all"]


def reference_write(fd: int, data: bytes) -> int:
    """Write to a socket.

    Returns:
        the bytes that it took: 0 where its buffer is full; all of them where the peer is gone, of which the transport
        hears by itself.
    """
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)


def reference_write_to_all(members: Iterable[Outbox], data: bytes) -> list[tuple[Outbox, int]]:
    """Write the same to the ``fd`` of every member.

    Returns:
        who did not take all of it, with the bytes that :func:`reference_write` says, or -1 for a member without an ``fd``.
    """
    rest: list[tuple[Outbox, int]] = []
    bare, size = os.write, len(data)
    for outbox in members:
        fd = outbox.fd
        if fd < 0:
            rest.append((outbox, -1))
            continue
        try:
            sent = bare(fd, data)
        except OSError as error:
            sent = 0 if isinstance(error, BlockingIOError) else size
        if sent != size:
            rest.append((outbox, sent))
    return rest


write, write_to_all = reference_write, reference_write_to_all
if not TYPE_CHECKING and os.environ.get("ODAC_SPEEDUPS") != "0":
    try:
        from odac._speedups import write, write_to_all
    except ImportError:
        pass  # not compiled here: the functions above are as right, and slower

ACCELERATED: Final = write is not reference_write
"""Whether the compiled functions are in use; ``ODAC_SPEEDUPS=0`` turns them off."""
