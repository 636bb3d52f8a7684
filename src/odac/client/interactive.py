"""``odac connect URL``: send lines to a server, and print its messages."""

from __future__ import annotations

import asyncio
import os
import ssl as ssl_module
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, TextIO

import msgspec

from odac.client.connection import ClientConnection
from odac.client.errors import HandshakeRefused
from odac.close_codes import CloseCode
from odac.errors import Disconnected
from odac.notices import harmless

__all__ = ["main"]

_PRINTED_BYTES: Final = 32


def main(
    url: str,
    *,
    token: bool = True,
    reconnect: bool = True,
    headers: Mapping[str, str] | None = None,
    cookies: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    prefix: str = "/odac",
    ssl: ssl_module.SSLContext | None = None,
    proxy: str | bool | None = True,
    wait: float = 0.0,
    stdin: int | None = None,
    stdout: TextIO | None = None,
) -> int:
    """Connect, send each line of the input, and print the messages that arrive, until the input ends, Ctrl-C is pressed
    or the connection has ended for good.

    A line is sent as it is: the server takes it as JSON if it is JSON, and as text otherwise.

    Args:
        url: ``ws://`` or ``wss://``; ``http://`` and ``https://`` are replaced by these.
        token: whether to send a token.
        reconnect: whether to reconnect when the connection is lost. The first connection is tried once.
        headers: further headers of the handshake.
        cookies: cookies of the handshake.
        subprotocols: what to offer besides Odac's own.
        prefix: where the server keeps its token endpoint.
        ssl: the TLS context for ``wss://``.
        proxy: the URL of a forward proxy, True for the environment's, None for none.
        wait: seconds to stay connected after the end of the input, for answers to lines from a pipe.
        stdin: the file descriptor to read lines from, the process's standard input by default.
        stdout: where to print.

    Returns:
        the exit status: 0 after a normal end, 1 if the connection could not be made or ended otherwise, 2 for a URL or
        an option that cannot work, or if standard input or output is closed.
    """
    out = stdout or sys.stdout
    if out is None:
        return 2  # the output is closed, so nothing can be printed
    output = _Output(out)
    if stdin is None and sys.stdin is None:
        output.line("!", "the standard input is closed, and lines to send are read from it: use </dev/null for none")
        return 2
    for plain, real in (("http://", "ws://"), ("https://", "wss://")):
        if url.lower().startswith(plain):
            url = real + url[len(plain) :]
    try:
        ws = ClientConnection(
            url,
            token=token,
            auto_reconnect=reconnect,
            headers=headers,
            cookies=cookies,
            subprotocols=subprotocols,
            prefix=prefix,
            ssl=ssl,
            proxy=proxy,
        )
    except ValueError as error:
        output.line("!", str(error))
        return 2
    try:
        return asyncio.run(_Client(ws, url, output, sys.stdin.fileno() if stdin is None else stdin, wait).run())
    except KeyboardInterrupt:
        return 0


