"""What a call costs beside an echo, and a typed route beside ``json.loads`` and pydantic: ``python -m benchmarks.calls``.

Server CPU for one operation, in microseconds, by interleaved rounds, so that a machine that drifts drifts for all of them. With
``--socketio`` beside an ``emit`` with acknowledgement of python-socketio, where it is installed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from odac.wire.frames import encode_masked_frame

MOVE = {"to": "e4", "piece": "knight"}
TICKS = os.sysconf("SC_CLK_TCK")
Message = Callable[[int], str]


@dataclass(frozen=True)
class Case:
    """One thing that is measured.

    Args:
        name: as the table shows it.
        path: of the route.
        message: the text of the n-th operation.
        greeting: texts to send first, and how many messages come before the first answer.
    """

    name: str
    path: str
    message: Message
    greeting: tuple[tuple[str, ...], int] = ((), 0)


def call(name: str) -> Message:
    return lambda number: "\x1e" + json.dumps(["call", number, name, MOVE, 0, 60_000])


def retried(number: int) -> str:
    at = int((time.monotonic() - HELLO[1]) * 1000)
    return "\x1e" + json.dumps(["call", number, "typed", MOVE, at, 60_000, [HELLO[0], 0]])


HELLO: tuple[str, float] = ("", 0.0)
"""What the last hello named ``calls``, and when it came."""

ECHO = json.dumps(MOVE)
CASES = (
    Case("echo", "/echo", lambda _: ECHO, ((), 1)),
    Case("json.loads, echo", "/loads", lambda _: ECHO, ((), 1)),
    Case("msgspec Struct, on(Type)", "/struct", lambda _: ECHO, ((), 1)),
    Case("pydantic model, on(Type)", "/pydantic", lambda _: ECHO, ((), 1)),
    Case("call, untyped", "/calls", call("plain"), ((), 1)),
    Case("call, typed", "/calls", call("typed"), ((), 1)),
    Case("call, typed and async", "/calls", call("async"), ((), 1)),
    Case("call, typed, with retry", "/calls", retried, ((), 1)),
)
SOCKETIO = Case(
    "python-socketio, acknowledged",
    "/socket.io/?EIO=4&transport=websocket",
    lambda number: f'42{number}["move",{ECHO}]',
    (("40",), 2),
)


class Client:
    """A connection of the load generator: as little as can be, so that the server is what is measured."""

    def __init__(self, port: int, case: Case) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        protocol = "" if "socket.io" in case.path else "Sec-WebSocket-Protocol: odac.v1\r\n"
        self._socket.sendall(
            f"GET {case.path} HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"{protocol}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        self._buffer = self._buffer.partition(b"\r\n\r\n")[2]
        texts, expected = case.greeting
        for text in texts:
            self.send([text])
        for _ in range(expected):
            first = self.receive()
            if first.startswith(b'\x1e["hello"'):
                global HELLO
                HELLO = (json.loads(first[1:])[1].get("calls", ""), time.monotonic())

    def _fill(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the server has closed"
        self._buffer += data

    def send(self, texts: list[str]) -> None:
        self._socket.sendall(b"".join(encode_masked_frame(1, text.encode(), b"mask") for text in texts))

    def receive(self) -> bytes:
        while True:
            if len(self._buffer) >= 4:
                length, start = self._buffer[1], 2
                if length == 126:
                    length, start = int.from_bytes(self._buffer[2:4], "big"), 4
                if len(self._buffer) >= start + length:
                    message, self._buffer = self._buffer[start : start + length], self._buffer[start + length :]
                    return message
            self._fill()

    def close(self) -> None:
        self._socket.close()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has taken."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - what is read there is no file
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(port: int, pid: int, case: Case, operations: int, window: int) -> float:
    """Microseconds of the server's CPU for one operation."""
    client = Client(port, case)
    before = cpu(pid)
    for start in range(1, operations + 1, window):
        client.send([case.message(number) for number in range(start, start + window)])
        for _ in range(window):
            answer = client.receive()
            assert not answer.startswith(b'\x1e["fail"'), (case.name, answer)
    took = cpu(pid) - before
    client.close()
    return took / operations * 1e6


def serve(arguments: list[str], port: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process
    raise SystemExit("the server did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=8, help="operations in flight; at most 16")
    parser.add_argument("--socketio", action="store_true")
    options = parser.parse_args()
    odac = ["odac", "run", "benchmarks.calls_app:app", "--port", "8790", "--log-level", "error"]
    servers = {8790: serve(odac, 8790)}
    cases = [(8790, case) for case in CASES]
    if options.socketio:
        servers[8791] = serve(["uvicorn", "benchmarks.calls_socketio:app", "--port", "8791"], 8791)
        cases.append((8791, SOCKETIO))
    try:
        figures: dict[str, list[float]] = {case.name: [] for _, case in cases}
        for round_ in range(options.rounds + 1):
            for port, case in cases:
                cost = measure(port, servers[port].pid, case, options.operations, options.window)
                if round_:  # the first round warms up
                    figures[case.name].append(cost)
    finally:
        for process in servers.values():
            process.terminate()
            process.wait(20)
    echo = statistics.median(figures["echo"])
    print(f"{'':32}  µs of CPU   of an echo   spread")
    for name, costs in figures.items():
        median = statistics.median(costs)
        print(f"{name:32}  {median:9.2f}  {median / echo:10.2f}  {min(costs):.2f} to {max(costs):.2f}")


if __name__ == "__main__":
    main()
