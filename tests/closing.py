"""Closes asyncio's servers in tests whose clients may be connecting at the same time."""

from __future__ import annotations

import asyncio

__all__ = ["close_server"]


async def close_server(server: asyncio.Server) -> None:
    """Stop accepting, and close the server once all accepted connections have their protocols.

    Up to Python 3.12, ``Server.close()`` makes the transport of a connection that was accepted in the turn of the event
    loop before fail half made, and it warns of itself when the garbage collector finds it, in another test.
    """
    loop = asyncio.get_running_loop()
    for each in server.sockets:
        loop.remove_reader(each.fileno())
    # The connection becomes a task, the task makes a transport, and that calls the protocol, each in a turn.
    for _ in range(5):
        await asyncio.sleep(0)
    server.close()
