"""One server with several workers, used from outside as a whole: by its broker's name, over HTTP, user by
user.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from odac import Publisher
from tests.integration.brokers.servers import Redis
from tests.integration.running import DEADLINE, Running

KEY = "a-key-of-some-length"

APP = """
import os
from odac import Odac
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def login(request):
    answer = JSONResponse({})
    app.auth.login(answer, {"id": request.query_params["user"]})
    return answer

async def logout(request):
    answer = JSONResponse({"pid": os.getpid()})
    app.auth.logout(answer)
    return answer

async def ask(request):
    server, user = app.route.ws_server, request.query_params.get("user")
    match request.path_params["what"]:
        case "count":
            found = await (server.count(request.query_params.get("room")) if user is None else server.user(user).count())
            return JSONResponse([*found, os.getpid()])
        case "send":
            server.user(user).send("for you")
        case "close":
            server.user(user).close(4001, "enough")
    return JSONResponse({"pid": os.getpid()})

app = Odac(http=Starlette(routes=[Route("/login", login), Route("/logout", logout), Route("/ask/{what}", ask)]))

@app.route.ws("/talk", token=False)
async def talk(odac):
    odac.ws.join("all")
    odac.ws.send([os.getpid(), await odac.auth.user()])
    async for data in odac.ws:
        odac.ws.to("all").send(data)
"""


class Site:
    """A running server, asked over HTTP; each request may be answered by another worker."""

    def __init__(self, running: Running) -> None:
        self.running = running

    async def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any, bytes]:
        """Status, headers and body of the answer."""

        def work() -> tuple[int, Any, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=DEADLINE)
            with contextlib.closing(connection):
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                with connection.getresponse() as answer:
                    return answer.status, answer.headers, answer.read()

        return await asyncio.to_thread(work)

    async def get(self, path: str, **headers: str) -> Any:
        return json.loads((await self.request("GET", path, **headers))[2])

    async def from_each(self, path: str, workers: int = 2) -> dict[int, Any]:
        """Ask until each worker has answered; the answers end with the worker's process id."""
        answers: dict[int, Any] = {}
        async with asyncio.timeout(DEADLINE):
            while len(answers) < workers:
                answer = await self.get(path)
                answers[answer[-1]] = answer[:-1]
        return answers

    async def login(self, user: str) -> str:
        """The cookie of a session."""
        _, headers, _ = await self.request("GET", f"/login?user={user}")
        return str(headers["set-cookie"]).partition(";")[0]

    async def publish(self, data: object) -> tuple[int, Any, bytes]:
        return await self.request("POST", "/odac/publish", {"room": "all", "data": data}, Authorization=f"Bearer {KEY}")


