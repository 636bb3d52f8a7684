from __future__ import annotations

import http.client
import io
from typing import Any

import pytest

from odac.serving.protocols.denial import Denial


class Wire(io.BytesIO):
    """Bytes as http.client reads them from a socket."""

    def makefile(self, *_: Any) -> Wire:
        return self


def read(data: bytes) -> http.client.HTTPResponse:
    """What an independent client makes of an answer."""
    response = http.client.HTTPResponse(Wire(data))  # type: ignore[arg-type] # all that it asks for
    response.begin()
    return response


@pytest.mark.parametrize("parts", [[b""], [b"no"], [b"n", b"o"], [b"", b"no", b""]])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"x-a", b"1"), (b"content-type", b"text/html")],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"transfer-encoding", b"gzip"), (b"content-length", b"9")],
    ],
)
def test_a_client_reads_what_the_app_has_sent(parts: list[bytes], headers: list[tuple[bytes, bytes]]) -> None:
    denial = Denial(401, headers)
    pieces = [denial.body(part, more=index + 1 < len(parts)) for index, part in enumerate(parts)]
    assert pieces[0].startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert all(part in piece for part, piece in zip(parts, pieces, strict=True)), "passed on as it comes"
    found = read(b"".join(pieces))
    assert found.status == 401
    framing = [found.headers.get_all(name) or [] for name in ("content-length", "transfer-encoding")]
    assert sum(map(len, framing)) == 1, "one framing (RFC 9112 section 6.2)"
    assert found.read() == b"".join(parts)
    if headers and headers[0][0] == b"x-a":
        assert found.headers["x-a"] == "1"
        assert found.headers.get_all("content-type") == ["text/html"]


def test_the_apps_own_length_is_kept_and_held_to() -> None:
    denial = Denial(403, [(b"content-length", b"4")])
    assert b"\r\nContent-Length: 4\r\n" in denial.body(b"ab", more=True)
    assert denial.body(b"cd", more=False) == b"cd"
    with pytest.raises(RuntimeError, match="longer"):
        Denial(403, [(b"content-length", b"1")]).body(b"ab", more=True)
    with pytest.raises(RuntimeError, match="shorter"):
        Denial(403, [(b"content-length", b"3")]).body(b"ab", more=False)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_neither_length_nor_body(status: int) -> None:
    denial = Denial(status, [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")])
    data = denial.body(b"ignored", more=True) + denial.body(b"", more=False)
    assert data.lower().count(b"content-length") + data.lower().count(b"transfer-encoding") == 0
    assert data.endswith(b"\r\n\r\n")
    assert read(data).read() == b""


@pytest.mark.parametrize("status", [100, 101, 199, 600])
def test_a_status_that_is_no_answers(status: int) -> None:
    with pytest.raises(RuntimeError, match=str(status)):
        Denial(status, [])


def test_headers_that_cannot_be_are_refused_before_anything_is_sent() -> None:
    for headers in ([(b"a b", b"")], [(b"a", b"b\r\nc: d")], [(b"content-length", b"x")]):
        with pytest.raises(ValueError):
            Denial(403, headers)
