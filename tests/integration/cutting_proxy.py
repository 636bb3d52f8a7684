"""A proxy in front of an app that cuts each connection after some number of bytes, in either direction."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

Left = Callable[[], tuple[int | None, int | None]]
"""Gives, for each connection, the bytes until it is cut: those to the app and those from it; None for no cut."""


def after_any_byte(chance: random.Random) -> Left:
    """Cut after a random number of bytes, mostly after the handshake."""

    def one() -> int:
        return chance.choice([chance.randint(0, 700), chance.randint(700, 6_000)])

    return lambda: (one(), one())


class CuttingProxy:
    """Passes connections on to a port of this machine.

    Args:
        port: of the app.
        left: where each connection is cut.

    Attributes:
        cuts: how many connections were cut.
        passed: the bytes of the last connection, to the app and from it.
    """

    def __init__(self, port: int, left: Left) -> None:
        self._port = port
        self._left = left
        self.cuts = 0
        self.passed = [0, 0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on; for :func:`asyncio.start_server`."""
        try:
            to_app, from_app = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self.passed = [0, 0]
        ways = zip((reader, to_app), (from_app, writer), self._left(), (0, 1), strict=True)
        pumps = [asyncio.ensure_future(self._pump(*way)) for way in ways]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for sink in (writer, from_app):
            sink.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, left: int | None, way: int) -> None:
        while data := await source.read(4096):
            self.passed[way] += len(data)
            if left is not None:
                if len(data) >= left:
                    sink.write(data[:left])
                    self.cuts += 1
                    await sink.drain()
                    return
                left -= len(data)
            sink.write(data)
