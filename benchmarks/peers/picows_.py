import ssl
import sys

import orjson
import pauses
import uvloop
from picows import WSListener, WSMsgType, ws_create_server

room = set()


class Echo(WSListener):
    def on_ws_frame(self, t, f):
        if f.msg_type == WSMsgType.CLOSE:
            t.disconnect()
            return
        t.send(WSMsgType.TEXT, orjson.dumps(orjson.loads(f.get_payload_as_memoryview())))


class Room(WSListener):
    def on_ws_connected(self, t):
        room.add(t)

    def on_ws_disconnected(self, t):
        room.discard(t)

    def on_ws_frame(self, t, f):
        if f.msg_type == WSMsgType.CLOSE:
            t.disconnect()
            return
        b = orjson.dumps(orjson.loads(f.get_payload_as_memoryview()))
        for x in room:
            x.send(WSMsgType.TEXT, b)


def tls():
    """With a certificate and a key as further arguments."""
    if len(sys.argv) < 4:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    return context


async def main():
    def choose(request):
        return Room() if request.path.startswith(b"/room") else Echo()

    s = await ws_create_server(choose, "127.0.0.1", int(sys.argv[1]), backlog=4096, ssl=tls())
    await s.serve_forever()


uvloop.run(main())
