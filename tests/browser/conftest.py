"""Chromium, and a server in its own process that can be killed and started again on its port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.integration.brokers.servers import free_port

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


WHOLE = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HEADLESS = ("chromium-headless-shell", "chrome-headless-shell")
"""The same engine without the browser around it, which uses about half as much CPU."""


def find_chromium(*, whole: bool = False) -> str:
    """The browser's path; without one the test is skipped, and fails in CI.

    Args:
        whole: whether the headless shell will not do.
    """
    for name in WHOLE if whole else HEADLESS + WHOLE:
        path = shutil.which(name)
        if path:
            return path
    assert os.environ.get("CI") != "true", "Chromium is missing, and CI leaves nothing out"
    pytest.skip("Chromium is not installed")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser a module: while it is open, Playwright's event loop counts as running in this thread."""
    yield from launch(find_chromium())


@pytest.fixture(scope="module")
def whole_chromium() -> Iterator[Browser]:
    """With what the headless shell leaves out: the life of tabs, and the back/forward cache."""
    yield from launch(find_chromium(whole=True))


def launch(path: str) -> Iterator[Browser]:
    """Run a browser until the generator is closed."""
    expect.set_options(timeout=30_000)  # a busy machine's browser takes its time
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=FLAGS,
            # Browsers have this cache (back/forward); Playwright turns it off.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


class ServerProcess:
    """``odac run`` on a port of its own.

    Args:
        app: ``module:app``, importable from the project's root.
        environment: variables to set.
        arguments: further ones for ``odac run``.
    """

    def __init__(self, app: str, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "odac", "run", app, "--port", str(self.port)]
        self._command += ["--log-level", "warning", *arguments]
        self._environment = {
            **os.environ,
            "ODAC_SECRET": "a secret that outlives the restart of the server",
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, deadline: float = 60) -> None:
        """Start it, and return when it accepts connections."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=self._environment)
        end = time.monotonic() + deadline
        while True:
            assert self._process.poll() is None, "the server ended by itself"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert time.monotonic() < end, f"the server did not accept connections within {deadline} s"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._end(signal.SIGKILL)

    def kill_workers(self) -> None:
        """Kill its worker processes with SIGKILL; the supervisor starts others."""
        assert self._process is not None
        tasks = Path(f"/proc/{self._process.pid}/task")
        children = [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
        assert children
        for pid in children:
            os.kill(int(pid), signal.SIGKILL)

    def stop(self) -> None:
        """Stop it with a signal, as an operator does."""
        self._end(signal.SIGTERM)

    def start_again(self) -> None:
        """Start it if a test has ended it, or if it has ended by itself."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(timeout=20)
            finally:
                self._process.kill()
                self._process.wait()
            self._process = None


@pytest.fixture(scope="module")
def start_server() -> Iterator[Callable[..., ServerProcess]]:
    """Start servers that end with the module: ``start_server("examples.chat.app:app")``."""
    started: list[ServerProcess] = []

    def start(app: str, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()) -> ServerProcess:
        server = ServerProcess(app, environment, arguments)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
