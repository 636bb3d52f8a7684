from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from odac.close_codes import CloseCode
from odac.realtime.turn_budget import FREE, turn_of
from odac.serving.protocols.asgi_websocket import AsgiWebSocket, ClientGone
from odac.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, encode_masked_frame
from tests.unit.realtime.realtime_fakes import Frame, idle, parse_frames, run


class FakeTransport:
    """Takes everything, and writes down what it is told."""

    def __init__(self) -> None:
        self.wire = b""
        self.reading = True
        self.closing = False
        self.eof = False

    def write(self, data: bytes) -> None:
        self.wire += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.eof = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class FakeServer:
    """The protocol that has done the handshake."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(
            ws_max_size=1000, ws_max_queue=4, ws_per_message_deflate=False, ws_ping_interval=None, ws_ping_timeout=None
        )
        self.loop = asyncio.get_running_loop()
        self.transport = FakeTransport()
        self.answers: list[tuple[Any, ...]] = []

    answer_headers: list[tuple[bytes, bytes]] = []  # noqa: RUF012 - never changed

    def pass_on(self, status: int, data: bytes, *, last: bool) -> None:
        self.answers.append((data, last))

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        self.answers.append((status, list(headers), body))

    def upgrade(self, subprotocol: str | None, extensions: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        self.answers.append((101, subprotocol, list(headers)))
        return b""

    def negotiate(self) -> None:
        raise AssertionError("compression is off")


async def opened(size: int = 1000) -> tuple[AsgiWebSocket, FakeServer]:
    server = FakeServer()
    server.config.ws_max_size = size
    session = AsgiWebSocket(cast(Any, server))
    assert await session.receive() == {"type": "websocket.connect"}
    await session.send({"type": "websocket.accept"})
    return session, server


def frames(server: FakeServer) -> list[Frame]:
    return parse_frames(server.transport.wire)


def arrive(session: AsgiWebSocket, *sent: Frame) -> None:
    session.data_received(b"".join(encode_masked_frame(opcode, data, b"abcd") for opcode, data in sent))


def test_messages_are_queued_and_reading_pauses_at_the_bound() -> None:
    async def test() -> None:
        session, server = await opened()
        arrive(session, (TEXT, b"1"), (BINARY, b"2"), (TEXT, b"3"))
        states = [server.transport.reading]
        arrive(session, (TEXT, b"4"), (PING, b"x"))
        states.append(server.transport.reading)
        assert await session.receive() == {"type": "websocket.receive", "text": "1"}
        assert await session.receive() == {"type": "websocket.receive", "bytes": b"2"}
        states.append(server.transport.reading)
        assert states == [True, False, True]
        assert frames(server) == [(PONG, b"x")]

    run(test())


def test_a_read_with_thousands_of_messages_is_taken_as_the_app_takes_them() -> None:
    async def test() -> None:
        session, server = await opened()
        arrive(session, *[(TEXT, b"x")] * 3000, (CLOSE, b"\x03\xe8"))
        held = len(session._queue)
        assert held <= 1024
        await idle()
        assert len(session._queue) == held
        assert not server.transport.reading
        for _ in range(3000):
            assert await session.receive() == {"type": "websocket.receive", "text": "x"}
            assert len(session._queue) <= 1024 + 2
        assert (await session.receive())["type"] == "websocket.disconnect"

    run(test())


def test_the_bytes_of_one_turn_are_those_of_all_connections() -> None:
    async def test() -> None:
        sessions = [await opened(300_000) for _ in range(5)]
        large = (BINARY, bytes(200_000))
        for session, _ in sessions[:4]:
            arrive(session, large)
        arrive(sessions[4][0], (TEXT, b"small"))
        assert [len(session._queue) for session, _ in sessions] == [1, 1, 0, 0, 1]
        assert [server.transport.reading for _, server in sessions] == [True, True, False, False, True]
        for session, _ in sessions[:4]:
            assert (await asyncio.wait_for(session.receive(), 30))["bytes"] == large[1]
        assert all(server.transport.reading for _, server in sessions)

    run(test())


def test_the_bytes_that_routes_have_taken_count_as_well() -> None:
    async def test() -> None:
        session, _ = await opened(10_000)
        turn_of(asyncio.get_running_loop()).spend(1 << 20)
        arrive(session, (TEXT, b"small"))
        arrive(session, (BINARY, bytes(FREE)))
        assert len(session._queue) == 1
        assert (await session.receive())["text"] == "small"
        assert (await asyncio.wait_for(session.receive(), 30))["bytes"] == bytes(FREE)

    run(test())


def test_what_came_before_the_close_is_received_before_the_disconnect() -> None:
    async def test() -> None:
        session, server = await opened()
        arrive(session, (TEXT, b"1"), (CLOSE, b"\x0f\xa1bye"))
        assert (await session.receive())["text"] == "1"
        for _ in range(2):
            assert await session.receive() == {"type": "websocket.disconnect", "code": 4001, "reason": "bye"}
        with pytest.raises(ClientGone):
            await session.send({"type": "websocket.send", "text": "late"})
        assert frames(server) == [(CLOSE, b"\x0f\xa1bye")]
        assert server.transport.closing

    run(test())


def test_a_client_that_broke_the_protocol_is_gone_for_the_app() -> None:
    """Not a mistake of the application's, which has never said close."""

    async def test() -> None:
        session, server = await opened()
        session.data_received(b"\x83\x80abcd")
        with pytest.raises(ClientGone):
            await session.send({"type": "websocket.send", "text": "late"})
        assert (await session.receive())["code"] == CloseCode.PROTOCOL_ERROR
        assert [opcode for opcode, _ in frames(server)] == [CLOSE]
        assert server.transport.eof

    run(test())


