"""The chat with load on request: many messages at once, and people who only stay in a room.

``POST /test/say?room=…&count=…`` sends so many messages to a room. ``Crowd`` adds people.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from typing import Self

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import odac
from examples.chat.app import app
from examples.chat.core import state, web
from examples.chat.messages import said
from examples.chat.people import Paces, Person

__all__ = ["Crowd", "app", "fill"]

SPEAKERS = [Person(f"speaker-{number}", f"Speaker {number}") for number in range(4)]


state.sign_ins = Paces(burst=1_000, seconds=0.01)  # all of them come from one address


async def say(request: Request) -> JSONResponse:
    """Send many messages to a room."""
    room, first, count = (request.query_params[name] for name in ("room", "first", "count"))
    for number in range(int(first), int(first) + int(count)):
        message = said(SPEAKERS[number // 3 % 4], f"n{number}", f"line {number} of many")
        app.route.ws_server.to_room(room, message)
        if number % 100 == 0:
            await asyncio.sleep(0)  # the event loop handles the pages' connections
    return JSONResponse({"said": int(count)})


web.router.routes.insert(0, Route("/test/say", say, methods=["POST"]))


def fill(url: str, room: str, count: int, first: int = 0) -> None:
    """Send ``count`` messages to a room."""
    query: dict[str, str | int] = {"room": room, "first": first, "count": count}
    httpx.post(f"{url}/test/say", params=query, timeout=60).raise_for_status()


class Crowd:
    """People in rooms, each with their own connection, from a separate thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._connections = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(self._connections.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def come(self, names: Sequence[str], rooms: Sequence[str]) -> None:
        """Each of these people signs in and enters the room at the same place of the list."""
        self._run(self._all(names, rooms))

    def _run(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _all(self, names: Sequence[str], rooms: Sequence[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for name, room in zip(names, rooms, strict=True):
                group.create_task(self._enter(name, room))

    async def _enter(self, name: str, room: str) -> None:
        async with httpx.AsyncClient(timeout=60) as http:
            await http.post(f"{self._url}/sign-in", data={"name": name, "room": room})
            cookies = dict(http.cookies)
        address = self._url.replace("http", "ws", 1)
        connection = odac.connect(f"{address}/ws/room/{room}", cookies=cookies)
        connection.on("message", lambda _: None)
        await self._connections.enter_async_context(connection)
