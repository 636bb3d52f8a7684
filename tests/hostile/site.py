"""The app that the tests' server processes serve: ``odac run tests.hostile.site:app``, with limits from the
environment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from odac import Context, Limits, Odac, RateLimit

SECRET = "a secret of the tests, long enough to be one"


def limits() -> Limits:
    given: dict[str, Any] = json.loads(os.environ.get("SITE_LIMITS", "{}"))
    if given.get("rate_limit") is not None:
        given["rate_limit"] = RateLimit(*given["rate_limit"])
    return Limits(**given)


taken: Counter[str] = Counter()
"""Messages that handlers have taken, by route."""
awake = asyncio.Event()
"""What slow handlers wait for."""


COUNTED = ("Connection", "DirectLane", "AsgiLane", "Parser", "Backlog", "AsgiWebSocket", "WebSocketProtocol")
"""Names of the classes whose objects are counted."""


def objects() -> list[Any]:
    """The objects that the garbage collector tracks, and those of live connections, which odac.lanes.collector untracks."""
    found = gc.get_objects()
    known = {id(each) for each in found}
    new = found
    while new:
        referents = {id(each): each for each in gc.get_referents(*new) if type(each).__name__ in COUNTED}
        new = [each for key, each in referents.items() if key not in known]
        known.update(referents)
        found = found + new
    return found


def stats() -> dict[str, Any]:
    """The resources of this process."""
    gc.collect()
    kinds = Counter(type(each).__name__ for each in objects())
    hub = app._hub
    delivery = hub._delivery
    statm = Path("/proc/self/statm").read_text()
    return {
        "rss": int(statm.split()[1]) * os.sysconf("SC_PAGESIZE"),
        "cpu": time.process_time(),
        "descriptors": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
        "timers": kinds["TimerHandle"],
        "objects": sum(kinds.values()),
        "alive": {name: kinds[name] for name in COUNTED},
        "population": hub.population,
        "clients": len(hub.connections),
        "rooms": len(hub._rooms),
        "addresses": len(app.addresses),
        "overflows": delivery.overflows if delivery is not None else 0,
        "dropped": delivery.dropped_messages if delivery is not None else 0,
        "taken": dict(taken),
    }


async def http(scope: Any, receive: Any, send: Any) -> None:
    """``/stats``: what the process holds; ``/wake``: let slow handlers go on."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    assert scope["type"] == "http"  # it has no lifespan
    if scope["path"] == "/wake":
        awake.set()
    elif scope["path"] == "/sleep":
        awake.clear()
    body = json.dumps(stats()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


app = Odac(SECRET, http=http, limits=limits())


# Messages

app.route.ws("/idle", lambda odac: None, token=False)


@app.route.ws("/echo", token=False)
def echo(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)


@app.route.ws("/raw", token=False, raw=True)
def raw(odac: Context) -> None:
    odac.ws.on("message", odac.ws.send)


@app.route.ws("/sleep", token=False)
def sleep(odac: Context) -> None:
    @odac.ws.on("message")
    async def slow(data: object) -> None:
        await awake.wait()
        taken["/sleep"] += 1


@app.route.ws("/iterate", token=False)
async def iterate(odac: Context) -> None:
    async for _ in odac.ws:
        await awake.wait()
        taken["/iterate"] += 1


@app.route.ws("/flood", token=False)
async def flood(odac: Context) -> None:
    """Sends for ever, and waits for room each time."""
    while True:
        await odac.ws.send(bytes(16_384))
        if odac.ws.ready_state != 1:
            return


@app.route.ws("/bye", token=False)
def bye(odac: Context) -> None:
    odac.ws.join("bye")
    odac.set_interval(0.05, lambda: None)
    odac.create_task(asyncio.sleep(60))
    odac.ws.close(4321, "bye")


# Rooms


@app.route.ws("/room/{name}", token=False, raw=True)
def room(odac: Context) -> None:
    """Joins one room, or several with commas in between, and sends what comes to the first."""
    rooms = odac.request.data.url["name"].split(",")
    try:
        for each in rooms:
            odac.ws.join(each)
    except ValueError:
        odac.ws.close(4404)
    odac.ws.on("message", lambda data: odac.ws.to(rooms[0]).send(data))


@app.route.ws("/tolerant/{name}", token=False, raw=True, overflow="drop_oldest")
def tolerant(odac: Context) -> None:
    room(odac)


@app.route.ws("/names", token=False)
def names(odac: Context) -> None:
    @odac.ws.on("message")
    def act(message: Any) -> None:
        what, name, *rest = message
        try:
            if what == "join":
                odac.ws.join(name)
            elif what == "leave":
                odac.ws.leave(name)
            elif what == "within":
                odac.ws.to(name).within(rest[0]).send(rest[1])
            else:
                odac.ws.to(name).send(rest[0])
        except ValueError as error:
            odac.ws.send({"refused": str(error)})
        else:
            odac.ws.send({"did": what})


# Handshake checks


@app.authenticate
async def authenticate(request: Any) -> Any:
    await asyncio.sleep(0)
    user = request.query.get("user")
    return {"id": user, "name": f"name of {user}"} if user else None


@app.middleware("forbid")
def forbid(odac: Context) -> bool:
    return False


@app.middleware("reject")
async def reject(odac: Context) -> str:
    await asyncio.sleep(0)
    return "no"


@app.middleware("raise")
async def raising(odac: Context) -> None:
    raise ConnectionError("a gate that fails")


@app.middleware("hang")
async def hang(odac: Context) -> None:
    await asyncio.get_running_loop().create_future()


@app.middleware("cancelled")
async def cancelled(odac: Context) -> None:
    raise asyncio.CancelledError


@app.middleware("named")
async def named(odac: Context) -> bool:
    """Fails in every way, by what the user's number says, after having waited in between."""
    user = await odac.auth.user()
    number = int(user["id"])
    odac.ws.data.number = number
    await asyncio.sleep(0.001 * (number % 7))
    assert odac.ws.data.number == number
    if number % 10 == 1:
        raise LookupError(f"the middleware fails for {number}")
    if number % 10 == 2:
        await asyncio.sleep(3_600)
    if number % 10 == 3:
        raise asyncio.CancelledError
    return number % 10 != 4


app.route.auth.ws("/auth", lambda odac: None, token=False)
app.route.ws("/token", lambda odac: None)
for gate in ("forbid", "reject", "raise", "hang", "cancelled"):
    app.route.use(gate).ws(f"/{gate}", lambda odac: None, token=False)


@app.route.auth.use("named").ws("/who", token=False)
async def who(odac: Context) -> None:
    """Sends its user's name again and again, with waits in between."""
    user = await odac.auth.user()
    odac.ws.join(f"room of {user['id']}")

    @odac.ws.on("message")
    async def answer(data: Any) -> None:
        before = await odac.auth.user()
        await asyncio.sleep(0)
        odac.ws.send(
            {
                "user": (await odac.auth.user())["id"],
                "before": before["id"],
                "query": odac.request.query["user"],
                "cookie": odac.request.cookie("mine"),
                "number": odac.ws.data.number,
                "id": odac.ws.id,
            }
        )
        app.route.ws_server.user(user["id"]).send({"for": user["id"]})
        app.route.ws_server.to_room(f"room of {user['id']}", {"for": user["id"]})


# Paths that would take a slow pattern long to match

for path in (
    "/file/{name}.{ext}",
    "/two/{a}-{b}.{c}",
    "/deep/{rest:path}/end",
    "/number/{n:int}/{x:float}",
    "/{any}/x/{other}",
):
    app.route.ws(path, lambda odac: odac.ws.close(4000 + len(odac.request.data.url)), token=False)
