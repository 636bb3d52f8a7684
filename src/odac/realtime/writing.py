"""Direct, non-blocking writes to sockets, past the transport; odac/speedups.py has the compiled versions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol, TypeVar

from odac.speedups import compiled

__all__ = ["reference_write", "reference_write_to_all", "write", "write_to_all"]


class HasFd(Protocol):
    """Anything with a socket to write to, or -1."""

    fd: int


M = TypeVar("M", bound=HasFd)


def reference_write(fd: int, data: bytes) -> int:
    """Write to a socket.

    Returns:
        the bytes that the socket accepted: 0 if its buffer is full; all of them if the peer is gone, which the
        transport detects by itself.
    """
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)


def reference_write_to_all(members: Iterable[M], data: bytes) -> list[tuple[M, int]]:
    """Write the same to the ``fd`` of every member.

    Returns:
        the members whose sockets did not accept all of it, with the bytes as :func:`reference_write` counts them, or
        -1 for a member without an ``fd``.
    """
    rest: list[tuple[M, int]] = []
    bare, size = os.write, len(data)
    for member in members:
        fd = member.fd
        if fd < 0:
            rest.append((member, -1))
            continue
        try:
            sent = bare(fd, data)
        except OSError as error:
            sent = 0 if isinstance(error, BlockingIOError) else size
        if sent != size:
            rest.append((member, sent))
    return rest


write = compiled("write", reference_write)
write_to_all = compiled("write_to_all", reference_write_to_all)
