from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

room = set()


async def echo(ws):
    await ws.accept()
    try:
        while True:
            await ws.send_json(await ws.receive_json())
    except WebSocketDisconnect:
        pass


async def roomh(ws):
    await ws.accept()
    room.add(ws)
    try:
        while True:
            d = await ws.receive_json()
            for w in list(room):
                await w.send_json(d)
    except WebSocketDisconnect:
        pass
    finally:
        room.discard(ws)


app = Starlette(routes=[WebSocketRoute("/", echo), WebSocketRoute("/room", roomh)])
