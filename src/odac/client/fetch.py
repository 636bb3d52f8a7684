"""One HTTP GET over asyncio streams: all that the client needs of HTTP besides the handshake."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import httptools

from odac.client.address import Address
from odac.client.proxies import Proxy

__all__ = ["Answer", "get"]

MAX_BODY: Final = 64 * 1024
"""Bytes of an answer; a token is 100."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server answered.

    Args:
        status: the HTTP status.
        headers: names in lower case, and values.
        body: the bytes of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of one header, named in lower case."""
        return [value for key, value in self.headers if key == name]


class _Reader:
    """httptools' callbacks."""

    __slots__ = ("body", "complete", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


async def get(
    address: Address,
    target: str,
    headers: Iterable[tuple[str, str]],
    ssl: ssl_module.SSLContext | None,
    proxy: Proxy | None = None,
) -> Answer:
    """Ask the server of ``address`` for ``target``. Redirects are not followed; cancelling closes the socket.

    Args:
        address: scheme, host and port.
        target: path and query of the request.
        headers: further headers.
        ssl: the TLS context of a secure address, None for the default one.
        proxy: which is asked for a tunnel to ``address``.

    Raises:
        OSError: no connection, or an answer that is no HTTP answer of at most :data:`MAX_BODY` bytes.
    """
    context = (ssl or ssl_module.create_default_context()) if address.secure else None
    reader, writer = await _connected(address, context, proxy)
    try:
        lines = [
            f"GET {target} HTTP/1.1",
            f"Host: {address.authority}",
            "Connection: close",
            "Accept: application/json",
        ]
        lines += [f"{name}: {value}" for name, value in headers]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        return await _read(reader)
    finally:
        writer.transport.abort()  # nothing more is wanted of it; a polite close would wait for the peer


async def _connected(
    address: Address, context: ssl_module.SSLContext | None, proxy: Proxy | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if proxy is None:
        return await asyncio.open_connection(address.host, address.port, ssl=context)
    outer = ssl_module.create_default_context() if proxy.secure else None
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=outer)
    try:
        host = f"[{address.host}]" if ":" in address.host else address.host
        lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ConnectionError(f"the proxy {proxy} did not answer as an HTTP proxy does") from None
        status = head.partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise ConnectionError(f"the proxy {proxy} refused the way to {address.authority}: {status[:100]}")
        if context is not None:
            await writer.start_tls(context, server_hostname=address.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _read(stream: asyncio.StreamReader) -> Answer:
    answer = _Reader()
    parser = httptools.HttpResponseParser(answer)
    size = 0
    while not answer.complete:
        data = await stream.read(16 * 1024)
        size += len(data)
        if size > 2 * MAX_BODY or len(answer.body) > MAX_BODY:
            raise ConnectionError(f"the HTTP answer has more than {MAX_BODY} bytes")
        if not data:
            # Without Content-Length and chunks the end of the connection is the end of the body (RFC 9112 section 6.3).
            names = {name for name, _ in answer.headers}
            if answer.headers and not names & {"content-length", "transfer-encoding"}:
                break
            raise ConnectionError("the connection was closed before the HTTP answer was complete")
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"the answer is not HTTP: {error}") from None
    return Answer(parser.get_status_code(), tuple(answer.headers), bytes(answer.body))
