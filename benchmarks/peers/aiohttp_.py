import asyncio
import json
import sys

import uvloop
from aiohttp import WSMsgType, web

room = set()


async def echo(req):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(req)
    async for m in ws:
        if m.type == WSMsgType.TEXT:
            await ws.send_str(json.dumps(json.loads(m.data)))
    return ws


async def roomh(req):
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(req)
    room.add(ws)
    try:
        async for m in ws:
            if m.type == WSMsgType.TEXT:
                s = json.dumps(json.loads(m.data))
                for w in list(room):
                    await w.send_str(s)
    finally:
        room.discard(ws)
    return ws


app = web.Application()
app.add_routes([web.get("/", echo), web.get("/room", roomh)])
asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, backlog=4096, access_log=None)
