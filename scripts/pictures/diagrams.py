"""The drawings of the documentation."""

from __future__ import annotations

from scripts.pictures.drawing import Picture

__all__ = ["DIAGRAMS"]


def rooms() -> Picture:
    """A room message within one process."""
    it = Picture(
        720,
        260,
        "A message to a room",
        "A message is encoded once and framed once; the same bytes are written to the socket of each member. A member "
        "that reads slowly has a backlog of its own, and delays no other.",
    )
    it.box(20, 95, 190, 70, ">odac.ws.to('tea')", ">.send({…})")
    it.arrow([(210, 130), (248, 130)])
    it.box(250, 95, 150, 70, "one frame", "encoded once", "framed once", kind="accent")
    for row, (member, note) in enumerate(
        [("Ada", "one write"), ("Bob", "one write"), ("Cem", "one write"), ("Eve", "reads slowly: a bounded backlog")]
    ):
        y = 20 + row * 58
        it.arrow([(400, 130), (440, 130), (440, y + 21), (478, y + 21)])
        it.box(480, y, 90, 42, member, "socket")
        it.text(582, y + 25, note.split(":")[0], "muted small")
        if ":" in note:
            it.text(582, y + 41, note.split(": ")[1], "muted small")
    it.text(20, 240, "No task, no queue and no copy for each member.", "muted small")
    return it


def lanes() -> Picture:
    """The direct lane and the ASGI lane."""
    it = Picture(
        720,
        290,
        "Two lanes from a socket to an app",
        "On the direct lane, Odac's protocol class reads and writes the socket that uvicorn has accepted. On the ASGI "
        "lane, an ASGI server speaks WebSocket and hands messages over. Behind both is the same connection.",
    )
    it.frame(16, 14, 500, 116, "direct lane: odac run, or uvicorn")
    it.box(32, 50, 90, 60, "socket")
    it.arrow([(122, 80), (150, 80)], both=True)
    it.box(152, 50, 150, 60, "uvicorn", "accepts, HTTP, signals")
    it.arrow([(302, 80), (330, 80)], both=True)
    it.box(332, 50, 168, 60, "Odac's protocol class", "frames, in compiled code", kind="accent")
    it.frame(16, 160, 500, 116, "ASGI lane: any other ASGI server")
    it.box(32, 196, 90, 60, "socket")
    it.arrow([(122, 226), (150, 226)], both=True)
    it.box(152, 196, 150, 60, "Hypercorn, Daphne", "speaks WebSocket")
    it.arrow([(302, 226), (330, 226)], both=True)
    it.box(332, 196, 168, 60, "ASGI messages", "receive() and send()")
    it.arrow([(500, 80), (545, 80), (545, 130), (568, 130)], both=True)
    it.arrow([(500, 226), (545, 226), (545, 160), (568, 160)], both=True)
    it.box(570, 100, 134, 90, "Connection", "one order, limits,", "rooms, your handler", kind="accent")
    return it


def brokers() -> Picture:
    """A room message between processes."""
    it = Picture(
        720,
        300,
        "A message to a room, over several processes",
        "Members in the sender's own process get the message at once. The broker carries it to those processes that "
        "have members of the room, and to no others.",
    )
    places = [(20, "process 1", ["Ada", "Bob"]), (265, "process 2", ["Cem"]), (510, "process 3", ["Eve"])]
    for x, name, members in places:
        it.frame(x, 14, 190, 130, name)
        for number, member in enumerate(members):
            it.box(x + 14 + number * 84, 44, 76, 34, member)
        it.box(x + 14, 94, 162, 38, "Odac", kind="accent")
    it.text(375, 66, "in room tea", "muted small")
    it.text(624, 66, "in coffee", "muted small")
    it.arrow([(72, 78), (72, 92)])
    it.arrow([(160, 94), (160, 80)])
    it.box(210, 220, 300, 56, "broker", "local, Redis, Redis Cluster or NATS")
    it.arrow([(115, 132), (115, 248), (208, 248)])
    it.arrow([(360, 220), (360, 134)])
    it.text(124, 205, "once", "muted small")
    it.text(352, 182, "subscribed to tea", "muted small", "end")
    it.arrow([(605, 144), (605, 248), (512, 248)], dashed=True)
    it.text(592, 182, "subscribed to coffee:", "muted small", "end")
    it.text(592, 198, "hears nothing of tea", "muted small", "end")
    return it


