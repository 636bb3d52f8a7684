"""The server for the tests of the browser client: routes that do one thing each, and pages without inline scripts."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from odac import Context, Limits, Odac
from odac.request import Request as HandshakeRequest
from odac.security.secret import Secrets
from odac.security.token import Tokens
from tests.browser.client.rooms import add_rooms, say

LIMITS = Limits(
    rate_limit=None,
    outgoing_buffer=8 * 1024 * 1024,
    ping_interval=float(os.environ.get("PING_INTERVAL", "25")),
    drain_timeout=float(os.environ.get("DRAIN_TIMEOUT", "0.2")),
)

attempts: Counter[str] = Counter()
received: list[Any] = []
held = 0
released = asyncio.Event()
# What a page may load and where it may connect to; nothing inline, nothing from a blob.
POLICIES = {
    "strict": "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'; img-src 'self'",
    "no-worker": "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'none'",
    "trusted-types": "default-src 'self'; require-trusted-types-for 'script'",
}


def page(head: str = "", script: str = '<script src="/odac/odac.js"></script>') -> str:
    return f"<!doctype html><title>a page</title>{head}{script}<script src='/page.js'></script>"


# What tests call in every page: `join` makes a socket that keeps a record, `until` waits for a condition.
PAGE_JS = """
// The client gives a leader, or a server, ten seconds to answer. In a hurry it is one.
const { setTimeout: native } = window
window.setTimeout = (callback, milliseconds) =>
  native(callback, window.hurry && milliseconds === 10000 ? 1000 : milliseconds)
window.until = (condition, milliseconds = 30000) => new Promise((resolve, reject) => {
  const end = Date.now() + milliseconds
  const look = () => {
    let value
    try { value = condition() } catch (error) { return reject(error) }
    if (value) return resolve(value)
    if (Date.now() > end) return reject(new Error(`not within ${milliseconds} ms: ${condition}; ${JSON.stringify([window.log, window.messages, window.ws?.state])}`))
    setTimeout(look, 10)
  }
  look()
})
window.join = (path, options) => {
  const ws = Odac.ws(path, options)
  const log = []
  for (const name of ['open', 'close', 'error', 'reconnecting', 'offline']) {
    ws.on(name, (...args) => log.push([name, ...args.map((arg) => arg instanceof Error ? arg.message : arg)]))
  }
  const messages = []
  ws.on('message', (data) => messages.push(data instanceof ArrayBuffer ? { bytes: [...new Uint8Array(data)] } : data))
  const recovered = []
  ws.on('recover', ({ room, recovered: all, count }) => recovered.push([room, all, count]))
  const seen = []
  ws.on('presence', (presence) => seen.push(presence))
  Object.assign(window, { ws, log, messages, recovered, seen })
  return { ws, log, messages, recovered, seen }
}
window.names = () => log.map(([name]) => name)
"""


async def home(request: Request) -> Response:
    policy = request.query_params.get("policy")
    return HTMLResponse(page(), headers={"Content-Security-Policy": POLICIES[policy]} if policy else None)


async def away(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>another page</title>")


async def hold(request: Request) -> Response:
    """Answer when the test releases it."""
    global held
    held += 1
    try:
        await released.wait()
    finally:
        held -= 1
    return PlainTextResponse("go on")


async def release(request: Request) -> Response:
    released.set()
    return PlainTextResponse("released")


async def module(request: Request) -> Response:
    return HTMLResponse(page(script="<script type='module' src='/module.js'></script>"))


async def bundle_page(request: Request) -> Response:
    kind = request.query_params["type"]
    return HTMLResponse(page(script=f"<script type='{kind}' src='/bundles/odac.js'></script>"))


async def mounted_page(request: Request) -> Response:
    return HTMLResponse(page(script='<script src="/below/rt/odac.js"></script>'))


async def with_token(request: Request) -> Response:
    """A page with a token for this session, from now or from an hour ago."""
    session = app.auth.session()
    assert session is not None, "the test gets itself a session first"
    age = float(request.query_params["age"])
    token = Tokens(Secrets(os.environ["ODAC_SECRET"]), clock=lambda: time.time() - age).issue(session.id)
    return HTMLResponse(page(f'<meta name="odac-token" content="{token}">'))


async def script(request: Request) -> Response:
    return Response(PAGE_JS, media_type="text/javascript")


WORKER_JS = """
onmessage = ({ data: [path, options] }) => {
  const ws = Odac.ws(path, options)
  ws.on('message', (message) => postMessage(['message', message])).on('error', (error) => postMessage(['error', error.message]))
  ws.send('from a worker')
}
"""


async def worker_script(request: Request) -> Response:
    """A worker: classic, as a module, or what a worker made of a blob imports after the client."""
    client = {"/worker.js": "importScripts('/odac/odac.js')", "/worker.mjs": "import { Odac } from '/odac/odac.mjs'"}
    return Response(client.get(request.url.path, "") + WORKER_JS, media_type="text/javascript")


async def module_script(request: Request) -> Response:
    text = "import { Odac, ws } from '/odac/odac.mjs'; Object.assign(window, { Odac, directly: ws })"
    return Response(text, media_type="text/javascript")


async def login(request: Request) -> Response:
    response = PlainTextResponse("welcome")
    app.auth.login(response, {"id": request.query_params["user"]})
    return response


async def foreign_login(request: Request) -> Response:
    """Log in with another framework's session, which Odac knows only by ``authenticate``."""
    response = PlainTextResponse("welcome")
    response.set_cookie("foreign", request.query_params["user"], httponly=True)
    return response


