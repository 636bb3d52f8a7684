"""Rooms with permessage-deflate (RFC 7692): ``python -m benchmarks.compression [--members 200] [--seconds 2]``.

Every member offers compression as Chromium does; one message at a time is sent to the room and received by every
member before the next. It prints each server's CPU per delivery, compressed and not, and the bytes that a member gets
for a message.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import selectors
import socket
import time

from benchmarks.servers import SERVERS, Running, Server, build
from odac.wire.frames import TEXT, encode_masked_frame

DEFLATED = (
    Server("odac", "{own}/odac run odac_deflate:app --host 127.0.0.1 --port {port} --log-level warning"),
    Server("ws (Node)", "node ws_deflate.js {port}", note="threshold: 0"),
    Server(
        "python-socketio",
        SERVERS["python-socketio"].command.replace(" --ws-per-message-deflate false", ""),
        room=("sio",),
    ),
    Server("Socket.IO (Node)", "node socketio_deflate.js {port}", room=("sio",), note="threshold: 0"),
)
WORDS = ("the", "room", "message", "user", "name", "text", "sent", "reply", "created", "avatar", "online", "thread")


def text(size: int, number: int) -> str:
    """A message like those of a chat: JSON with words, of about so many bytes, different for each number."""
    chosen = random.Random(number)
    items: list[dict[str, object]] = []
    while len(json.dumps(items)) < size:
        items.append({"id": chosen.randrange(10**6), "text": " ".join(chosen.choices(WORDS, k=8)), "read": False})
    return json.dumps(items, separators=(",", ":"))


class Member:
    """A connection that counts the received text messages and their bytes, without inflating them."""

    def __init__(self, port: int, path: str, compressed: bool) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if compressed else ""
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{offer}\r\n".encode()
        )
        self.data = b""
        while b"\r\n\r\n" not in self.data:
            self.data += self.socket.recv(65536)
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        if (b"permessage-deflate" in head.lower()) is not compressed:
            raise SystemExit(f"compression was {'not ' * compressed}negotiated: {head.decode()}")
        self.messages = self.bytes = 0
        self._count()  # what came with the response's head

    def send(self, message: bytes) -> None:
        """Send a text message, not compressed."""
        self.socket.sendall(encode_masked_frame(TEXT, message, b"mask"))

    def read(self) -> None:
        """Read and count the received messages."""
        self.data += self.socket.recv(262144)
        self._count()

    def _count(self) -> None:
        at = 0
        while len(self.data) - at >= 2:
            length, start = self.data[at + 1] & 127, at + 2
            if length >= 126:
                extended = 2 if length == 126 else 8
                if len(self.data) - start < extended:
                    break
                length = int.from_bytes(self.data[start : start + extended], "big")
                start += extended
            if len(self.data) < start + length:
                break
            if self.data[at] & 15 == TEXT:
                self.messages += 1
                self.bytes += start + length - at
            at = start + length
        self.data = self.data[at:]


def deliveries(running: Running, members: int, size: int, seconds: float, compressed: bool) -> tuple[float, float]:
    """CPU seconds of the server per delivery, and bytes per delivery."""
    is_sio = running.server.room == ("sio",)
    path = "/socket.io/?EIO=4&transport=websocket" if is_sio else "/room"
    everyone = [Member(running.port, path, compressed) for _ in range(members)]
    messages = [text(size, number) for number in range(256)]
    with selectors.DefaultSelector() as selector:
        for each in everyone:
            selector.register(each.socket, selectors.EVENT_READ, each)

        def until(count: int) -> None:
            behind = sum(each.messages < count for each in everyone)
            deadline = time.monotonic() + 60
            while behind and time.monotonic() < deadline:
                for key, _ in selector.select(1):
                    had = key.data.messages
                    key.data.read()
                    behind -= had < count <= key.data.messages
            if behind:
                raise SystemExit(f"{running.server.name}: {behind} members did not get the message")

        if is_sio:
            until(1)  # Engine.IO's opening packet
            for each in everyone:
                each.send(b"40")
            until(2)
            messages = [f'42["room",{message}]' for message in messages]
        seen = everyone[0].messages
        for count in range(5):  # warms up
            everyone[0].send(messages[count].encode())
            until(seen + count + 1)
        seen += 5
        before, bytes_before, end, rounds = running.cpu(), everyone[0].bytes, time.monotonic() + seconds, 0
        while time.monotonic() < end:
            everyone[0].send(messages[rounds % len(messages)].encode())
            rounds += 1
            until(seen + rounds)
        cost = (running.cpu() - before) / rounds / members
        size_each = (everyone[0].bytes - bytes_before) / rounds
    for each in everyone:
        each.socket.close()
    return cost, size_each


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compression", description=__doc__)
    parser.add_argument("--members", type=int, default=200)
    parser.add_argument("--size", type=int, default=1024, help="bytes of a message, about")
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args()
    build()
    os.sched_setaffinity(0, {1})
    print("| server | compressed, µs a delivery | bytes | not compressed, µs | bytes | RSS a member, KiB |")
    print("|---|---:|---:|---:|---:|---:|")
    for number, server in enumerate(DEFLATED):
        with Running(server, 8850 + number) as running:
            plain = deliveries(running, options.members, options.size, options.seconds, False)
            rss = running.rss()
            packed = deliveries(running, options.members, options.size, options.seconds, True)
            grown = (running.rss() - rss) / options.members / 1024
        print(
            f"| {server.name} | {packed[0] * 1e6:.1f} | {packed[1]:.0f} | {plain[0] * 1e6:.1f} | {plain[1]:.0f} |"
            f" {grown:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
