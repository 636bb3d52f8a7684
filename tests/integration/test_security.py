"""Origins, tokens, sessions and addresses over real sockets: what is refused, and that no secret is logged."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from websockets.asyncio.client import connect

from odac import Context, Odac
from odac.security.secret import Secrets
from odac.security.session import Session, Sessions
from odac.security.token import Tokens
from odac.server import WebSocketProtocol
from tests.ids import stable

SECRET = "a secret of the tests, long enough to be one"
SESSIONS = Sessions(Secrets(SECRET))
TOKENS = Tokens(Secrets(SECRET))
DEADLINE = 30.0

LANES: dict[str, Any] = {"direct": WebSocketProtocol, "asgi": "websockets-sansio"}
"""uvicorn's own class answers a handshake with a header line over 8 KiB not at all; ours does."""


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> Any:
    """The class in uvicorn's ws= option."""
    return LANES[request.param]


class Answer(NamedTuple):
    """What a handshake came to."""

    status: int
    headers: dict[str, str]
    texts: list[str]
    """The text messages before the connection was closed, or before the first ``done``."""
    code: int | None
    """The close code, if the server closed it."""


class Site:
    """A served app that counts the handlers that ran, and a client that can say anything."""

    def __init__(self, **options: Any) -> None:
        self.ran: list[str] = []
        self.port = 0

        async def login(request: HttpRequest) -> PlainTextResponse:
            response = PlainTextResponse("in")
            self.app.auth.login(response, {"id": 7})
            return response

        async def logout(request: HttpRequest) -> PlainTextResponse:
            response = PlainTextResponse("out")
            self.app.auth.logout(response)
            return response

        views = Starlette(routes=[Route("/login", login), Route("/logout", logout)])
        self.app = Odac(secret=SECRET, http=views, **options)

        async def handler(odac: Context) -> None:
            self.ran.append(odac.request.path)
            odac.ws.send({"ip": odac.request.ip, "user": await odac.auth.user()})
            odac.ws.send("done")

        self.app.route.ws("/open", handler, token=False)
        self.app.route.ws("/token", handler)
        self.app.route.auth.ws("/secure", handler, token=False)

    @asynccontextmanager
    async def served(self, lane: Any, **options: Any) -> AsyncIterator[None]:
        own = {"port": 0, "ws": lane, "log_config": None, "lifespan": "on", "proxy_headers": False}
        config = uvicorn.Config(self.app, **own | options)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve())
        try:
            async with asyncio.timeout(DEADLINE):
                while not server.started:
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.005)
            self.port = server.servers[0].sockets[0].getsockname()[1]
            yield
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, DEADLINE)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def send(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def get(self, path: str, **headers: str) -> tuple[dict[str, str], bytes]:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        reader, writer = await self.send("\r\n".join([*lines, "", ""]).encode())
        try:
            head, _, body = (await asyncio.wait_for(reader.read(), DEADLINE)).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return parsed(head)[1], body

    async def connect(self, path: str, headers: list[tuple[bytes, bytes]] | None = None, host: bytes = b"") -> Answer:
        """Shake hands with exactly these headers beside the necessary ones, and read until something is decided."""
        lines = [
            f"GET {path} HTTP/1.1".encode(),
            b"Host: " + (host or self.host.encode()),
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)),
            b"Sec-WebSocket-Version: 13",
            *(name + b": " + value for name, value in headers or []),
        ]
        reader, writer = await self.send(b"\r\n".join([*lines, b"", b""]))
        try:
            async with asyncio.timeout(DEADLINE):
                return await read_answer(reader)
        finally:
            writer.close()


