from __future__ import annotations

import pytest

from odac.client.errors import HandshakeRefused, refused


@pytest.mark.parametrize(
    ("status", "may_retry"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (425, True), (429, True), (500, True)],
)
def test_which_answers_may_pass(status: int, may_retry: bool) -> None:
    assert HandshakeRefused(status, "").may_retry is may_retry


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 7 ", 7.0), ("soon", 0.0), ("-1", 0.0), ("٣", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)],
)
def test_the_server_says_when_to_come_back(value: str, seconds: float) -> None:
    assert HandshakeRefused(503, "", (("Retry-After", value),)).retry_after == seconds
    assert HandshakeRefused(503, "").retry_after == 0.0


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, b"Too many connections.\nTry later.", "Too many connections."),
        (502, b"<html>a proxy's page</html>", "Bad Gateway"),
        (404, b"", "Not Found"),
        (799, b" ", "refused"),
        (400, b"\xff", "�"),
        (400, b"x" * 1000, "x" * 500),
    ],
)
def test_the_reason_is_the_first_line_of_the_body_or_the_phrase(status: int, body: bytes, reason: str) -> None:
    error = refused(status, body, {"Retry-After": "2"})
    assert (error.status, error.reason, error.retry_after) == (status, reason, 2.0)
