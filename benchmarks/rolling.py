"""How long each client is disconnected while two servers behind nginx are replaced: ``python -m benchmarks.rolling``.

A thousand Python clients of a guarded route connect through nginx to two processes that share a Redis. Each process is
then stopped and started again, one after the other: with SIGTERM (a deployment), and in a second run with SIGKILL (a
crash). It prints each client's gap: from the end of its connection to the first message over the next one.

With ``--workers N`` there is one server of so many processes instead, which SIGHUP replaces one by one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

import odac

APP = """
from odac import Odac
app = Odac("a secret for the benchmark, 32 bytes or more")
@app.route.ws("/talk")
def talk(odac):
    odac.ws.send("here")
    odac.ws.on("message", odac.ws.send)
"""

NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
    upstream odac {{
        least_conn; zone odac 64k; keepalive 16;
        {servers}
    }}
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://odac; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host; proxy_connect_timeout 1s;
            proxy_next_upstream error timeout http_503; proxy_next_upstream_tries 2;
        }}
    }}
}}
"""
"""The upstream and the location of examples/deployment/nginx.conf, without TLS."""


def free_port() -> int:
    """A port that no program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until something listens on a port."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on {port}")


@contextlib.contextmanager
def running(*command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program, from its start to its end."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


class Site:
    """Servers behind nginx, with a broker.

    Args:
        folder: for their files.
        workers: processes of the one server; 0 for two servers of one process each.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.port, self.redis = free_port(), free_port()
        self.ports = [free_port() for _ in range(1 if workers else 2)]
        self._options = ["--workers", str(workers)] if workers else []
        self._stack = contextlib.ExitStack()
        self._servers: list[subprocess.Popen[bytes]] = []
        (folder / "app.py").write_text(APP)
        (folder / "nginx.conf").write_text(
            NGINX.format(
                folder=folder,
                servers=" ".join(f"server 127.0.0.1:{port} max_fails=0;" for port in self.ports),
                port=self.port,
            )
        )

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "odac", "run", "app:app", "--port", str(port)]
        command += ["--broker", f"redis://127.0.0.1:{self.redis}", *self._options]
        process = self._stack.enter_context(running(*command, folder=self.folder))
        wait_for(port)
        return process

    def __enter__(self) -> Site:
        redis = ("redis-server", "--port", str(self.redis), "--save", "", "--bind", "127.0.0.1")
        self._stack.enter_context(running(*redis, folder=self.folder))
        wait_for(self.redis)
        self._servers = [self._start(port) for port in self.ports]
        nginx = ("/usr/sbin/nginx", "-e", f"{self.folder}/error.log", "-c", f"{self.folder}/nginx.conf")
        self._stack.enter_context(running(*nginx, folder=self.folder))
        wait_for(self.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def replace(self, index: int, number: signal.Signals) -> None:
        """Stop one server, and start it again; with SIGHUP, wait until all of its workers are new."""
        if number == signal.SIGHUP:
            self._servers[index].send_signal(number)
            end = time.monotonic() + 120
            while b"all workers are new" not in (self.folder / "log").read_bytes():
                if time.monotonic() > end:
                    raise RuntimeError("the workers are not replaced")
                time.sleep(0.05)
            return
        self._servers[index].send_signal(number)
        self._servers[index].wait(60)
        self._servers[index] = self._start(self.ports[index])


class Gaps:
    """When each client's connections ended, and when the next one had its first message."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.away = 0

    def watch(self, client: Any) -> None:
        """Measure one client from now on."""
        ended: list[float] = []

        def lost() -> None:
            if not ended:
                ended.append(time.monotonic())
                self.away += 1

        def heard() -> None:
            if ended:
                self.seconds.append(time.monotonic() - ended.pop())
                self.away -= 1

        client.on("reconnecting", lambda attempt, seconds: lost())
        client.on("message", lambda data: heard())


async def measure(site: Site, clients: int, number: signal.Signals) -> list[float]:
    """The gaps of all clients over the replacement of both servers."""
    gaps = Gaps()
    connections = []
    for _ in range(clients):
        client = odac.connect(f"ws://127.0.0.1:{site.port}/talk", max_reconnect_attempts=None)
        gaps.watch(client)
        await client
        connections.append(client)
    for index in range(len(site.ports)):
        await asyncio.to_thread(site.replace, index, number)
        end = time.monotonic() + 60
        while gaps.away and time.monotonic() < end:
            await asyncio.sleep(0.05)
        await asyncio.sleep(1)
    left = gaps.away
    for client in connections:
        client.close()
    await asyncio.sleep(0.5)
    if left:
        print(f"{left} clients did not come back", file=sys.stderr)
    return gaps.seconds


def main() -> None:
    """Measure both ways, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=0, help="of one server, replaced with SIGHUP")
    arguments = parser.parse_args()
    clients, workers = arguments.clients, arguments.workers
    print("| stopped with | gaps | median | 95 % | 99 % | longest | under 1 s |\n|---|---|---|---|---|---|---|")
    for number in (signal.SIGHUP,) if workers else (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory() as folder, Site(Path(folder), workers) as site:
            gaps = asyncio.run(measure(site, clients, number))
        cut = quantiles(gaps, n=100)
        under = 100 * sum(gap < 1 for gap in gaps) / len(gaps)
        print(
            f"| {number.name} | {len(gaps)} | {cut[49]:.2f} s | {cut[94]:.2f} s | {cut[98]:.2f} s | {max(gaps):.2f} s | "
            f"{under:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
