"""What a call costs beside an echo, and a typed route beside ``json.loads`` and pydantic: ``python -m benchmarks.calls``.

Server CPU for one operation, in microseconds, by interleaved rounds, so that changes of the machine affect all of
them. ``--node`` adds acknowledged events of Socket.IO in Node, whose packages are installed below ``.build``;
``--socketio`` adds those of python-socketio, where it is installed.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import HERE, NODE, build_node
from odac.wire.frames import encode_masked_frame

MOVE = {"to": "e4", "piece": "knight"}
Message = Callable[[int], str]
Reply = Callable[[bytes], str | None]


@dataclass(frozen=True)
class Case:
    """One measured operation.

    Args:
        name: as the table shows it.
        path: of the route.
        message: the text of the n-th operation.
        greeting: texts to send first, and how many messages come before the first answer.
        reply: makes the answer to a call from the server; None for a message that is not a call.
    """

    name: str
    path: str
    message: Message
    greeting: tuple[tuple[str, ...], int] = ((), 0)
    reply: Reply = lambda _: None


def call(name: str) -> Message:
    return lambda number: "\x1e" + json.dumps(["call", number, name, MOVE, 0, 60_000])


def retried(number: int) -> str:
    at = int((time.monotonic() - HELLO[1]) * 1000)
    return "\x1e" + json.dumps(["call", number, "typed", MOVE, at, 60_000, [HELLO[0], 0]])


def odac_reply(message: bytes) -> str | None:
    if not message.startswith(b'\x1e["call"'):
        return None
    _, number, _, arguments, *_ = json.loads(message[1:])
    return "\x1e" + json.dumps(["reply", number, arguments])


def socketio_reply(message: bytes) -> str | None:
    asked = re.fullmatch(rb'42(\d+)\["confirm",(.*)\]', message)
    return None if asked is None else f"43{asked[1].decode()}[{asked[2].decode()}]"


HELLO: tuple[str, float] = ("", 0.0)
"""The value of ``calls`` in the last ``hello``, and the time when it arrived."""

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
    Case("the server's call, asked for by a message", "/asks", lambda _: ECHO, ((), 1), odac_reply),
)
_SOCKETIO = "/socket.io/?EIO=4&transport=websocket"
_CONNECT = (("40",), 2)
SOCKETIO_PYTHON = (
    Case("python-socketio: call, acknowledged", _SOCKETIO, lambda number: f'42{number}["move",{ECHO}]', _CONNECT),
)
SOCKETIO_NODE = (
    Case("Socket.IO: emitWithAck of the client", _SOCKETIO, lambda number: f'42{number}["move",{ECHO}]', _CONNECT),
    Case(
        "Socket.IO: emitWithAck of the server, asked for by an event",
        _SOCKETIO,
        lambda _: f'42["ask",{ECHO}]',
        _CONNECT,
        socketio_reply,
    ),
)


class Client:
    """A connection of the load generator, with minimal work, so that the server is measured."""

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
    """CPU seconds that the threads of a process have used, with a resolution of a nanosecond."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def measure(port: int, pid: int, case: Case, operations: int, window: int) -> float:
    """Microseconds of the server's CPU for one operation."""
    client = Client(port, case)
    before = cpu(pid)
    for start in range(1, operations + 1, window):
        client.send([case.message(number) for number in range(start, start + window)])
        answered = 0
        while answered < window:
            answer = client.receive()
            assert not answer.startswith(b'\x1e["fail"'), (case.name, answer)
            reply = case.reply(answer)
            if reply is not None:
                client.send([reply])
            else:
                answered += 1
    took = cpu(pid) - before
    client.close()
    return took / operations * 1e6


class Peer:
    """A server in a process of its own, on a port that was free a moment ago.

    Args:
        command: with ``{port}`` to fill in.
        cases: what it is measured with.
    """

    def __init__(self, command: list[str], cases: tuple[Case, ...]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.cases = cases
        environment = {**os.environ, "NODE_PATH": str(NODE / "node_modules")}
        filled = [part.format(port=self.port) for part in command]
        self.process = subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

    def wait(self) -> None:
        """Return once it accepts connections."""
        for _ in range(1_500):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.process.args!r} has ended")
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise SystemExit(f"{self.process.args!r} takes no connections")

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--operations", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=8, help="operations in flight; at most 16")
    parser.add_argument("--socketio", action="store_true", help="beside python-socketio")
    parser.add_argument("--node", action="store_true", help="beside Socket.IO in Node")
    options = parser.parse_args()
    python = [sys.executable, "-m"]
    run = [*python, "odac", "run", "benchmarks.calls_app:app", "--port", "{port}", "--log-level", "error"]
    wanted = [(run, CASES)]
    if options.socketio:
        wanted.append(([*python, "uvicorn", "benchmarks.calls_socketio:app", "--port", "{port}"], SOCKETIO_PYTHON))
    if options.node:
        build_node()
        wanted.append((["node", str(HERE / "peers" / "calls_socketio.js"), "{port}"], SOCKETIO_NODE))
    peers: list[Peer] = []
    figures: dict[str, list[float]] = {case.name: [] for _, cases in wanted for case in cases}
    try:
        for command, cases in wanted:
            peers.append(Peer(command, cases))
            peers[-1].wait()
        for round_ in range(options.rounds + 1):
            for peer in peers:
                for case in peer.cases:
                    cost = measure(peer.port, peer.process.pid, case, options.operations, options.window)
                    if round_:  # the first round warms up
                        figures[case.name].append(cost)
    finally:
        for peer in peers:
            peer.end()
    print("| operation | µs of CPU, median | lowest to highest | ratio to the echo, median of rounds |")
    print("|---|---:|---:|---:|")
    for name, costs in figures.items():
        ratios = [cost / echo for cost, echo in zip(costs, figures["echo"], strict=True)]
        print(
            f"| {name} | {statistics.median(costs):.1f} | {min(costs):.1f} to {max(costs):.1f} |"
            f" {statistics.median(ratios):.1f} |"
        )


if __name__ == "__main__":
    main()
