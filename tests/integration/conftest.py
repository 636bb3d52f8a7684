"""Servers for the tests: every lane on every event loop, one server for each module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.brokers import servers as brokers
from tests.integration.harness import BYSTANDER, DEADLINE, Lane, Loop, Probe, Server

LANES: list[tuple[Lane, Loop]] = [
    ("direct", "asyncio"),
    ("direct", "uvloop"),
    ("asgi", "asyncio"),
    ("asgi", "uvloop"),
]


PLAIN: tuple[str, Loop] = ("plain", "uvloop")
"""uvicorn without options: the app puts the direct lane there by itself."""

_PLAIN_TOO = {f"tests.integration.{name}" for name in ("test_control", "test_messages", "test_rooms")}
"""Modules whose tests run there as well: messages both ways, rooms, control messages, drain."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module
    if "server" in metafunc.fixturenames and hasattr(module, "build") and not hasattr(module, "server"):
        lanes = [*LANES, PLAIN] if module.__name__ in _PLAIN_TOO else LANES
        metafunc.parametrize("server", lanes, indirect=True, scope="module", ids=map("-".join, lanes))


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """The app that the test's module builds, over one lane and one event loop.

    The module has ``build(probe)``, which returns the app.
    """
    lane, loop = request.param
    probe, plain = Probe(), lane == PLAIN[0]
    with Server(
        request.module.build(probe), lane="direct" if plain else lane, loop=loop, probe=probe, plain=plain
    ) as running:
        yield running


@pytest.fixture
def probe(server: Server) -> Iterator[Probe]:
    """Events that the handlers report during this test. No connection of the test may be left afterwards."""
    server.probe.clear()
    yield server.probe
    server.wait_until_empty()


@pytest.fixture
def bystander(server: Server, probe: Probe) -> Iterator[None]:
    """Another connection of the same app, which the test must not affect: it is checked before and after."""
    with server.connect(BYSTANDER) as client:
        client.send("before")
        assert client.recv(DEADLINE) == "before"
        yield
        client.send("after")
        assert client.recv(DEADLINE) == "after"


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    """Every test of a module with its own server uses the probe, and so waits until its connections have ended."""
    if "server" in request.fixturenames and hasattr(request.module, "build"):
        request.getfixturevalue("probe")


@pytest.fixture(scope="session")
def short_directory() -> Iterator[Path]:
    """A directory with a name short enough for Unix sockets, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="odac-test-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def servers(short_directory: Path) -> Iterator[Callable[[str], brokers.Server]]:
    running: dict[str, brokers.Server] = {}

    def get(name: str) -> brokers.Server:
        if name not in running:
            server = brokers.SERVERS[name](short_directory / name)
            server.start()
            running[name] = server
        return running[name]

    yield get
    for server in running.values():
        server.stop()
