"""Servers in their own processes, whose memory, descriptors and CPU time can be measured."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.hostile.peers import DEADLINE

__all__ = ["KINDS", "ServerProcess", "Stats", "needs_proc", "serving"]

ROOT: Final = Path(__file__).parents[2]
APP: Final = "tests.hostile.site:app"

KINDS: Final[dict[str, list[str]]] = {
    "run": ["-m", "odac", "run", APP, "--port", "0"],
    "direct": ["-m", "uvicorn", APP, "--port", "0", "--ws", "odac.server:WebSocketProtocol", "--no-access-log"],
    "asgi": [
        *("-m", "uvicorn", APP, "--port", "0", "--ws", "websockets-sansio", "--no-access-log"),
        *("--ws-ping-interval", "3600"),
    ],
}
"""The command lines. uvicorn without Odac's class in its ws= option stands for every ASGI server."""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="measures through /proc, which is Linux's"
)


class Stats(NamedTuple):
    """The resources of a server process; see ``site.stats``."""

    rss: int
    cpu: float
    descriptors: int
    tasks: int
    timers: int
    objects: int
    alive: dict[str, int]
    population: int
    clients: int
    rooms: int
    addresses: int
    overflows: int
    dropped: int
    taken: dict[str, int]


class ServerProcess:
    """A server that listens.

    Attributes:
        port: on 127.0.0.1.
        lines: its output so far, stdout and stderr.
    """

    def __init__(
        self,
        kind: str,
        limits: dict[str, Any],
        *,
        host: str = "127.0.0.1",
        arguments: tuple[str, ...] = (),
        files: int | None = None,
    ) -> None:
        environment = {**os.environ, "SITE_LIMITS": json.dumps(limits), "PYTHONUNBUFFERED": "1"}
        self.host = host
        self.lines: list[str] = []
        few = ("prlimit", f"--nofile={files}:{files}") if files is not None else ()
        self._process = subprocess.Popen(
            [*few, sys.executable, *KINDS[kind], "--host", host, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._asking: http.client.HTTPConnection | None = None
        self._listening = threading.Event()
        self.port = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(DEADLINE) or not self.port:
            self._process.kill()
            self._finish()
            raise AssertionError("the server does not start:\n" + self.log)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if not self.port and (found := re.search(rf"http://{re.escape(self.host)}:(\d+)", line)):
                self.port = int(found[1])
                self._listening.set()
        self._listening.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu(self) -> float:
        """CPU seconds so far, in steps of 10 ms, read from the system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def keep_asking(self) -> None:
        """Ask over one connection from now on, which stays open: a server that is full takes no further one."""
        self._asking = http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)

    def ask(self, path: str = "/stats") -> Stats:
        """Have it do something, and say what it holds then."""
        connection = self._asking or http.client.HTTPConnection(self.host, self.port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            return Stats(**json.loads(connection.getresponse().read()))
        finally:
            if connection is not self._asking:
                connection.close()

    def until(self, condition: Callable[[Stats], object], what: str, seconds: float = DEADLINE) -> Stats:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while True:
            stats = self.ask()
            if condition(stats):
                return stats
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}: {stats}")
            time.sleep(0.05)

    def stop(self) -> int:
        """Stop it in an orderly way; return its exit code."""
        if self._asking is not None:
            self._asking.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(DEADLINE + 20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError("the server does not stop:\n" + self.log[-5_000:]) from None
        finally:
            self._finish()
        return code

    def _finish(self) -> None:
        self._process.wait()
        self._reader.join(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def serving(
    kind: str = "run", *arguments: str, tracebacks: bool = False, files: int | None = None, **limits: Any
) -> Iterator[ServerProcess]:
    """Serve ``tests.hostile.site`` in a process of its own; in the end it must live and have logged no traceback.

    Args:
        kind: see ``KINDS``.
        *arguments: of its command line.
        files: how many file descriptors it may have.
        tracebacks: True where the app itself raises, which is logged with its traceback.
        **limits: for ``Limits``; ``rate_limit`` as a pair or None.
    """
    limits.setdefault("ping_interval", 3600.0)  # most peers here answer no ping, and the machine may be slow
    limits.setdefault("close_timeout", 0.5)  # most peers here do not answer a close frame, for which stopping waits
    server = ServerProcess(kind, limits, arguments=arguments, files=files)
    try:
        yield server
        server.ask()  # it serves
    finally:
        code = server.stop()
    assert code in (0, -signal.SIGTERM), server.log[-5_000:]  # uvicorn ends by the signal that stopped it
    if not tracebacks:
        assert "Traceback" not in server.log, server.log[-10_000:]
