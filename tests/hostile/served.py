"""An app served in the test's own process, over real sockets, on either lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
import uvloop

from odac import Odac
from odac.server import WebSocketProtocol
from tests.hostile.peers import DEADLINE

__all__ = ["LANES", "run", "served", "until"]

LANES: Final[dict[str, Any]] = {"direct": WebSocketProtocol, "asgi": "websockets-sansio"}
"""The class in uvicorn's ws= option. ``asgi`` stands for a server that Odac knows through ASGI alone."""


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test on the event loop that ``odac run`` takes."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@asynccontextmanager
async def served(app: Odac, lane: str, **options: Any) -> AsyncIterator[int]:
    """Serve the app; yields the port."""
    own = {"port": 0, "ws": LANES[lane], "log_config": None, "lifespan": "on", "proxy_headers": False}
    config = uvicorn.Config(app, **own | options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(DEADLINE):
            while not server.started:
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, DEADLINE)


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE:g} s: {what}") from None
