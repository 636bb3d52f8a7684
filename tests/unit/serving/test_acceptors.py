from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from odac.serving.acceptors import BURST, FURTHER, QUIET, Acceptors


class Protocol(asyncio.Protocol):
    def __init__(self, open_transports: set[asyncio.BaseTransport]) -> None:
        self._open = open_transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self._transport)


class Clients:
    """Clients of one listening socket, and the turns of the event loop in which they were accepted."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.turn = 0
        self.accepted: list[int] = []
        self.acceptors: Acceptors | None = None
        self._open: list[socket.socket] = []
        self._transports: set[asyncio.BaseTransport] = set()

    def connect(self, number: int) -> None:
        """Connect clients, which wait in the kernel's queue."""
        for _ in range(number):
            self._open.append(socket.create_connection(self.socket.getsockname(), 5))

    async def accept(self, *, one_in_a_turn: bool = True) -> Acceptors:
        """Start to accept."""
        loop = asyncio.get_running_loop()

        def make_protocol() -> asyncio.Protocol:
            self.accepted.append(self.turn)
            made.count()
            return Protocol(self._transports)

        async def listen(each: socket.socket) -> asyncio.AbstractServer:
            return await loop.create_server(make_protocol, sock=each, backlog=1024)

        made = self.acceptors = Acceptors(listen, [self.socket], one_in_a_turn=one_in_a_turn)
        await made.start()
        return made

    async def until_accepted(self, number: int) -> None:
        """Run the event loop in single turns until so many clients were accepted."""
        async with asyncio.timeout(20):
            while len(self.accepted) < number:
                self.turn += 1
                await asyncio.sleep(0)

    async def burst(self, acceptors: Acceptors) -> None:
        """Let so many clients connect that further servers start."""
        before = len(self.accepted)
        self.connect(BURST)
        await self.until_accepted(before + BURST)
        await acceptors.adjust()

    async def most_in_a_turn(self, number: int) -> int:
        """Connect clients and return how many of them one turn accepted."""
        before = len(self.accepted)
        self.connect(number)
        await self.until_accepted(before + number)
        turns = self.accepted[before:]
        return max(map(turns.count, turns))

    async def stop(self) -> None:
        """Close what the event loop has, so that it can be closed."""
        if self.acceptors is not None:
            self.acceptors.close()
        async with asyncio.timeout(20):
            await asyncio.sleep(0)
            for each in list(self._transports):
                each.close()
            while self._transports:
                await asyncio.sleep(0)

    def close(self) -> None:
        for each in (*self._open, self.socket):
            each.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


Test = Callable[[Clients], Coroutine[Any, Any, None]]


def run(test: Test, clients: Clients, loop_factory: Callable[[], Any] = uvloop.new_event_loop) -> None:
    async def stopping() -> None:
        try:
            await test(clients)
        finally:
            await clients.stop()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(stopping())


def test_a_burst_is_accepted_several_at_a_time(clients: Clients) -> None:
    async def test(clients: Clients) -> None:
        acceptors = await clients.accept()
        assert await clients.most_in_a_turn(20) == 1
        await clients.burst(acceptors)
        assert await clients.most_in_a_turn(80) == 1 + FURTHER

    run(test, clients)


def test_after_a_burst_one_is_accepted_in_a_turn_again(clients: Clients) -> None:
    async def test(clients: Clients) -> None:
        acceptors = await clients.accept()
        await clients.burst(acceptors)
        for _ in range(QUIET - 1):
            await acceptors.adjust()
        assert await clients.most_in_a_turn(80) == 1 + FURTHER
        await acceptors.adjust()
        assert await clients.most_in_a_turn(20) == 1
        await clients.burst(acceptors)
        assert await clients.most_in_a_turn(80) == 1 + FURTHER

    run(test, clients)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists a process's descriptors")
def test_further_servers_leave_no_descriptor_open(clients: Clients) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def test(clients: Clients) -> None:
        acceptors = await clients.accept()
        await clients.burst(acceptors)
        with_further = descriptors()
        for _ in range(QUIET):
            await acceptors.adjust()
        await asyncio.sleep(0)
        assert descriptors() == with_further - FURTHER

    run(test, clients)


def test_a_burst_that_goes_on_keeps_the_further_servers(clients: Clients) -> None:
    async def test(clients: Clients) -> None:
        acceptors = await clients.accept()
        for _ in range(3):
            await clients.burst(acceptors)
            for _ in range(QUIET - 1):
                await acceptors.adjust()
        assert await clients.most_in_a_turn(80) == 1 + FURTHER

    run(test, clients)


def test_nobody_is_accepted_after_the_close(clients: Clients) -> None:
    async def test(clients: Clients) -> None:
        address = clients.socket.getsockname()
        acceptors = await clients.accept()
        await clients.burst(acceptors)
        acceptors.close()
        acceptors.close()
        await acceptors.adjust()
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5)

    run(test, clients)


def test_an_event_loop_that_empties_the_queue_needs_no_further_servers(clients: Clients) -> None:
    async def test(clients: Clients) -> None:
        acceptors = await clients.accept(one_in_a_turn=False)
        clients.connect(BURST)
        await clients.until_accepted(BURST)
        assert len(set(clients.accepted)) == 1
        await acceptors.adjust()
        assert acceptors._further == []

    run(test, clients, asyncio.new_event_loop)


def test_without_file_descriptors_connections_are_accepted_as_before(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def test(clients: Clients) -> None:
        acceptors = await clients.accept()
        monkeypatch.setattr(socket.socket, "dup", fail)
        await clients.burst(acceptors)
        assert await clients.most_in_a_turn(20) == 1
        monkeypatch.undo()
        await clients.burst(acceptors)
        assert await clients.most_in_a_turn(80) == 1 + FURTHER

    run(test, clients)