async def logout(request: Request) -> Response:
    response = PlainTextResponse("goodbye")
    app.auth.logout(response)
    return response


async def count(request: Request) -> Response:
    return JSONResponse(app.route.ws_server.client_count)


async def counters(request: Request) -> Response:
    return JSONResponse({"attempts": attempts, "received": received, "held": held})


async def broadcast(request: Request) -> Response:
    app.route.ws_server.broadcast(await request.json())
    return PlainTextResponse("sent")


async def say_here(request: Request) -> Response:
    return await say(request, app)


async def forget(request: Request) -> Response:
    attempts.clear()
    received.clear()
    released.clear()
    return PlainTextResponse("forgotten")


mounted = Odac(prefix="/rt")
app = Odac(
    limits=LIMITS,
    http=Starlette(
        routes=[
            Route("/", home),
            Route("/away", away),
            Route("/hold", hold),
            Route("/release", release, methods=["POST"]),
            Route("/module", module),
            Route("/mounted", mounted_page),
            Route("/bundle", bundle_page),
            Mount("/bundles", StaticFiles(directory=os.environ.get("BUNDLE", os.curdir))),
            Route("/with-token", with_token),
            Route("/page.js", script),
            Route("/module.js", module_script),
            *[Route(path, worker_script) for path in ("/worker.js", "/worker.mjs", "/worker-page.js")],
            Route("/login", login),
            Route("/foreign-login", foreign_login),
            Route("/logout", logout),
            Route("/count", count),
            Route("/counters", counters),
            Route("/broadcast", broadcast, methods=["POST"]),
            Route("/say/{room}", say_here, methods=["POST"]),
            Route("/forget", forget, methods=["POST"]),
            Mount("/below", mounted),
        ]
    ),
)


add_rooms(app)


@app.authenticate
def foreign_user(request: HandshakeRequest) -> dict[str, str] | None:
    user = request.cookie("foreign")
    return {"id": user} if user else None


@app.route.ws("/echo")
@app.route.ws("/other")
@mounted.route.ws("/echo")
async def echo(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)


app.route.ws("/public", echo, token=False)
app.route.ws("/anywhere", echo, token=False, origins="*")


@app.route.ws("/raw", raw=True)
async def raw(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)


@app.route.ws("/record")
async def record(odac: Context) -> None:
    def keep(data: Any) -> None:
        received.append(list(data) if isinstance(data, bytes) else data)
        odac.ws.send({"received": len(received)})

    odac.ws.on("message", keep)


@app.route.ws("/numbers")
async def numbers(odac: Context) -> None:
    def send(count: int) -> None:
        for number in range(count):
            odac.ws.send(number)

    odac.ws.on("message", send)


@app.route.ws("/who")
async def who(odac: Context) -> None:
    """Sends the name of the connection's user at once, and after every message."""
    user = await odac.auth.user()
    name = user["id"] if user else None
    odac.ws.on("message", lambda data: odac.ws.send({"user": name, "said": data}))
    odac.ws.send({"user": name})


@app.route.ws("/close/{code:int}")
async def close(odac: Context) -> None:
    code = odac.request.data.url["code"]
    attempts[str(code)] += 1
    if code == 1006:
        odac.ws.on("message", lambda: os._exit(1))
    else:
        odac.ws.close(code, f"code {code}")


@app.middleware("rejects")
async def rejects(odac: Context) -> str:
    attempts["rejects"] += 1
    return "no"


@app.middleware("forbids")
async def forbids(odac: Context) -> bool:
    attempts["forbids"] += 1
    return False


@app.middleware("counts")
async def counts(odac: Context) -> None:
    attempts[odac.request.path] += 1


app.route.use("rejects").ws("/rejects", echo)
app.route.use("forbids").ws("/forbids", echo)
app.route.auth.ws("/secure", echo)


async def without_cookies(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind a proxy that removes ``Set-Cookie``."""
    if scope["type"] == "http" and scope["path"] == "/odac/token":
        attempts["token"] += 1

    async def strip(message: Message) -> None:
        if "headers" in message:
            message = {**message, "headers": [each for each in message["headers"] if each[0] != b"set-cookie"]}
        await send(message)

    await app(scope, receive, strip)