def around_and_mounted() -> Picture:
    """Odac around another app, and within one."""
    it = Picture(
        720,
        250,
        "Around another app, or mounted in it",
        "Around: Odac gets every request, answers WebSocket routes and its own paths, and hands the rest to the other "
        "app. Mounted: the other app gets every request and hands one path to Odac.",
    )
    it.frame(16, 14, 336, 222, "around: Odac(http=site)")
    it.box(40, 48, 288, 46, "Odac", kind="accent")
    it.arrow([(105, 94), (105, 138)])
    it.arrow([(263, 94), (263, 138)])
    it.box(32, 140, 146, 72, "WebSocket routes", "rooms, /odac/…", kind="accent")
    it.box(190, 140, 146, 72, "FastAPI, Django …", "everything else")
    it.frame(368, 14, 336, 222, "mounted: site.mount('/live', odac)")
    it.box(392, 48, 288, 46, "FastAPI, Starlette, Litestar")
    it.arrow([(452, 94), (452, 138)])
    it.arrow([(610, 94), (610, 138)])
    it.box(392, 140, 130, 72, "your own views", "everything else")
    it.box(542, 140, 138, 72, "Odac", "all below /live", kind="accent")
    return it


def choose_a_broker() -> Picture:
    """A flow chart: which broker."""
    it = Picture(
        720,
        330,
        "Which broker",
        "One process: memory. Several on one machine: local. Several machines: Redis where there is one or rooms keep "
        "their messages, Redis Cluster where one Redis is too small, else NATS.",
    )
    questions = [
        (24, "More than", "one process?", "no", "memory://", "the default"),
        (104, "More than", "one machine?", "no", "local://", "no server needed"),
        (184, "History, or", "a Redis already?", "no", "nats://", "light, for live rooms"),
        (264, "More than one", "Redis carries?", "no", "redis://", "history in it"),
    ]
    for y, first, second, answer, url, note in questions:
        it.box(40, y, 190, 50, "", first, second)
        it.arrow([(230, y + 25), (338, y + 25)])
        it.text(270, y + 19, answer, "muted small")
        it.box(340, y, 170, 50, f">{url}", note, kind="accent")
        if y < 264:
            it.arrow([(135, y + 50), (135, y + 78)])
            it.text(143, y + 68, "yes", "muted small")
    it.arrow([(40, 289), (22, 289), (22, 318), (556, 318), (556, 240), (574, 240)])
    it.text(530, 310, "yes", "muted small")
    it.box(576, 210, 130, 60, ">redis+cluster://", "history in it", kind="accent")
    return it


def deployment() -> Picture:
    """Browsers, a proxy, machines with workers, a broker."""
    it = Picture(
        720,
        300,
        "A deployment on two machines",
        "Browsers reach a proxy over TLS. It spreads connections over two machines, each with some workers, without "
        "sticky sessions. All processes share one broker.",
    )
    for number, name in enumerate(["browser", "phone", "Python client"]):
        it.box(20, 50 + number * 70, 110, 46, name)
        it.arrow([(130, 73 + number * 70), (166, 73 + number * 70), (166, 143), (188, 143)], both=True)
    it.box(190, 96, 134, 94, "nginx, HAProxy", "TLS, certificates", "no sticky sessions")
    for number, y in enumerate((24, 166)):
        it.frame(370, y, 150, 116, f"machine {number + 1}")
        for worker in range(2):
            it.box(384, y + 28 + worker * 42, 122, 36, "odac worker", kind="accent")
        it.arrow([(324, 143), (346, 143), (346, y + 58), (368, y + 58)], both=True)
        it.arrow([(520, y + 58), (552, y + 58), (552, 143), (574, 143)], both=True)
    it.box(576, 100, 132, 86, "broker", "Redis or NATS", "messages, presence")
    it.text(190, 212, "asks /odac/health:", "muted small")
    it.text(190, 228, "503 takes one out", "muted small")
    return it


DIAGRAMS = {
    "rooms": rooms,
    "lanes": lanes,
    "brokers": brokers,
    "around-and-mounted": around_and_mounted,
    "choose-a-broker": choose_a_broker,
    "deployment": deployment,
}
"""Each drawing by the name of its file."""
