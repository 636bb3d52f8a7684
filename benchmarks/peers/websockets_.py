import json
import sys

import uvloop
from websockets.asyncio.server import broadcast, serve

room = set()


async def handler(ws):
    if ws.request.path.startswith("/room"):
        room.add(ws)
        try:
            async for m in ws:
                broadcast(room, json.dumps(json.loads(m)))
        finally:
            room.discard(ws)
    else:
        async for m in ws:
            await ws.send(json.dumps(json.loads(m)))


async def main():
    async with serve(handler, "127.0.0.1", int(sys.argv[1]), compression=None, backlog=4096) as s:
        await s.serve_forever()


uvloop.run(main())
