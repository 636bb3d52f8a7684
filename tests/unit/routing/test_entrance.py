"""The gates behind the upgrade, in plain calls and as a coroutine: what is called, in which order, and what is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from odac import History, Limits, Odac
from odac.routing import bearers
from tests.unit.serving.protocols.fake_server import FakeServer, turns

HEAD = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

Gate = Callable[[Any], Any]


def app_of(gates: list[str], called: list[str], handler: str = "sync", limits: Limits | None = None) -> Odac:
    app = Odac(secret="0123456789abcdef0123456789abcdef", takeover=False, limits=limits or Limits())

    def sync(odac: Any) -> bool:
        called.append("sync")
        return True

    def nothing(odac: Any) -> None:
        called.append("nothing")

    async def awaits(odac: Any) -> bool:
        await asyncio.sleep(0)
        called.append("awaits")
        return True

    def gives(odac: Any) -> Any:
        return awaits(odac)

    def refuses(odac: Any) -> bool:
        called.append("refuses")
        return False

    async def refuses_later(odac: Any) -> str:
        await asyncio.sleep(0)
        called.append("refuses later")
        return "no"

    def fails(odac: Any) -> None:
        called.append("fails")
        raise ValueError("of the application")

    async def fails_later(odac: Any) -> None:
        await asyncio.sleep(0)
        called.append("fails later")
        raise ValueError("of the application")

    def closes(odac: Any) -> None:
        called.append("closes")
        odac.ws.close(4100, "by itself")

    async def takes_long(odac: Any) -> None:
        await asyncio.Event().wait()

    async def is_cancelled(odac: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    gate_functions: tuple[Gate, ...] = (
        *(sync, nothing, awaits, gives, refuses, refuses_later),
        *(fails, fails_later, closes, takes_long, is_cancelled),
    )
    named = {each.__name__: each for each in gate_functions}

    def handle(odac: Any) -> None:
        called.append("handler")
        odac.ws.send("here")

    async def handle_later(odac: Any) -> None:
        await asyncio.sleep(0)
        handle(odac)

    def handle_and_fail(odac: Any) -> None:
        handle(odac)
        raise ValueError("of the application")

    async def handle_and_fail_later(odac: Any) -> None:
        await handle_later(odac)
        raise ValueError("of the application")

    handlers = {
        "sync": handle,
        "later": handle_later,
        "fails": handle_and_fail,
        "fails later": handle_and_fail_later,
    }
    app.route.use(*(named[each] for each in gates)).ws("/", handlers[handler], token=False)
    return app


async def outcome(gates: list[str], handler: str, *, at_once: bool) -> tuple[list[str], bytes, int]:
    called: list[str] = []
    app = app_of(gates, called, handler)
    await app.startup()

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    server = FakeServer(app if at_once else wrapped, proxy_headers=False, interface="asgi3")
    server.config.loaded_app = app if at_once else wrapped  # as under odac run
    transport = server()
    transport.receive(HEAD)
    await turns(30)
    written, population = transport.written, app._hub.population
    transport.lose()
    await turns()
    await app.shutdown()
    return called, written, population


@pytest.mark.parametrize(
    ("gates", "called", "closed"),
    [
        ([], ["handler"], b""),
        (["sync"], ["sync", "handler"], b""),
        (["nothing", "sync"], ["nothing", "sync", "handler"], b""),
        (["awaits"], ["awaits", "handler"], b""),
        (["gives"], ["awaits", "handler"], b""),
        (["sync", "sync", "awaits", "sync", "awaits"], ["sync", "sync", "awaits", "sync", "awaits", "handler"], b""),
        (["awaits", "awaits", "nothing"], ["awaits", "awaits", "nothing", "handler"], b""),
        (["sync", "refuses", "sync"], ["sync", "refuses"], b"\x88\x0b\x0f\xa3Forbidden"),
        (["sync", "awaits", "refuses", "sync"], ["sync", "awaits", "refuses"], b"\x88\x0b\x0f\xa3Forbidden"),
        (["refuses_later", "sync"], ["refuses later"], b"\x88\x04\x0f\xa0no"),
        (["sync", "fails", "sync"], ["sync", "fails"], b"\x88\x10\x03\xf3internal error"),
        (["sync", "fails_later", "sync"], ["sync", "fails later"], b"\x88\x10\x03\xf3internal error"),
        (["closes", "sync"], ["closes"], b"\x88\x0b\x10\x04by itself"),
        (["awaits", "closes", "sync"], ["awaits", "closes"], b"\x88\x0b\x10\x04by itself"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "as a coroutine"])
def test_gates(gates: list[str], called: list[str], closed: bytes, at_once: bool) -> None:
    found, written, population = asyncio.run(outcome(gates, "sync", at_once=at_once))
    assert found == called
    assert written.startswith(b"HTTP/1.1 101 ")
    assert written.endswith(closed or b"\x81\x04here")
    assert population == 1


@pytest.mark.parametrize("gates", [[], ["sync"], ["awaits"]], ids=["no gate", "a gate", "one that waits"])
@pytest.mark.parametrize("handler", ["sync", "later", "fails", "fails later"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "as a coroutine"])
def test_handlers(gates: list[str], handler: str, at_once: bool) -> None:
    found, written, population = asyncio.run(outcome(gates, handler, at_once=at_once))
    assert found == [*gates, "handler"]
    end = b"\x81\x04here" + (b"\x88\x10\x03\xf3internal error" if "fails" in handler else b"")
    assert written.endswith(end)
    assert population == 1


RESUMING = HEAD[:-2] + b"Sec-WebSocket-Protocol: odac.v1, odac.resume\r\n\r\n"


@pytest.mark.parametrize(
    ("gates", "end"),
    [
        (["refuses"], b"Forbidden"),
        (["awaits", "refuses"], b"Forbidden"),
        (["refuses_later"], b"no"),
        (["fails"], b"internal error"),
        (["fails_later"], b"internal error"),
        (["closes"], b"by itself"),
        (["takes_long"], b"the server took too long to decide"),
        (["is_cancelled"], b"internal error"),
    ],
    ids=str,
)
def test_the_positions_of_a_client_that_a_gate_refuses_are_awaited_no_more(gates: list[str], end: bytes) -> None:
    """What awaits them refers to the connection, which would stay for as long as the process runs."""

    async def main() -> None:
        app = app_of(gates, [], limits=Limits(handshake_timeout=0.01))
        app.rooms("*", history=History())
        await app.startup()
        server = FakeServer(app, proxy_headers=False, interface="asgi3")
        transport = server()
        asyncio.get_running_loop().call_soon(transport.receive, RESUMING)  # outside of this task
        async with asyncio.timeout(30):
            while not transport.written.endswith(end):
                await asyncio.sleep(0.001)
        await turns()
        transport.lose()
        await turns()
        assert app._rules.history is not None
        visits = app._rules.history._returning.visits
        assert (len(app._hub.offered), len(visits)) == (0, 0)
        await app.shutdown()

    asyncio.run(main())


@pytest.mark.parametrize("offer", ["odac.auth", "odac.resume", "odac.auth, odac.resume"])
@pytest.mark.parametrize("end", ["lost", "stops"])
def test_a_client_whose_message_is_awaited_holds_up_neither_its_end_nor_a_stop(
    offer: str, end: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bearers, "BEARER_TIMEOUT", 3600)
    called: list[str] = []

    async def main() -> None:
        app = app_of(["sync"], called, limits=Limits(resume_timeout=3600))
        app.rooms("*", history=History())
        await app.startup()
        server = FakeServer(app, proxy_headers=False, interface="asgi3")
        transport = server()
        head = RESUMING.replace(b"odac.resume", offer.encode())
        asyncio.get_running_loop().call_soon(transport.receive, head)
        await turns(30)
        assert len(app._hub.offered) == 1
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if end == "lost":
            transport.lose()
        else:
            (connection,) = app._hub.offered._expected
            connection.begin_close(1012, "the server is stopping")
        async with asyncio.timeout(30):
            await asyncio.gather(*(task for task in others if not task.done() and "handle" in repr(task)))
        assert len(app._hub.offered) == 0
        transport.lose()
        await turns()
        await app.shutdown()

    asyncio.run(main())
    assert called == (["sync"] if offer == "odac.resume" else []), "the gates before the wait alone"
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