def parsed(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    try:
        status, headers = parsed((await reader.readuntil(b"\r\n\r\n"))[:-4])
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer(0, {}, [], None)
    texts: list[str] = []
    if status != 101:
        return Answer(status, headers, texts, None)
    while True:
        opcode, length = await reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
        payload = await reader.readexactly(length)
        if opcode == 0x88:
            return Answer(status, headers, texts, struct.unpack("!H", payload[:2])[0])
        if opcode == 0x81:
            texts.append(payload.decode())
            if texts[-1] == "done":
                return Answer(status, headers, texts, None)


def run(site: Site, lane: Any, visit: Callable[[], Awaitable[None]], **options: Any) -> None:
    async def go() -> None:
        async with site.served(lane, **options):
            await visit()

    asyncio.run(go())


def cookie(session: Session) -> tuple[bytes, bytes]:
    return b"Cookie", b"odac=" + SESSIONS.encode(session).encode()


def offer(token: str) -> tuple[bytes, bytes]:
    return b"Sec-WebSocket-Protocol", f"odac.v1, odac-token-{token}".encode()


REFUSED_ORIGINS = [
    b"null",
    b"http://evil.example",
    b"http://{host}.evil.example",
    b"http://evil{host}",
    b"http://127.0.0.1",
    b"http://127.0.0.1:1",
    b"https://{host}",
    b"http://{host}/",
    b"http://user@{host}",
    b"http://{host}@evil.example",
    b"http://{host}, http://{host}",
    b"{host}",
    b"http://\x80\xff",
    b"http://" + b"," * 8_000,
    b" " * 8_000 + b"x",
    b"http://a\x0bb",
]


@pytest.mark.parametrize("path", ["/open", "/token"])
def test_a_refused_origin_gets_403_and_its_handler_never_runs(lane: Any, path: str) -> None:
    site = Site()

    async def visit() -> None:
        session = SESSIONS.create()
        allowed = [cookie(session), offer(TOKENS.issue(session.id))]
        own = f"http://{site.host}".encode()
        for each in REFUSED_ORIGINS:
            answer = await site.connect(path, [*allowed, (b"Origin", each.replace(b"{host}", site.host.encode()))])
            assert answer.status in (400, 403), each  # 400: some servers do not even pass such bytes on
        assert (await site.connect(path, [*allowed, (b"Origin", own), (b"Origin", own)])).status in (400, 403)
        assert (await site.connect(path, [*allowed, (b"Origin", own)], host=b"evil.example")).status == 403
        assert (await site.connect(path, [*allowed, (b"Origin", own)], host=own[7:] + b"@evil.example")).status in (
            400,
            403,
        )
        assert site.ran == []
        for headers in ([(b"Origin", own)], []):
            answer = await site.connect(path, [*allowed, *headers])
            assert (answer.status, answer.texts[-1]) == (101, "done")
        assert site.ran == [path, path]

    run(site, lane, visit)


def test_an_allowed_origin_is_accepted_and_its_sibling_is_not(lane: Any) -> None:
    site = Site(origins=["https://app.example"])

    async def visit() -> None:
        assert (await site.connect("/open", [(b"Origin", b"https://app.example")])).status == 101
        assert (await site.connect("/open", [(b"Origin", b"https://www.app.example")])).status == 403

    run(site, lane, visit)


def test_only_this_sessions_token_opens_a_route_that_wants_one(lane: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    secret: set[str] = set()

    async def visit() -> None:
        session, other = SESSIONS.create(), SESSIONS.create()
        token = TOKENS.issue(session.id)
        past = Tokens(Secrets(SECRET), clock=lambda: time.time() - 601).issue(session.id)
        foreign = Tokens(Secrets("another secret, as long as the first one")).issue(session.id)
        flipped = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(0, 72, 5)]
        for each in (
            "",
            past,
            foreign,
            TOKENS.issue(other.id),
            token[:-1],
            token[1:],
            token + "A",
            "x" * 4000,
            *flipped,
        ):
            answer = await site.connect("/token", [cookie(session), offer(each)])
            assert (answer.status, answer.code) == (101, 4002), each
            assert each == "" or each not in str(answer.headers)
            secret.add(each)
        assert (await site.connect("/token", [offer(token)])).code == 4002  # without the cookie
        assert (await site.connect("/token", [cookie(session)])).code == 4002  # without the token
        assert (await site.connect("/token", [cookie(other), offer(token)])).code == 4002
        assert site.ran == []
        answer = await site.connect("/token", [cookie(session), offer(token)])
        assert answer.texts[-1] == "done"
        assert answer.headers["sec-websocket-protocol"] == "odac.v1"
        secret.update((token, SESSIONS.encode(session), session.id))

    with caplog.at_level(logging.DEBUG):
        run(site, lane, visit)
    if lane is WebSocketProtocol:  # the websockets library logs the headers that it reads
        found = [each for each in secret if len(each) > 20 and each in caplog.text]
        assert not found


def test_tokens_from_before_login_and_after_logout_are_refused(lane: Any) -> None:
    site = Site()

    async def token(jar: str) -> tuple[str, str]:
        headers, body = await site.get("/odac/token", cookie=jar)
        return json.loads(body)["token"], set_cookie(headers) or jar

    async def code(jar: str, offered: str) -> int | None:
        return (await site.connect("/token", [(b"Cookie", jar.encode()), offer(offered)])).code

    async def visit() -> None:
        before, anonymous = await token("none=1")
        assert await code(anonymous, before) is None

        headers, _ = await site.get("/login", cookie=anonymous)
        ada = set_cookie(headers)
        assert await code(ada, before) == 4002
        during, _ = await token(ada)
        assert await code(ada, during) is None

        headers, _ = await site.get("/logout", cookie=ada)
        assert set_cookie(headers) == "odac="
        assert await code("none=1", during) == 4002
        assert await code(ada, during) == 4002  # a copy of the cookie is no good either
        after, nobody = await token("none=1")
        assert await code(nobody, during) == 4002
        assert await code(nobody, after) is None

    run(site, lane, visit)


@pytest.mark.parametrize("how", ["/logout", "/login"])
def test_the_end_of_a_session_closes_its_connections_wherever_they_stand(lane: Any, how: str) -> None:
    """Logging out ends it, and so does logging in anew; who is still in the gates belongs to it as well."""
    site = Site()
    in_gate = asyncio.Event()

    async def waits(odac: Context) -> None:
        gone = asyncio.Event()
        odac.ws.on("close", gone.set)
        in_gate.set()
        await gone.wait()

    site.app.route.use(waits).ws("/waits", print, token=False)

    async def visit() -> None:
        ada, bob = [set_cookie((await site.get("/login"))[0]) for _ in range(2)]

        def link(path: str, jar: str) -> connect:
            return connect(f"ws://{site.host}{path}", additional_headers={"Cookie": jar}, compression=None, proxy=None)

        async with link("/secure", ada) as one, link("/open", ada) as two, link("/waits", ada) as three:
            async with link("/secure", bob) as other:
                await in_gate.wait()
                await site.get(how, cookie=ada)
                for each in (one, two, three):
                    await asyncio.wait_for(each.wait_closed(), DEADLINE)
                    assert (each.close_code, each.close_reason) == (4001, "Logged out")
                assert await other.ping()
            assert other.close_code == 1000
        assert (await site.connect("/secure", [(b"Cookie", ada.encode())])).code == 4001

    run(site, lane, visit)


def set_cookie(headers: dict[str, str]) -> str:
    return re.sub('"', "", headers.get("set-cookie", "").partition(";")[0])


def test_a_login_over_http_is_seen_at_the_handshake_and_a_forged_cookie_is_not(lane: Any) -> None:
    site = Site()

    async def visit() -> None:
        headers, _ = await site.get("/login")
        jar = set_cookie(headers)
        answer = await site.connect("/secure", [(b"Cookie", jar.encode())])
        assert json.loads(answer.texts[0])["user"] == {"id": 7}
        forger = Sessions(Secrets("another secret, as long as the first one"))
        forged = forger.encode(forger.create({"id": 7}))
        for value in (forged, jar[5:-1], jar[5:] + "A", "", "a.b", "." * 8_000, ";" * 8_000, "\\" * 8_000):
            answer = await site.connect("/secure", [(b"Cookie", b"odac=" + value.encode())])
            assert answer.code == 4001, value[:20]
        assert (await site.connect("/secure")).code == 4001
        assert site.ran == ["/secure"]

    run(site, lane, visit)


class Anonymous:
    """What Django's and Starlette's anonymous users have in common."""

    id = 7
    is_authenticated = False


@pytest.mark.parametrize("way", ["authenticate", "async-authenticate", "scope", "session-cookie"])
@pytest.mark.parametrize("value", [Anonymous(), {}, "", {"id": 7, "is_authenticated": False}], ids=stable)
def test_every_form_of_no_user_is_refused(way: str, value: Any, lane: Any) -> None:
    site = Site()
    app: Any = site.app
    headers: list[tuple[bytes, bytes]] = []
    if way == "authenticate":
        app.authenticate(lambda request: value)
    elif way == "async-authenticate":

        @site.app.authenticate
        async def who(request: Any) -> Any:
            await asyncio.sleep(0)
            return value

    elif way == "scope":

        async def with_user(scope: Any, receive: Any, send: Any) -> None:
            scope["user"] = value
            await app(scope, receive, send)

        site.app = with_user  # type: ignore[assignment]
    else:
        session = SESSIONS.create(0 if isinstance(value, Anonymous) else value)  # a cookie holds JSON
        headers = [(b"Cookie", b"odac=" + SESSIONS.encode(session).encode())]

    async def visit() -> None:
        assert (await site.connect("/secure", headers)).code == 4001
        answer = await site.connect("/open", headers)
        assert json.loads(answer.texts[0])["user"] is None
        assert site.ran == ["/open"]

    run(site, lane, visit)


def test_a_user_who_was_never_awaited_is_an_error(lane: Any, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()

    async def find() -> dict[str, int]:
        return {"id": 7}

    @site.app.authenticate
    async def who(request: Any) -> Any:
        return find()

    async def visit() -> None:
        assert (await site.connect("/secure")).code == 1011

    run(site, lane, visit)
    assert site.ran == []
    assert "an await is missing" in caplog.text


@pytest.mark.parametrize(
    ("trusted", "scheme_and_ip"),
    [("192.0.2.1", "127.0.0.1"), ("127.0.0.1", "6.6.6.6")],
    ids=["from-an-untrusted-peer", "from-the-proxy"],
)
def test_the_address_is_the_peers_unless_a_trusted_proxy_names_another(
    lane: Any, trusted: str, scheme_and_ip: str
) -> None:
    site = Site()

    async def visit() -> None:
        headers = [(b"X-Forwarded-For", b"6.6.6.6"), (b"X-Real-IP", b"6.6.6.6"), (b"Forwarded", b"for=6.6.6.6")]
        answer = await site.connect("/open", headers)
        assert json.loads(answer.texts[0])["ip"] == scheme_and_ip

    run(site, lane, visit, proxy_headers=True, forwarded_allow_ips=trusted)


def test_behind_a_tls_proxy_the_https_origin_is_the_own_one_where_the_proxy_is_trusted(
    lane: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def status(site: Site) -> int:
        headers = [(b"X-Forwarded-Proto", b"https"), (b"Origin", b"https://site.example")]
        return (await site.connect("/open", headers, host=b"site.example")).status

    for trusted, expected in (("127.0.0.1", 101), ("192.0.2.1", 403)):
        site = Site()

        async def visit(site: Site = site, expected: int = expected) -> None:
            assert await status(site) == expected

        with caplog.at_level(logging.DEBUG):
            run(site, lane, visit, proxy_headers=True, forwarded_allow_ips=trusted)
    assert "--proxy-headers" in caplog.text


@pytest.mark.parametrize(
    "name", [b"Cookie", b"Origin", b"Sec-WebSocket-Protocol", b"X-Forwarded-For", b"Sec-Fetch-Site"]
)
def test_malformed_headers_affect_no_other(lane: Any, name: bytes, caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    junk = [bytes(range(0x80, 0x100)), b"," * 8_000, b" " * 8_000 + b"a", b"a\x0bb", b"\xe2\x80\xa8", b"=;" * 4_000]

    async def visit() -> None:
        for each in junk:
            begin = time.process_time()
            answer = await site.connect("/open", [(name, each)])
            assert answer.status in (101, 400, 403, 431), each[:20]
            assert time.process_time() - begin < 0.5
        assert (await site.connect("/open")).texts[-1] == "done"

    with caplog.at_level(logging.DEBUG):
        run(site, lane, visit)
    if lane is WebSocketProtocol:  # the websockets library logs one where it refuses
        assert "Traceback" not in caplog.text
