from __future__ import annotations

import io
import os
import ssl
from pathlib import Path

import pytest

from odac.client import interactive
from odac.client.errors import HandshakeRefused
from odac.client.interactive import main
from odac.errors import Disconnected
from tests.unit.realtime.realtime_fakes import run


def test_a_url_that_cannot_work_is_said_and_ends_with_2() -> None:
    out = io.StringIO()
    assert main("chat", stdout=out) == 2
    assert " ! " in out.getvalue()


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("text", "text"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (b"\x00\xff", "2 bytes: 00 ff"),
        (bytes(33), f"33 bytes: {bytes(32).hex(' ')} …"),
    ],
    ids=["text", "JSON", "binary", "long binary"],
)
def test_what_a_message_looks_like(data: object, shown: str) -> None:
    assert interactive._printable(data) == shown


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Disconnected(4001, "out"), "The server closed the connection with 4001 ("),
        (Disconnected(4777, ""), "The server closed the connection with 4777 (the application's own code)."),
        (HandshakeRefused(403, "no such origin"), "The server answered ws://h/ with HTTP 403: no such origin"),
        (ConnectionRefusedError(), "Nothing listens at ws://h/: is the server running?"),
        (TimeoutError(), "ws://h/ did not answer in time."),
        (OSError("no route"), "The connection to ws://h/ failed: no route"),
        (ssl.SSLCertVerificationError("x"), "The certificate of ws://h/ is not trusted:"),
        (LookupError("x"), "LookupError: x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_is_a_sentence(error: Exception, sentence: str) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    assert interactive._describe_error(error, "ws://h/").startswith(sentence)


def test_lines_of_a_pipe_come_whole_however_they_are_written() -> None:
    async def read(*chunks: bytes) -> list[bytes]:
        reading, writing = os.pipe()
        try:
            for chunk in chunks:
                os.write(writing, chunk)
            os.close(writing)
            return [line async for line in interactive._lines(reading)]
        finally:
            os.close(reading)

    assert run(read(b"on", b"e\r\ntwo\n\nthr", b"ee")) == [b"one", b"two", b"", b"three"]
    assert run(read()) == []


def test_lines_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo")

    async def read() -> list[bytes]:
        file = os.open(tmp_path / "lines", os.O_RDONLY)
        try:
            return [line async for line in interactive._lines(file)]
        finally:
            os.close(file)

    assert run(read()) == [b"one", b"two"]


def test_what_comes_cannot_play_tricks_on_the_terminal() -> None:
    out = io.StringIO()
    interactive._Output(out).line("←", "red \x1b[31m and\nanother line")
    (line,) = out.getvalue().splitlines()
    assert "\x1b" not in line
