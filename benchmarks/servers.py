"""The servers that are compared, and how each is started; all settings that are not defaults are listed here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from odac.security.secret import Secrets
from odac.security.session import Sessions
from odac.security.token import Tokens

SECRET = "a secret for the benchmark, 32 bytes or more"

HERE = Path(__file__).parent
BUILD = HERE.parent / ".build" / "bench"
PYTHON = BUILD / "venv" / "bin"
NODE = BUILD / "node"

# All Python servers: uvloop, one process, no access log (Granian and uvicorn write one line a connection otherwise), a
# backlog of 4,096 so that 1,000 clients can connect at once. No compression anywhere.
UVICORN = (
    "{python}/uvicorn --host 127.0.0.1 --port {port} --no-access-log --log-level warning --loop uvloop --backlog 4096 "
    "--ws-per-message-deflate false"
)


@dataclass(frozen=True)
class Server:
    """One server to compare.

    Args:
        name: as the tables show it.
        command: with ``{port}``, ``{python}`` (a venv's bin) and ``{build}`` to fill in; run in ``benchmarks/peers``.
        echo: further arguments of the load generator for the echo loads.
        room: the same for the room loads.
        guarded: further arguments for handshakes with all gates, made anew each time because tokens expire.
        note: what is set other than by default, and why.
        patience: a slow server is loaded so many times as long: a message to a room takes it longer than the
            others' rounds.
    """

    name: str
    command: str
    echo: tuple[str, ...] = ("--path", "/")
    room: tuple[str, ...] = ("--path", "/room")
    guarded: Callable[[], tuple[str, ...]] | None = None
    note: str = ""
    patience: float = 1

    def where(self, path: str) -> tuple[str, ...]:
        """The arguments of the load generator for ``echo``, ``room`` or ``guarded``."""
        if path == "guarded" and self.guarded is not None:
            return self.guarded()
        return self.room if path == "room" else self.echo


def _credentials() -> tuple[str, ...]:
    """A session's cookie and a token for it, as the app in ``peers/odac_.py`` makes them."""
    secrets = Secrets(SECRET)
    sessions = Sessions(secrets)
    session = sessions.create()
    token = Tokens(secrets).issue(session.id)
    cookie = f"{sessions.find({}, False).name}={sessions.encode(session)}"
    return ("--path", "/guarded", "--proto", f"odac.v1, odac-token-{token}", "--cookie", cookie)


_TEXT = "x" * 52
_SOCKET_IO = ("--path", "/socket.io/?EIO=4&transport=websocket", "--hello", "40", "--ready", "40{", "--match", "42")
_SOCKET_IO_ECHO = (*_SOCKET_IO, "--msg", f'42["echo","{_TEXT}"]')
_SOCKET_IO_ROOM = (*_SOCKET_IO, "--msg", f'42["room","{_TEXT}"]')

_ALL = (
    Server(
        "odac",
        "{own}/odac run odac_:app --host 127.0.0.1 --port {port} --log-level warning",
        guarded=_credentials,
        note="defaults; the routes lift the rate limit",
    ),
    Server(
        "odac (plain uvicorn)",
        UVICORN.replace("{python}", "{own}") + " odac_:app",
        guarded=_credentials,
        note="the same app under uvicorn, which was not told of Odac's protocol class",
    ),
    Server(
        "odac (plain ASGI)",
        UVICORN.replace("{python}", "{own}") + " --ws websockets-sansio odac_:app",
        guarded=_credentials,
        note="the same app under uvicorn with uvicorn's own protocol class",
    ),
    Server(
        "C loop",
        "{build}/limit {port}",
        note="one epoll loop with raw recv and send: no JSON, no checks, no rooms; the limit of what a process can do",
    ),
    Server("picows", "{python}/python picows_.py {port}", note="Cython, on uvloop; orjson"),
    Server(
        "uWebSockets",
        "{build}/uws {port}",
        note="C++, where $UWEBSOCKETS names benchmarks/peers/uws.cpp compiled with it; no JSON",
    ),
    Server("websockets", "{python}/python websockets_.py {port}", note="compression=None; its broadcast()"),
    Server("aiohttp", "{python}/python aiohttp_.py {port}", note="compress=False"),
    Server("Starlette on uvicorn", UVICORN + " starlette_:app", note="uvicorn's default WebSocket implementation"),
    Server(
        "Starlette on Granian",
        "{python}/granian --interface asgi --host 127.0.0.1 --port {port} --no-access-log --log-level warning --loop uvloop --backlog 4096 starlette_:app",
        patience=3,
    ),
    Server(
        "python-socketio",
        UVICORN + " socketio_:app",
        echo=_SOCKET_IO_ECHO,
        room=_SOCKET_IO_ROOM,
        note="AsyncServer on uvicorn, WebSocket transport only",
        patience=5,
    ),
    Server(
        "Django Channels",
        UVICORN + " channels_:app",
        note="InMemoryChannelLayer with capacity 10,000 (at 100 it drops messages)",
        patience=5,
    ),
    Server("ws (Node)", "node ws_.js {port}"),
    Server(
        "Socket.IO (Node)",
        "node socketio_.js {port}",
        echo=_SOCKET_IO_ECHO,
        room=_SOCKET_IO_ROOM,
        note="WebSocket transport only",
    ),
)
SERVERS = {server.name: server for server in _ALL}


def build() -> None:
    """Compile the load generator and the C loop, and install the peers below ``.build``."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("wsload", "limit"):
        subprocess.run(["cc", "-O2", "-w", "-o", BUILD / name, HERE / "load" / f"{name}.c"], check=True)
    if os.environ.get("UWEBSOCKETS"):
        shutil.copy2(os.environ["UWEBSOCKETS"], BUILD / "uws")
    if not (PYTHON / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", BUILD / "venv"], check=True)
    packages = "picows websockets uvicorn uvloop httptools granian aiohttp python-socketio channels channels_redis starlette orjson"
    subprocess.run([PYTHON / "pip", "install", "--quiet", *packages.split()], check=True)
    build_node()


def build_node() -> None:
    """Install the packages of the peers in Node, if npm is available and they are not installed."""
    if shutil.which("npm") and not (NODE / "node_modules" / "@socket.io" / "redis-adapter").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text('{"private": true}')
        names = ["ws", "socket.io", "@socket.io/redis-adapter", "redis"]
        subprocess.run(["npm", "install", "--silent", "--no-package-lock", *names], cwd=NODE, check=True)


def available() -> list[str]:
    """The names of the servers that this machine can run."""
    missing = {"(Node)": NODE / "node_modules" / "ws", "uWebSockets": BUILD / "uws"}
    return [name for name in SERVERS if all(part not in name or there.exists() for part, there in missing.items())]


class Running:
    """A server process on core 0, with its children, from ``with`` to its end.

    Args:
        server: what to start.
        port: where it listens.
        environment: added to this process's own.
    """

    def __init__(self, server: Server, port: int, environment: dict[str, str] | None = None) -> None:
        self.server = server
        self.port = port
        own = Path(sys.executable).parent
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            raise SystemExit(f"another server listens on port {port}, perhaps one of an earlier run: end it first")
        command = server.command.format(port=port, python=PYTHON, build=BUILD, own=own)
        self._log = (BUILD / f"server-{port}.log").open("w+")
        # The system ends it with this process, even if this one is killed: it has a process group of its own.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", "0", *command.split()],
            cwd=HERE / "peers",
            env={**os.environ, "NODE_PATH": str(NODE / "node_modules"), **(environment or {})},
            start_new_session=True,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Running:
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        for _ in range(300):
            if self._process.poll() is not None:
                self._log.seek(0)
                raise SystemExit(f"{self.server.name} ended at start:\n{self._log.read()[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.server.name} does not listen")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, how)
            except ProcessLookupError:
                break
            try:
                self._process.wait(3)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()
        self._log.close()

    def _stats(self) -> list[list[str]]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[2]) == self._process.pid:
                    found.append([entry.name, *fields])
        return found

    def pids(self) -> list[str]:
        """The ids of all the server's processes."""
        return [pid for pid, *_ in self._stats()]

    def cpu(self) -> float:
        """CPU seconds, user and system, of all the server's processes so far."""
        total = 0
        for pid, *_ in self._stats():
            try:
                # In nanoseconds, where utime and stime of stat count in steps of 10 ms.
                for task in (Path("/proc") / pid / "task").iterdir():
                    total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
        return total / 1e9

    def rss(self) -> int:
        """Resident bytes of all the server's processes."""
        return sum(int(fields[22]) for fields in self._stats()) * 4096
