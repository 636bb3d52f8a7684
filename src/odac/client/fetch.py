"""An HTTP GET over asyncio streams, for the token endpoint."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import httptools

from odac.client.address import Address
from odac.client.proxies import Proxy

__all__ = ["Response", "get"]

MAX_BODY: Final = 64 * 1024
"""The largest body of an answer, in bytes; that of a token has about 120."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer of an HTTP server.

    Args:
        status: the HTTP status.
        headers: names in lower case, and values.
        body: the bytes of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """All values of a header.

        Args:
            name: in lower case.
        """
        return [value for key, value in self.headers if key == name]


class _Reader:
    """The callbacks of httptools' parser."""

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
) -> Response:
    """Request ``target`` from the server of ``address``. Redirects are not followed; cancelling closes the socket.

    Args:
        address: scheme, host and port.
        target: path and query of the request.
        headers: further headers.
        ssl: the TLS context of a secure address, None for the default one.
        proxy: opens a tunnel to ``address``; None for a direct connection.

    Raises:
        OSError: there is no connection, or the answer is not HTTP, or its body is larger than :data:`MAX_BODY`.
    """
    context = (ssl or ssl_module.create_default_context()) if address.secure else None
    reader, writer = await _connect(address, context, proxy)
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
        writer.transport.abort()  # a graceful close would wait for the peer


async def _connect(
    address: Address, context: ssl_module.SSLContext | None, proxy: Proxy | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if proxy is None:
        return await asyncio.open_connection(address.host, address.port, ssl=context)
    proxy_context = ssl_module.create_default_context() if proxy.secure else None
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port, ssl=proxy_context)
    try:
        host = f"[{address.host}]" if ":" in address.host else address.host
        lines = [f"CONNECT {host}:{address.port} HTTP/1.1", f"Host: {host}:{address.port}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise ConnectionError(f"{proxy} did not answer as an HTTP proxy does: see proxy=") from None
        status = head.partition(b"\r\n")[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise ConnectionError(f"the proxy {proxy} refused a tunnel to {address.authority}: {status[:100]}")
        if context is not None:
            await writer.start_tls(context, server_hostname=address.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


async def _read(stream: asyncio.StreamReader) -> Response:
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
    return Response(parser.get_status_code(), tuple(answer.headers), bytes(answer.body))
