"""A client of python-socketio for ``python -m benchmarks.recovery``: prints what it gets, a line each."""

from __future__ import annotations

import asyncio
import sys

import socketio

client = socketio.AsyncClient()


@client.event
def connect() -> None:
    """Connected or reconnected: the client does not say whether messages are missing."""
    print("connect unknown", flush=True)


@client.on("message")
def message(number: int) -> None:
    """A message."""
    print(f"message {number}", flush=True)


async def main() -> None:
    """Stay connected."""
    await client.connect(sys.argv[1], transports=["websocket"], retry=True)
    while True:
        await asyncio.sleep(60)


asyncio.run(main())