class Crowd:
    """Connections to a server, closed in the end."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._clients: list[ClientConnection] = []

    async def join(self, cookie: str = "") -> tuple[ClientConnection, int]:
        """A connection, and the process id of its worker."""
        client = await connect(
            f"ws://127.0.0.1:{self._site.running.port}/talk",
            additional_headers={"Cookie": cookie} if cookie else None,
            open_timeout=DEADLINE,
            close_timeout=DEADLINE,
        )
        self._clients.append(client)
        return client, json.loads(await client.recv())[0]

    async def on_each(self, cookie: str = "", workers: int = 2) -> dict[int, ClientConnection]:
        """One connection to each worker; those beyond it are closed."""
        found: dict[int, ClientConnection] = {}
        async with asyncio.timeout(DEADLINE):
            while len(found) < workers:
                client, pid = await self.join(cookie)
                if found.setdefault(pid, client) is not client:
                    await client.close()
        return found

    async def __aenter__(self) -> Crowd:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*(client.close() for client in self._clients))


async def hears(client: ClientConnection, wanted: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while await client.recv() != wanted:
            pass


async def closed_with(client: ClientConnection) -> int | None:
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                await client.recv()
    except ConnectionClosed:
        return client.close_code


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A broker's name that nobody else uses, in a temporary directory of this test's own."""
    with tempfile.TemporaryDirectory(prefix="o") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield f"local://test-{secrets.token_hex(4)}"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two workers that know each other."""
    with Running(tmp_path, APP, "--workers", "2") as running:
        site = Site(running)
        asyncio.run(site.from_each("/ask/count"))
        yield site
        assert running.stop() == 0
        assert "Traceback" not in running.text


# From other terminals


def test_a_server_is_reached_by_its_brokers_name(tmp_path: Path, name: str) -> None:
    async def scene(first: Site, second: Site) -> None:
        async with Crowd(first) as crowd, Crowd(second) as others:
            clients = [*(await crowd.on_each()).values(), (await others.join())[0]]
            await asyncio.to_thread(Publisher(name).to_room, "all", "from Python")
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "odac", "publish", name, "all", '"from a terminal"'), cwd="/"
            )
            assert await command.wait() == 0
            await clients[-1].send('"from another server"')
            for wanted in ("from Python", "from a terminal", "from another server"):
                for client in clients:
                    await hears(client, wanted)

    with (
        Running(tmp_path, APP, "--workers", "2", "--broker", name) as first,
        Running(tmp_path, "", environment={"ODAC_BROKER": name}) as second,
    ):
        assert f"broker         {name}" in first.text
        assert f"broker         {name}" in second.text
        asyncio.run(scene(Site(first), Site(second)))
        assert first.stop() == 0
        # What the first one ran goes on in the second.
        second.line("is back after")
        Publisher(name).to_room("all", "still there")
        assert second.stop() == 0


def test_a_name_in_the_app_itself(tmp_path: Path, name: str) -> None:
    async def scene(site: Site) -> None:
        async with Crowd(site) as crowd:
            clients = await crowd.on_each()
            await asyncio.to_thread(Publisher(name).to_room, "all", "hello")
            for client in clients.values():
                await hears(client, "hello")

    source = APP.replace("Odac(http", f"Odac(broker={name!r}, http")
    with Running(tmp_path, source, "--workers", "2") as running:
        asyncio.run(scene(Site(running)))
        assert running.stop() == 0


def test_publishing_over_http_fails_without_the_broker(tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    environment = {"ODAC_BROKER": redis.url, "ODAC_PUBLISH_KEY": KEY}

    async def scene(site: Site) -> None:
        async with Crowd(site) as crowd:
            client, _ = await crowd.join()
            assert (await site.publish("here"))[0] == 202
            await hears(client, "here")
            await asyncio.to_thread(redis.stop)
            await asyncio.to_thread(site.running.line, "local delivery goes on")
            status, headers, said = await site.publish("lost")
            assert (status, headers["Retry-After"]) == (503, "1")
            assert b"The broker is away" in said
            await asyncio.to_thread(redis.start)
            await asyncio.to_thread(site.running.line, "is back after")
            assert (await site.publish("here again"))[0] == 202
            # Who is told to try again reaches nobody twice.
            assert await client.recv() == "here again"

    redis.start()
    try:
        with Running(tmp_path, APP, environment=environment) as running:
            asyncio.run(scene(Site(running)))
            assert running.stop() == 0
    finally:
        redis.stop()


# All workers together


def test_logging_out_closes_the_sessions_connections_on_all_workers(site: Site) -> None:
    async def scene() -> None:
        async with Crowd(site) as crowd:
            ada, bob = await site.login("ada"), await site.login("bob")
            hers, his = await crowd.on_each(ada), await crowd.on_each(bob)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            await site.get("/logout", Cookie=ada)
            assert [await closed_with(client) for client in hers.values()] == [4001, 4001]
            assert loop.time() - begun < 2
            for client in his.values():
                await client.send('"still here"')
                await hears(client, "still here")
            # Wherever it is shown, the cookie is good no longer.
            for client in (await crowd.on_each(ada)).values():
                assert client.close_code is None
            assert [answer[0] for answer in (await site.from_each("/ask/count?user=ada")).values()] == [0, 0]

    asyncio.run(scene())


def test_a_user_is_reached_on_all_workers(site: Site) -> None:
    async def scene() -> None:
        async with Crowd(site) as crowd:
            hers, his = await crowd.on_each(await site.login("ada")), await crowd.on_each(await site.login("bob"))
            assert list((await site.from_each("/ask/count?user=ada")).values()) == [[2, 2, 2], [2, 2, 2]]
            await site.get("/ask/send?user=ada")
            for client in hers.values():
                await hears(client, "for you")
            await site.get("/ask/close?user=ada")
            assert [await closed_with(client) for client in hers.values()] == [4001, 4001]
            for client in his.values():
                await client.send('"next"')
                # What is not his has not come in between.
                while (said := await client.recv()) != "next":
                    assert said != "for you"
            assert [answer[0] for answer in (await site.from_each("/ask/count?user=ada")).values()] == [0, 0]

    asyncio.run(scene())


def test_counting_returns_how_many_workers_answered(site: Site) -> None:
    async def scene() -> None:
        async with Crowd(site) as crowd:
            await crowd.on_each()
            await crowd.join()
            both = await site.from_each("/ask/count")
            assert list(both.values()) == [[3, 2, 2], [3, 2, 2]]
            assert list((await site.from_each("/ask/count?room=all")).values()) == [[3, 2, 2], [3, 2, 2]]
            assert list((await site.from_each("/ask/count?room=empty")).values()) == [[0, 2, 2], [0, 2, 2]]
            frozen = next(iter(both))
            connection = await keep(site, lambda pid: pid != frozen)
            os.kill(frozen, signal.SIGSTOP)
            try:
                loop = asyncio.get_running_loop()
                begun = loop.time()
                total, answered, expected, _ = await ask(connection, "/ask/count")
                assert 1 <= loop.time() - begun < 3
                assert (answered, expected) == (1, 2)
                assert total in (1, 2)
            finally:
                os.kill(frozen, signal.SIGCONT)
                connection.close()
            async with asyncio.timeout(DEADLINE):
                while set(map(tuple, (await site.from_each("/ask/count")).values())) != {(3, 2, 2)}:
                    pass

    asyncio.run(scene())


async def keep(site: Site, wanted: Any) -> http.client.HTTPConnection:
    """A connection that stays, to a worker that is wanted."""
    async with asyncio.timeout(DEADLINE):
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", site.running.port, timeout=DEADLINE)
            if wanted((await ask(connection, "/ask/count"))[-1]):
                return connection
            connection.close()


async def ask(connection: http.client.HTTPConnection, path: str) -> Any:
    def work() -> Any:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    return await asyncio.to_thread(work)
