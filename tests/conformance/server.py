"""The echo server for the Autobahn suite: an Odac app with high limits, and nothing else.

    python -m tests.conformance.server direct               odac's own server
    python -m tests.conformance.server asgi hypercorn       plain ASGI: hypercorn or uvicorn

It listens on a port that the system chooses and prints ``listening on ws://…``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket

os.environ.setdefault("ODAC_SECRET", "the conformance server signs nothing that matters")

from odac import Limits, Odac

MIB = 1024 * 1024

app = Odac(
    compression=True,
    limits=Limits(
        max_payload=64 * MIB,  # sections 9.1 and 9.2 send 16 MiB
        max_fragments=100_000,  # sections 9.3 and 9.4 send 65,536
        outgoing_buffer=256 * MIB,
        rate_limit=None,
        ping_interval=3600,  # the suite counts frames
    ),
)


@app.route.ws("/", token=False, raw=True)
def echo(odac):  # type: ignore[no-untyped-def]  # as an application writes it
    odac.ws.on("message", odac.ws.send)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("lane", choices=["direct", "asgi"])
    arguments.add_argument("server", nargs="?", choices=["hypercorn", "uvicorn"], default="hypercorn")
    options = arguments.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    print(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    if options.lane == "direct":
        serve_directly(listener)
    elif options.server == "uvicorn":
        serve_with_uvicorn(listener)
    else:
        serve_with_hypercorn(listener)


def serve_directly(listener: socket.socket) -> None:
    import uvicorn

    from odac.server import WebSocketProtocol

    config = uvicorn.Config(app, ws=WebSocketProtocol, proxy_headers=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def serve_with_uvicorn(listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app, ws="websockets-sansio", ws_max_size=64 * MIB, ws_per_message_deflate=False, log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_with_hypercorn(listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = 64 * MIB
    config.websocket_ping_interval = None
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main()
