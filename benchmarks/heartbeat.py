"""What the heartbeat of 10,000 idle connections costs: the server's CPU time, in percent of one core.

    python benchmarks/heartbeat.py                  10,000 connections, the default 25 s between pings, one minute
    python benchmarks/heartbeat.py 5000 10 30       5,000 connections, 10 s between pings, 30 s

A process of its own holds the connections; it only answers pings. CPU time is measured, so that other work on the
machine changes the figure only a little (colder caches).
Both processes need as many file descriptors as there are connections (``ulimit -n``).
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PONG = b"\x8a\x80\0\0\0\0"
REQUEST = (
    b"GET /idle HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def serve(interval: float) -> None:
    """The server's process: prints its port, and its CPU seconds for each line of input."""
    import asyncio
    import threading

    import uvicorn

    from odac import Limits, Odac
    from odac.server import WebSocketProtocol

    app = Odac("a secret for benchmarks, which protects nothing", limits=Limits(ping_interval=interval))
    app.route.ws("/idle", lambda odac: None, token=False)
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws=WebSocketProtocol, loop="uvloop", log_config=None))

    async def main() -> None:
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        await task

    def answer() -> None:
        for _ in sys.stdin:
            print(time.process_time(), app.route.ws_server.client_count, flush=True)
        os._exit(0)

    threading.Thread(target=answer, daemon=True).start()
    asyncio.run(main())


def hold(port: int, count: int) -> None:
    """The clients' process: opens the connections and answers their pings."""
    epoll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    for _ in range(count):
        each = socket.create_connection(("127.0.0.1", port))
        each.sendall(REQUEST)
        each.recv(4_096)
        sockets[each.fileno()] = each
        epoll.register(each.fileno(), select.EPOLLIN)
    print("open", flush=True)
    while True:
        for number, _ in epoll.poll():
            data = sockets[number].recv(64)
            if not data:
                raise SystemExit("the server has closed a connection")
            for _ in range(len(data) // 2):  # a ping is two bytes
                sockets[number].send(PONG)


def measure(count: int, interval: float, seconds: float) -> None:
    own = [sys.executable, __file__]
    pipes = {"stdout": subprocess.PIPE, "stdin": subprocess.PIPE, "text": True, "cwd": ROOT}
    server = subprocess.Popen([*own, "serve", str(interval)], **pipes)  # type: ignore[call-overload]
    clients = None
    try:
        port = int(server.stdout.readline())
        clients = subprocess.Popen([*own, "hold", str(port), str(count)], **pipes)  # type: ignore[call-overload]
        assert clients.stdout.readline() == "open\n"

        def ask() -> tuple[float, int, float]:
            server.stdin.write("\n")
            server.stdin.flush()
            cpu, open_now = server.stdout.readline().split()
            return float(cpu), int(open_now), time.monotonic()

        time.sleep(interval)  # until each connection has been pinged once
        before = ask()
        time.sleep(seconds)
        after = ask()
        assert after[1] == count, f"{after[1]} of {count} are open"
        spent, passed = after[0] - before[0], after[2] - before[2]
        pings = count * passed / interval
        print(
            f"{count} idle connections, a ping to each every {interval:g} s: {spent:.2f} s of CPU in {passed:.0f} s, "
            f"which is {100 * spent / passed:.2f} % of one core ({spent / pings * 1e6:.1f} µs for each ping and its pong)"
        )
    finally:
        for each in (clients, server):
            if each is not None:
                each.kill()
                each.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", interval]:
            serve(float(interval))
        case ["hold", port, count]:
            hold(int(port), int(count))
        case given:
            numbers = [float(each) for each in given]
            measure(*[int(numbers[0]) if numbers else 10_000, *(numbers[1:] or [25.0, 60.0])])
