"""A TCP relay in front of a server, which can stop forwarding data while it stays connected."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Self

from tests.closing import close_server


class Relay:
    """Forwards connections to a port of this machine, in its own thread.

    Args:
        target: the server's port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self._speaking = asyncio.Event()
        self._speaking.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(timeout=20)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(timeout=20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def silence(self) -> None:
        """Stop forwarding in both directions, including the end of a connection."""
        self._do(self._speaking.clear)

    def speak(self) -> None:
        """Forward new connections again; abort those that missed data."""

        def speak() -> None:
            self._speaking.set()
            for writer in self._writers:
                writer.transport.abort()

        self._do(speak)

    def cut(self) -> None:
        """Abort every connection, and accept new ones."""

        def cut() -> None:
            for writer in self._writers:
                writer.transport.abort()

        self._do(cut)

    def _do(self, action: Callable[[], None]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(timeout=20)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not in the task, which would leave its transport open if it is cancelled before it starts.
        self._writers.add(writer)
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
                self._writers.add(there_writer)
                try:
                    await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
                finally:
                    self._writers.discard(there_writer)
                    there_writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._speaking.is_set():
                    writer.write(data)
                    await writer.drain()
        await self._speaking.wait()
        writer.transport.abort()

    async def _stop(self) -> None:
        await close_server(self._server)
        # All of the loop's tasks are the relay's.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)
        for writer in self._writers:
            writer.transport.abort()
        # An aborted transport is closed in one of the loop's next turns.
        for _ in range(10):
            await asyncio.sleep(0)
