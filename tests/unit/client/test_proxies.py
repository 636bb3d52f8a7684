from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode
from typing import Any

import pytest

import odac
from odac.client.address import Address
from odac.client.errors import HandshakeRefused
from odac.client.proxies import Proxy, chosen_proxy

PLAIN, SECURE = Address.parse("ws://chat.example/x"), Address.parse("wss://chat.example/x")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "ws", "wss", "all", "no"):
        for each in (name, name.upper()):
            monkeypatch.delenv(f"{each}_proxy", raising=False)
            monkeypatch.delenv(f"{each}_PROXY", raising=False)


def test_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_proxy(SECURE, True) is None
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert str(chosen_proxy(SECURE, True)) == "http://proxy.example:3128"
    assert chosen_proxy(PLAIN, True) is None
    monkeypatch.setenv("http_proxy", "plain.example:8080")
    assert str(chosen_proxy(PLAIN, True)) == "http://plain.example:8080"
    monkeypatch.setenv("wss_proxy", "https://first.example")
    assert str(chosen_proxy(SECURE, True)) == "https://first.example:443"
    assert chosen_proxy(SECURE, None) is None
    monkeypatch.setenv("no_proxy", "localhost,chat.example")
    assert chosen_proxy(SECURE, True) is None
    assert str(chosen_proxy(SECURE, "http://named.example:1")) == "http://named.example:1"


@pytest.mark.parametrize(
    "url",
    [
        "socks5://h:1",
        "http://",
        "http://h/path",
        "http://user@h:1",
        "ftp://h",
        "http://h:99999",
        "h:0",
        "http://[::1",
        8080,
    ],
)
def test_what_is_no_proxy_is_refused_at_the_call(url: Any) -> None:
    with pytest.raises(ValueError, match="proxy="):
        odac.connect("ws://chat.example/x", proxy=url)


def test_the_password_is_in_no_text() -> None:
    proxy = Proxy.parse("http://ada:s%40cret@h:1")
    assert "cret" not in f"{proxy} {proxy!r}"
    assert proxy.authorization is not None
    assert b64decode(proxy.authorization.removeprefix("Basic ")) == b"ada:s@cret"


def test_the_token_and_the_connection_go_through_the_proxy() -> None:
    asked: list[tuple[str, str | None]] = []
    got: list[str] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A proxy, and behind its tunnel a server that gives a token and then refuses the handshake."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            sent = [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-authorization:")]
            asked.append((lines[0], sent[0] if sent else None))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            line = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0]
            got.append(line)
            if "token" in line:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"token":"t"}')
            else:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(HandshakeRefused, match="403"):
                await odac.connect("ws://chat.example/x", proxy=f"http://ada:pw@127.0.0.1:{port}")

    asyncio.run(asyncio.wait_for(test(), 30))
    assert got == ["GET /odac/token HTTP/1.1", "GET /x HTTP/1.1"]
    assert asked == [("CONNECT chat.example:80 HTTP/1.1", "Basic YWRhOnB3")] * 2


def test_a_proxy_that_refuses_is_named() -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        writer.close()

    async def test() -> None:
        async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            with pytest.raises(ConnectionError, match=r"the proxy http://127.0.0.1:\d+ refused .*407"):
                await odac.connect("ws://chat.example/x", proxy=f"http://127.0.0.1:{port}", auto_reconnect=False)

    asyncio.run(asyncio.wait_for(test(), 30))