@pytest.mark.parametrize("answered", [True, False])
def test_sending_after_its_own_close_is_an_error_whatever_the_peer_does(answered: bool) -> None:
    async def test() -> None:
        session, _ = await opened()
        await session.send({"type": "websocket.close", "code": 4000})
        if answered:
            arrive(session, (CLOSE, b"\x0f\xa0"))
            session.connection_lost()
        for message in ({"type": "websocket.send", "text": "x"}, {"type": "websocket.close"}, {"type": "other"}):
            with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
                await session.send(message)

    run(test())


def test_a_close_code_that_may_not_be_sent_leaves_the_connection_as_it_was() -> None:
    async def test() -> None:
        session, server = await opened()
        with pytest.raises(ValueError, match="1006"):
            await session.send({"type": "websocket.close", "code": 1006})
        await session.send({"type": "websocket.send", "text": "still here"})
        assert frames(server) == [(TEXT, b"still here")]

    run(test())


def test_send_waits_for_room_and_is_woken_by_the_end() -> None:
    async def test() -> None:
        session, server = await opened()
        session.pause_writing()
        waiting = [asyncio.ensure_future(session.send({"type": "websocket.send", "text": "x"})) for _ in range(2)]
        await idle()
        assert frames(server) == []
        session.resume_writing()
        await asyncio.gather(*waiting)
        assert len(frames(server)) == 2
        session.pause_writing()
        late = asyncio.ensure_future(session.send({"type": "websocket.send", "text": "x"}))
        await idle()
        session.connection_lost()
        with pytest.raises(ClientGone):
            await late

    run(test())


def test_a_buffer_that_fills_after_the_end_keeps_nobody_waiting() -> None:
    async def test() -> None:
        session, _ = await opened()
        await session.send({"type": "websocket.close"})
        session.pause_writing()
        with pytest.raises(RuntimeError):
            await session.send({"type": "websocket.send", "text": "x"})

    run(test())


def test_a_loop_of_sends_gets_the_error_of_the_loss() -> None:
    async def test() -> None:
        session, server = await opened()
        server.transport.closing = True
        server.loop.call_soon(session.connection_lost)

        async def flood() -> None:
            for _ in range(1000):
                await session.send({"type": "websocket.send", "text": "x"})

        with pytest.raises(ClientGone):
            await flood()

    run(test())


def test_the_server_stops() -> None:
    async def test() -> None:
        session, server = await opened()
        session.shutdown()
        assert frames(server) == [(CLOSE, b"\x03\xf4")]
        assert server.transport.closing
        closing, other = await opened()
        await closing.send({"type": "websocket.close"})
        closing.shutdown()
        assert other.transport.closing
        early = FakeServer()
        AsgiWebSocket(cast(Any, early)).shutdown()
        assert early.answers[0][0] == 503

    run(test())
