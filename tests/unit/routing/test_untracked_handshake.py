"""What a handler keeps of its handshake is left out of garbage collections until the connection's end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from weakref import ref

import pytest

from odac import Context
from odac.lanes.collector import collector
from odac.realtime.connection import Connection
from odac.request import parsed_parts, scope_of
from odac.routing import untracked_handshake
from odac.speedups import COMPILED
from odac.wire.frames import TEXT, encode_masked_frame
from tests.unit.lanes.test_collector import Door, Thing, on_uvloop
from tests.unit.lanes.test_collector import spares as spares

compiled_only = pytest.mark.skipif(not COMPILED, reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
KINDS = ["sync", "async", "async, after waiting", "after a gate that waits", "under another app"]


async def waits(odac: Context) -> bool:
    await asyncio.sleep(0)
    return True


def door_of(kind: str, handle: Callable[[Context], None]) -> Door:
    """A door whose handler does this, in one of the ways in which a handler is called."""

    async def handle_later(odac: Context) -> None:
        if kind == "async, after waiting":
            await asyncio.sleep(0)
        handle(odac)

    handler: Callable[[Context], object] = handle_later if kind.startswith("async") else handle
    return Door(handler, waits if kind == "after a gate that waits" else None, kind == "under another app")


def parts_of(odac: Context) -> list[object]:
    request: Any = odac.request
    scope = scope_of(request)
    parts = [odac, request, odac.auth, odac.auth._listener, scope, scope["headers"], scope["extensions"]]
    parsed = parsed_parts(request)
    return [*parts, *parsed, *(each for each in gc.get_referents(*parsed) if type(each) is list)]


def connection_of(door: Door) -> Connection:
    lane: Any = next(iter(door.state.connections))
    connection: Connection = lane._connection
    return connection


@asynccontextmanager
async def connected(door: Door) -> AsyncIterator[Door]:
    """The server of a door, with one client, which closes the connection when the test is done with it."""
    async with door:
        _, writer = await door.connect()
        yield door
        writer.close()
        await door.ended()


async def returned(connection: Connection) -> None:
    """Wait until the handler has returned, and what called it."""
    while connection.handler is not None:
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_listener_keeps_is_left_out_until_the_end(kind: str, reads: bool) -> None:
    async def main() -> None:
        contexts: list[Context] = []

        def handle(odac: Context) -> None:
            contexts.append(odac)
            if reads:
                request = odac.request
                assert (request.data.url, request.header("host"), request.query.get("a")) == ({}, "example.com", None)
                assert (request.headers["host"], request.cookie("a")) == ("example.com", None)
            odac.ws.on("message", lambda data: odac.ws.send(data))

        async with door_of(kind, handle) as door:
            reader, writer = await door.connect()
            await returned(contexts[0].ws)
            parts = parts_of(contexts[0])
            assert (len(parts) >= 12) == reads
            contexts.clear()
            gc.collect()
            assert [type(each) for each in parts if gc.is_tracked(each)] == []
            writer.write(encode_masked_frame(TEXT, b"1", b"abcd"))
            assert await reader.readexactly(3) == b"\x81\x011"
            writer.close()
            await door.ended()
            assert [type(each) for each in parts if not gc.is_tracked(each)] == []

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cycle", ["none", "listener", "data", "scope", "headers"])
def test_an_ended_connection_and_what_its_listener_kept_are_freed(kind: str, cycle: str) -> None:
    async def main() -> None:
        things: list[ref[Thing]] = []

        def handle(odac: Context) -> None:
            thing: Any = Thing()
            things.append(ref(thing))

            def listener(data: object) -> None:
                odac.ws.send(str(thing))

            odac.ws.on("message", listener)
            if cycle != "none":
                thing.odac = odac
            if cycle == "listener":
                thing.listener = listener
            elif cycle == "data":
                odac.ws.data.listener = listener
            elif cycle == "scope":
                odac.request.scope["listener"] = listener  # type: ignore[index]
            elif cycle == "headers":
                odac.request.scope["headers"].append((b"x-listener", listener))

        async with door_of(kind, handle) as door:
            _, writer = await door.connect()
            await returned(connection_of(door))
            gc.collect()
            assert things[0]() is not None
            writer.close()
            await door.ended()
            assert (things[0]() is None) == (cycle == "none")
            gc.collect()
            assert things[0]() is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["scope", "state", "path_params", "extensions"])
def test_a_copy_that_a_listener_makes_of_a_dict_is_collected(kind: str, place: str) -> None:
    async def main() -> None:
        things: list[ref[Thing]] = []

        def handle(odac: Context) -> None:
            thing: Any = Thing()
            things.append(ref(thing))
            if place == "path_params":
                odac.request.scope[place]["thing"] = thing

            def listener(data: object) -> None:
                scope: Any = odac.request.scope
                thing.copies = {**scope}, dict(scope[place] if place != "scope" else scope)
                scope["state"]["thing"] = thing
                scope["extensions"]["websocket.http.response"]["thing"] = thing
                odac.ws.send(data)

            odac.ws.on("message", listener)

        async with door_of(kind, handle) as door:
            reader, writer = await door.connect()
            await returned(connection_of(door))
            writer.write(encode_masked_frame(TEXT, b"1", b"abcd"))
            assert await reader.readexactly(3) == b"\x81\x011"
            assert things[0]() is not None
            writer.close()
            await door.ended()
            gc.collect()
            assert things[0]() is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_copies_that_an_app_around_this_one_makes_of_its_dicts_are_tracked() -> None:
    scopes: list[dict[str, Any]] = []

    class Wrapped(Door):
        async def _wrapping(self, scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await super()._wrapping(scope, receive, send)

    async def main() -> None:
        contexts: list[Context] = []
        async with connected(Wrapped(contexts.append, is_wrapped=True)):
            await returned(contexts[0].ws)
            assert not gc.is_tracked(contexts[0])
            (scope,) = scopes
            assert gc.is_tracked(scope.copy())
            assert gc.is_tracked(scope["extensions"].copy())

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("sets", [False, True])
def test_a_scope_that_the_handler_has_read_or_set_stays_tracked(sets: bool) -> None:
    async def main() -> None:
        contexts: list[Context] = []
        scopes: list[object] = []

        def handler(odac: Context) -> None:
            contexts.append(odac)
            scopes.append(odac.request.scope)
            if sets:
                scopes[0] = odac.request.scope = {**odac.request.scope}

        async with connected(Door(handler)):
            assert scope_of(contexts[0].request) is scopes[0]
            assert gc.is_tracked(scopes[0])
            assert not gc.is_tracked(contexts[0].request)

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("kind", ["sync", "under another app"])
def test_what_an_application_changes_in_a_scope_is_in_no_other_scope(kind: str) -> None:
    async def main() -> None:
        contexts: list[Context] = []
        async with door_of(kind, contexts.append) as door:
            writers = [(await door.connect())[1] for _ in range(2)]
            while len(contexts) < 2:
                await asyncio.sleep(0)
            for odac in contexts:
                await returned(odac.ws)
            scope: Any = contexts[0].request.scope
            scope["asgi"]["user"] = scope["state"]["user"] = scope["extensions"]["user"] = "ada"
            assert "ada" not in repr(contexts[1].request.scope)
            assert contexts[0].request.scope is scope
            for writer in writers:
                writer.close()
            await door.ended()

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_handler_that_keeps_nothing_nothing_is_kept(kind: str) -> None:
    async def main() -> None:
        def handle(odac: Context) -> None:
            odac.ws.on("message", odac.ws.send)

        async with connected(door_of(kind, handle)) as door:
            connection = connection_of(door)
            await returned(connection)
            assert connection.untracked is None
            assert connection._extras is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_gate_keeps_of_a_refused_connection_stays_tracked(is_async: bool) -> None:
    async def main() -> None:
        contexts: list[Context] = []

        def refuses(odac: Context) -> bool:
            contexts.append(odac)
            odac.ws.data.thing = thing = Thing()
            thing.odac = odac  # type: ignore[attr-defined]
            return False

        async def refuses_later(odac: Context) -> bool:
            await asyncio.sleep(0)
            return refuses(odac)

        async with Door(lambda odac: None, refuses_later if is_async else refuses) as door:
            _, writer = await door.connect()
            while not contexts:
                await asyncio.sleep(0)
            await returned(contexts[0].ws)
            assert all(gc.is_tracked(each) for each in parts_of(contexts[0]))
            found = ref(contexts[0].ws.data.thing)
            contexts.clear()
            writer.close()
            await door.ended()
            gc.collect()
            assert found() is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_a_connection_that_is_cut_while_its_handler_runs_is_freed() -> None:
    async def main() -> None:
        contexts: list[Context] = []
        cut = asyncio.Event()
        tracked: list[bool] = []

        async def handler(odac: Context) -> None:
            thing: Any = Thing()
            things.append(ref(thing))
            contexts.append(odac)
            odac.ws.data.thing = thing
            thing.odac = odac
            try:
                await cut.wait()
            finally:
                tracked.extend(gc.is_tracked(each) for each in parts_of(odac))

        things: list[ref[Thing]] = []
        async with Door(handler) as door:
            _, writer = await door.connect()
            while not contexts:
                await asyncio.sleep(0)
            connection = contexts[0].ws
            writer.transport.abort()
            await door.ended()
            assert not tracked, "the handler has ended, so this test shows nothing"
            cut.set()
            await returned(connection)
            assert tracked == [True] * 7
            assert all(gc.is_tracked(each) for each in [connection, *parts_of(contexts[0])])
            contexts.clear()
            del connection
            gc.collect()
            assert things[0]() is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_objects_that_the_application_replaced_meanwhile_are_tracked_at_the_end() -> None:
    async def main() -> None:
        contexts: list[Context] = []

        def handler(odac: Context) -> None:
            contexts.append(odac)

        async with Door(handler) as door:
            _, writer = await door.connect()
            odac = contexts[0]
            request, headers = odac.request, odac.request.scope["headers"]
            odac.request.scope["headers"] = []  # type: ignore[index]
            odac.request = None  # type: ignore[assignment]
            assert not gc.is_tracked(headers)
            writer.close()
            await door.ended()
            assert gc.is_tracked(headers)
            assert gc.is_tracked(request)

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize("name", ["request", "auth"])
def test_objects_that_the_application_has_put_in_their_place_stay_tracked(name: str) -> None:
    async def main() -> None:
        contexts: list[Context] = []

        def handler(odac: Context) -> None:
            setattr(odac, name, Thing())
            contexts.append(odac)

        async with connected(Door(handler)):
            assert gc.is_tracked(contexts[0])
            assert gc.is_tracked(getattr(contexts[0], name))

    on_uvloop(main)


@compiled_only
def test_a_stopped_server_leaves_nothing_of_a_handshake_out() -> None:
    async def main() -> None:
        contexts: list[Context] = []
        collector.spare_live()
        async with connected(Door(contexts.append)) as door:
            assert not gc.is_tracked(contexts[0])
            collector.stop(list(door.state.connections))
            assert all(gc.is_tracked(each) for each in parts_of(contexts[0]))

    on_uvloop(main)


def test_nothing_is_left_out_of_a_connection_that_is_not() -> None:
    async def main() -> None:
        contexts: list[Context] = []
        async with connected(Door(contexts.append)):
            gc.collect()
            assert all(gc.is_tracked(each) for each in parts_of(contexts[0]))
            admission: Any = contexts[0].auth._listener
            untracked_handshake.untrack_handshake(contexts[0], admission)
            assert contexts[0].ws.untracked is None

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_connections_share_equal_headers_and_no_secrets() -> None:
    async def main() -> None:
        contexts: list[Context] = []
        async with Door(contexts.append) as door:
            lines = b"User-Agent: a\r\nuser-agent: %b\r\nCookie: a=b\r\nAuthorization: Bearer a\r\n" % (b"x" * 257)
            writers = [(await door.connect(lines))[1] for _ in range(2)]
            first, second = (each.request for each in contexts)
            assert first.scope["headers"] == second.scope["headers"]
            shared = [
                one[0]
                for one, other in zip(first.scope["headers"], second.scope["headers"], strict=True)
                if one is other
            ]
            assert shared == [b"host", b"upgrade", b"connection", b"sec-websocket-version", b"user-agent"]
            assert first.scope["server"] is second.scope["server"]
            assert first.scope["client"] is not second.scope["client"]
            assert first.scope["asgi"] is not second.scope["asgi"]
            assert first.scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
            assert first.header("User-Agent") == "a"
            assert first.headers.getlist("user-agent") == ["a", "x" * 257]
            assert first.cookie("a") == "b"
            assert first.bearer == "a"
            assert not any(name in (b"cookie", b"authorization") for name, _ in untracked_handshake._pairs)
            for writer in writers:
                writer.close()
            await door.ended()

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
def test_the_headers_that_are_shared_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(untracked_handshake, "_MOST", 8)
        contexts: list[Context] = []
        async with Door(contexts.append) as door:
            for number in range(20):
                _, writer = await door.connect(b"User-Agent: %d\r\n" % number)
                assert contexts[number].request.header("user-agent") == str(number)
                assert len(untracked_handshake._pairs) <= 8
                writer.close()
            await door.ended()

    on_uvloop(main)


@compiled_only
@pytest.mark.usefixtures("spares")
@pytest.mark.parametrize(
    "header",
    [[b"origin", b"a"], (b"origin", [1]), (b"origin", 7), ([], b"a"), (b"origin",), (), (b"origin", b"a", b"b")],
)
def test_headers_of_another_kind_are_left_as_they_are(header: object) -> None:
    async def main() -> None:
        contexts: list[Context] = []

        def middleware(odac: Context) -> bool:
            scope: Any = odac.request.scope
            scope["headers"] = [*scope["headers"], header]
            scope["server"] = None
            return True

        async with connected(Door(contexts.append, middleware)):
            assert header not in untracked_handshake._pairs.values()
            assert contexts[0].request.scope["headers"][-1] is header
            assert contexts[0].request.scope["server"] is None
            assert contexts[0].ws.is_open
            assert not gc.is_tracked(contexts[0])

    on_uvloop(main)
