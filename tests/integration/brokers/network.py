"""A network between a process and its broker, which a test can cut, hold, or make lose one direction."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.closing import close_server
from tests.integration.brokers.servers import Local, Server, TCPServer

Connect = Callable[[], Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Network:
    """A proxy that forwards bytes between its clients and a target, until a test makes it stop."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._downstream = asyncio.Event()
        self._downstream.set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answers_flow = asyncio.Event()
        self._answers_flow.set()
        self._held = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.refuses = False
        self.connections = 0

    async def listen_tcp(self, target: int) -> int:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accepted(reader, writer, lambda: asyncio.open_connection("127.0.0.1", target))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def listen_unix(self, path: Path, target: Path) -> None:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accepted(reader, writer, lambda: asyncio.open_unix_connection(str(target)))

        self._servers.append(await asyncio.start_unix_server(serve, str(path)))

    def cut(self) -> None:
        """Abort every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def drop_answers(self) -> None:
        """Drop all data of the broker from now on: the connections stay, like a subscription that has died silently."""
        self._downstream.clear()

    def restore(self) -> None:
        self._downstream.set()

    def hold(self) -> None:
        """Hold all data in both directions from now on: a partition. New connections are accepted."""
        self._flowing.clear()

    def release(self) -> None:
        """Forward the held data, in order, as TCP does when a partition ends."""
        self._flowing.set()

    def hold_answers(self) -> None:
        """Hold the broker's answers: it executes the next command, and the sender gets no confirmation."""
        self._held.clear()
        self._answers_flow.clear()

    async def until_an_answer_is_held(self) -> None:
        """Wait until an answer of the broker is held."""
        await self._held.wait()

    def release_answers(self) -> None:
        self._answers_flow.set()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect) -> None:
        self.connections += 1
        # Not in the task, which would leave its transport open if it is cancelled before it starts.
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, connect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connect: Connect) -> None:
        try:
            if self.refuses:
                return
            far_reader, far_writer = await connect()
            self._writers.add(far_writer)
            parts = [
                asyncio.create_task(self._pass(reader, far_writer, None)),
                asyncio.create_task(self._pass(far_reader, writer, self._downstream)),
            ]
            try:
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)
                self._writers.discard(far_writer)
                far_writer.close()
        except (OSError, asyncio.CancelledError):
            # Cancelled only by close().
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                if gate is not None and not self._answers_flow.is_set():
                    self._held.set()
                    await self._answers_flow.wait()
                if gate is None or gate.is_set():
                    writer.write(data)
                    await writer.drain()

    async def close(self) -> None:
        for server in self._servers:
            await close_server(server)
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.cut()
        # An aborted transport is closed in one of the next turns.
        for _ in range(5):
            await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def network_to(server: Server, directory: Path) -> AsyncIterator[tuple[Network, str]]:
    """A network in front of a server, and the URL to connect to."""
    network = Network()
    try:
        if isinstance(server, Local):
            near = Path(tempfile.mkdtemp(dir=directory))
            for name in ("in", "out", "log"):
                await network.listen_unix(near / name, server.sockets / name)
            yield network, f"local://{near}"
        else:
            assert isinstance(server, TCPServer)
            yield network, f"{server.scheme}://127.0.0.1:{await network.listen_tcp(server.port)}"
    finally:
        await network.close()
