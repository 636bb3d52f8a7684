"""The servers that accept connections: one for each listening socket, and more while many clients connect."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

__all__ = ["Acceptors"]

FURTHER: Final = 7
"""Further servers for each socket during a burst. So a turn of the event loop accepts eight connections at most, and
messages of other connections wait for eight handshakes at most.
"""
BURST: Final = 100
"""Connections from one call of :meth:`Acceptors.adjust` to the next that make a burst: with 0.1 s between the calls,
1,000 a second.
"""
QUIET: Final = 10
"""Calls of :meth:`Acceptors.adjust` without a burst, after which the further servers are closed: one second."""


class Acceptors:
    """Accepts connections, during a burst several in one turn of the event loop.

    libuv accepts one connection of a listening socket in each turn. If thousands of clients reconnect at once, each
    handshake takes a turn of its own: a call of ``epoll_wait``, and cold caches. Therefore further servers listen on
    duplicates of the socket during a burst, and libuv accepts one connection for each of them. They are closed
    afterwards, because each one that finds no connection costs a system call that fails. asyncio's own event loop needs
    none: it accepts until the queue is empty.

    Args:
        listen: starts a server on a socket. The server closes the socket when it is closed.
        sockets: the listening sockets. They are the caller's to close as well.
        one_in_a_turn: whether the event loop accepts one connection in each turn.
    """

    __slots__ = ("_accepted", "_further", "_listen", "_one_in_a_turn", "_quiet", "_servers", "_sockets")

    def __init__(
        self,
        listen: Callable[[socket.socket], Awaitable[asyncio.AbstractServer]],
        sockets: Sequence[socket.socket],
        *,
        one_in_a_turn: bool,
    ) -> None:
        self._listen = listen
        self._sockets = sockets
        self._one_in_a_turn = one_in_a_turn
        self._servers: list[asyncio.AbstractServer] = []
        self._further: list[asyncio.AbstractServer] = []
        self._accepted = 0
        self._quiet = 0

    async def start(self) -> None:
        """Accept connections."""
        for each in self._sockets:
            self._servers.append(await self._listen(each))

    def count(self) -> None:
        """Count a connection that was accepted."""
        self._accepted += 1

    async def adjust(self) -> None:
        """Start the further servers if a burst has begun since the last call, or close them after one."""
        accepted, self._accepted = self._accepted, 0
        if accepted >= BURST:
            self._quiet = 0
            if self._one_in_a_turn and self._servers and not self._further:
                with contextlib.suppress(OSError):  # no file descriptors are left: connections need them more
                    await self._start_further()
        elif self._further:
            self._quiet += 1
            if self._quiet >= QUIET:
                self._close_further()

    async def _start_further(self) -> None:
        for each in self._sockets:
            for _ in range(FURTHER):
                copy = each.dup()
                try:
                    self._further.append(await self._listen(copy))
                except BaseException:
                    copy.close()
                    raise

    def _close_further(self) -> None:
        for server in self._further:
            server.close()
        self._further.clear()

    def close(self) -> None:
        """Stop accepting. Connections that were accepted stay open."""
        self._close_further()
        for server in self._servers:
            server.close()
        self._servers.clear()
