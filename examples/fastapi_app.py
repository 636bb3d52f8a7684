"""Odac around FastAPI: an auction. Bids arrive over HTTP, and all clients that watch the item get them at once.

::

    pip install fastapi
    odac run examples.fastapi_app:app
    odac connect ws://127.0.0.1:8000/auction/clock
    curl -d '' 'http://127.0.0.1:8000/auction/clock/bid?amount=20'
"""

from __future__ import annotations

from typing import Any, TypedDict

from fastapi import FastAPI, HTTPException

from odac import Context, Odac


class Highest(TypedDict):
    """The message that the server sends to the clients that watch an item."""

    item: str
    highest: int


api = FastAPI()
app = Odac(http=api)
highest: dict[str, int] = {"clock": 0, "lamp": 0}


@api.get("/auction")
def auctions() -> dict[str, int]:
    """Return the highest bid for each item."""
    return highest


@api.post("/auction/{item}/bid")
def bid(item: str, amount: int) -> dict[str, int]:
    """Place a bid, and send it to all clients that watch the item. FastAPI runs a plain ``def`` in a thread."""
    if item not in highest:
        raise HTTPException(404, f"There is no {item} for sale.")
    if amount <= highest[item]:
        raise HTTPException(409, f"Somebody bids {highest[item]} already.")
    highest[item] = amount
    app.route.ws_server.to_room(f"auction:{item}", Highest(item=item, highest=amount))
    return {"highest": amount}


@app.route.ws("/auction/{item}", token=False, sends=Highest)
async def watch(odac: Context[Any, Highest]) -> None:
    """Watch one item: join its room, and get the highest bid now and after each change."""
    item = odac.request.data.url["item"]
    if item not in highest:
        odac.ws.close(4404, f"There is no {item} for sale.")
        return
    odac.ws.join(f"auction:{item}")
    odac.ws.send(Highest(item=item, highest=highest[item]))