class _Output:
    """Prints lines: the time, an arrow, and text with its control characters escaped, for the terminal."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.is_closed = False  # the process that reads the output has ended: `odac connect … | head`

    def line(self, arrow: str, text: str) -> None:
        if self.is_closed:
            return
        try:
            self._out.write(f"{time.strftime('%H:%M:%S')} {arrow} {harmless(text)}\n")
            self._out.flush()
        except BrokenPipeError:
            self.is_closed = True
            # Python would report the error again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())


class _Client:
    """One run of the interactive client."""

    def __init__(self, ws: ClientConnection, url: str, output: _Output, stdin: int, wait: float) -> None:
        self._ws = ws
        self._url = url.partition("?")[0]
        self._output = output
        self._stdin = stdin
        self._wait = wait
        self._opened = False
        self._error: Exception = Disconnected()
        self._failed = asyncio.Event()  # the first connection could not be made
        ws.on("open", self._on_open).on("close", self._on_close)
        ws.on("error", self._on_error).on("reconnecting", self._on_reconnecting)

    async def run(self) -> int:
        opening = asyncio.ensure_future(self._ws)
        failing = asyncio.ensure_future(self._failed.wait())
        try:
            await asyncio.wait([opening, failing], return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and (error := opening.exception()) is not None and isinstance(error, Exception):
                self._error = error
            if not self._opened:
                self._output.line("!", _describe_error(self._error, self._url))
                return 1
            return await self._converse()
        finally:
            for task in (opening, failing):
                task.cancel()
            await asyncio.wait([opening, failing])
            await self._ws.close()

    async def _converse(self) -> int:
        printing = asyncio.ensure_future(self._print_messages())
        sending = asyncio.ensure_future(self._send_lines())
        try:
            await asyncio.wait([printing, sending], return_when=asyncio.FIRST_COMPLETED)
            if printing.done():
                return 0 if self._ws.close_code == CloseCode.NORMAL or self._output.is_closed else 1
            await asyncio.wait([printing], timeout=self._wait)
            await self._ws.close()
            await printing
            return 0
        finally:
            sending.cancel()
            await self._ws.close()
            await asyncio.wait([printing, sending])

    async def _print_messages(self) -> None:
        async for data in self._ws:
            self._output.line("←", _printable(data))
            if self._output.is_closed:
                return

    async def _send_lines(self) -> None:
        echo = not os.isatty(self._stdin)  # a terminal echoes what is typed
        async for line in _lines(self._stdin):
            text = line.decode(errors="replace")
            if not text.strip():
                continue
            if echo:
                self._output.line("→", text)
            await self._ws.send(text)

    # Events

    def _on_open(self) -> None:
        self._opened = True
        identity = f" as {self._ws.id}" if self._ws.id else ""
        self._output.line("·", f"connected to {self._url}{identity}; a line is a message, Ctrl-D ends")

    def _on_close(self, code: int, reason: str) -> None:
        if self._opened:
            self._output.line("·", f"closed with {_describe_close(code, reason)}")
        elif isinstance(self._error, Disconnected):
            self._error = Disconnected(code, reason)

    def _on_error(self, error: Exception) -> None:
        if self._opened:
            self._output.line("!", _describe_error(error, self._url))
        else:
            self._error = error

    def _on_reconnecting(self, attempt: int, seconds: float) -> None:
        if self._opened:
            self._output.line("·", f"connecting again in {seconds:.1f} s, attempt {attempt}")
        elif seconds > 0:  # at 0 it is the retry with a fresh token, which is part of the first attempt
            self._failed.set()


async def _lines(file: int) -> AsyncIterator[bytes]:
    """The lines of a terminal, pipe or file, without a thread that would keep the process from ending."""
    rest = b""
    while True:
        await _readable(file)
        data = os.read(file, 64 * 1024)
        if not data:
            if rest:
                yield rest
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


async def _readable(file: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def is_readable() -> None:
        loop.remove_reader(file)
        if not ready.done():
            ready.set_result(None)

    try:
        loop.add_reader(file, is_readable)
    except PermissionError:  # epoll refuses a file on disk, which is always ready
        await asyncio.sleep(0)
        return
    try:
        await ready
    finally:
        loop.remove_reader(file)


def _printable(data: Any) -> str:
    if isinstance(data, bytes):
        more = " …" if len(data) > _PRINTED_BYTES else ""
        return f"{len(data)} bytes: {data[:_PRINTED_BYTES].hex(' ')}{more}"
    return data if isinstance(data, str) else msgspec.json.encode(data).decode()


def _describe_close(code: int, reason: str) -> str:
    meaning = next((close_code.meaning for close_code in CloseCode if close_code == code), "the application's own code")
    return f"{code} ({meaning})" + (f": {reason}" if reason else "")


def _describe_error(error: Exception, url: str) -> str:
    """What happened and what to do, for a person."""
    match error:
        case Disconnected():
            return f"The server closed the connection with {_describe_close(error.code, error.reason)}."
        case HandshakeRefused():
            return f"The server answered {url} with HTTP {error.status}: {error.reason}"
        case ssl_module.SSLCertVerificationError():
            return f"The certificate of {url} is not trusted: {error.verify_message}"
        case ConnectionRefusedError():
            return f"Nothing listens at {url}: is the server running?"
        case TimeoutError():
            return f"{url} did not answer in time."
        case OSError():
            return f"The connection to {url} failed: {error}"
        case _:
            return f"{type(error).__name__}: {error}"
