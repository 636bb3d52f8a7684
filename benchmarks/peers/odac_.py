"""Odac with its defaults: all gates and limits on, except the rate limit, which would refuse the load."""

import os

import pauses

from odac import Limits, Odac

# Many silent connections are pinged at the same time, which would disturb the measurement.
pings = float(os.environ.get("BENCH_PING_INTERVAL", Limits().ping_interval))
app = Odac(secret="a secret for the benchmark, 32 bytes or more", limits=Limits(ping_interval=pings))


@app.middleware("nothing")
def nothing(odac):
    return True


def echo(odac):
    odac.ws.on("message", odac.ws.send)


def room(odac):
    odac.ws.join("room")
    odac.ws.on("message", odac.ws.to("room").send)


def topic(odac):
    name = odac.request.data.url["name"]
    odac.ws.join(name)
    odac.ws.on("message", odac.ws.to(name).send)


app.route.ws("/", echo, token=False, rate_limit=None, max_payload=2 * 1024 * 1024)
app.route.ws("/room", room, token=False, rate_limit=None)
app.route.ws("/topic/{name}", topic, token=False, rate_limit=None)
app.route.use("nothing").ws("/guarded", echo, rate_limit=None)
