"""A fresh token for every attempt, and the one that the server sent where there is none."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import pytest

from odac.client.address import Address
from odac.client.cookies import CookieJar
from odac.client.errors import HandshakeRefused
from odac.client.fetch import Response
from odac.client.tokens import Tokens
from tests.unit.client.client_fakes import run

OK = (("set-cookie", "odac=session; Path=/"),)


class Endpoint:
    """Answers in the order that the test says."""

    def __init__(self, *answers: Response | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []

    async def __call__(
        self, address: Address, target: str, headers: Iterable[tuple[str, str]], context: ssl.SSLContext | None
    ) -> Response:
        self.asked.append((target, list(headers)))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def tokens(endpoint: Endpoint, prefix: str = "/odac") -> Tokens:
    return Tokens(Address.parse("ws://127.0.0.1:1/chat"), prefix, [("X-Trace", "7")], CookieJar(), None, endpoint)


def test_each_is_asked_for_with_the_cookies_that_came_before() -> None:
    endpoint = Endpoint(Response(200, OK, b'{"token": "one"}'), Response(200, (), b'{"token": "two"}'))
    made = tokens(endpoint, "/rt/odac/")
    assert [run(made.fresh()), run(made.fresh())] == ["one", "two"]
    assert endpoint.asked == [
        ("/rt/odac/token", [("X-Trace", "7")]),
        ("/rt/odac/token", [("X-Trace", "7"), ("Cookie", "odac=session")]),
    ]


def test_the_servers_own_steps_in_once() -> None:
    down = ConnectionRefusedError("down")
    made = tokens(Endpoint(Response(503, (), b"busy"), down))
    made.spare = "sent"
    assert run(made.fresh()) == "sent"
    with pytest.raises(ConnectionRefusedError):
        run(made.fresh())


def test_the_servers_own_comes_first_right_after_it_was_sent() -> None:
    endpoint = Endpoint(Response(200, OK, b'{"token": "one"}'))
    made = tokens(endpoint)
    made.keep("sent")
    made.use_spare = True
    assert run(made.fresh()) == "sent"
    assert endpoint.asked == []
    made.use_spare = True
    assert run(made.fresh()) == "one", "each token serves one attempt"


@pytest.mark.parametrize("sent", ["", "a b", "a\r\nX: y", "a,b"])
def test_what_no_header_can_hold_is_not_kept(sent: str) -> None:
    made = tokens(Endpoint())
    made.keep(sent)
    assert made.spare is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"token": 7}', b'{"token": ""}', b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}']
)
def test_what_is_no_token_goes_into_no_header(body: bytes) -> None:
    with pytest.raises(HandshakeRefused, match="without a token; see prefix="):
        run(tokens(Endpoint(Response(200, (), body))).fresh())


def test_a_refusal_says_what_to_look_at() -> None:
    with pytest.raises(
        HandshakeRefused, match="no token from /odac/token: Nothing is here; see prefix=, or token=False"
    ):
        run(tokens(Endpoint(Response(404, (), b"Nothing is here."))).fresh())


def test_a_token_that_comes_again_is_out_of_a_cache(caplog: pytest.LogCaptureFixture) -> None:
    answers = [Response(200, OK, b'{"token": "%s"}' % token) for token in (b"one", b"two", b"two")]
    made = tokens(Endpoint(*answers))
    for said in (0, 0, 1):
        run(made.fresh())
        assert caplog.text.count("a cache in between stores it") == said
    assert "two" not in caplog.text, "no token goes into a log"
