"""The Python client's connection as an echo client for the Autobahn suite's fuzzing server.

    python -m tests.conformance.client ws://127.0.0.1:9001

``odac.connect`` parses JSON and reconnects by itself, which the suite does not expect: this is the connection below it.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic

from odac.client.address import Address
from odac.client.socket import Socket, dialer
from odac.errors import Disconnected
from odac.protocol.codec import encode

AGENT = "odac-client"


async def dial(url: str) -> Socket:
    return await dialer(None, monotonic)(Address.parse(url), [], [], lambda cookies: None)


async def echo(url: str) -> None:
    """Send every message back until the server closes."""
    connection = await dial(url)
    try:
        while True:
            connection.write(encode(await connection.receive()))
            await connection.writable()
    except Disconnected:
        pass
    finally:
        await connection.close()


async def run(server: str) -> int:
    """Run all cases; return how many."""
    connection = await dial(f"{server}/getCaseCount")
    count = int(await connection.receive())
    await connection.close()
    for case in range(1, count + 1):
        print(f"case {case} of {count}", flush=True)
        await asyncio.wait_for(echo(f"{server}/runCase?case={case}&agent={AGENT}"), 300)
    await echo(f"{server}/updateReports?agent={AGENT}")
    return count


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
