"""A room whose messages are compressed for those who have negotiated it."""

from odac import Odac

app = Odac(secret="a secret for the benchmark, 32 bytes or more", compression=True)


@app.route.ws("/room", token=False, rate_limit=None)
def room(odac):
    odac.ws.join("room")
    odac.ws.on("message", odac.ws.to("room").send)
