"""``odac publish`` over HTTP, to a server that answers what a test says."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from odac.cli import main


class _Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers as the server that it belongs to was told, and notes what came."""

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: object) -> None:
        server: Any = self.server
        server.requests.append((self.command, self.path, self.headers["Authorization"], body))
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(server.body)))
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


class Server:
    def __init__(self, server: Any) -> None:
        self._server = server
        self.requests: list[Any] = server.requests
        self.url = f"http://127.0.0.1:{server.server_port}/odac/publish"

    def answers(self, status: int, body: bytes = b"", **headers: str) -> None:
        self._server.status, self._server.body, self._server.headers = status, body, headers


@pytest.fixture
def endpoint() -> Iterator[Server]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint) as server:
        state: Any = server
        state.requests, state.status, state.body, state.headers = [], 202, b"", {}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Server(server)
        server.shutdown()
        thread.join()


def publish(endpoint: Server, *arguments: str, key: str = "k", text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["publish", endpoint.url, *arguments, "--key", key], input=text)


def test_a_message_to_a_room_and_to_all_clients(endpoint: Server) -> None:
    assert publish(endpoint, "news", '{"a": [1, null]}', key="one").exit_code == 0
    assert publish(endpoint, "--broadcast", "-", key="two", text='"hello"').exit_code == 0
    assert endpoint.requests == [
        ("POST", "/odac/publish", "Bearer one", {"room": "news", "data": {"a": [1, None]}}),
        ("POST", "/odac/publish", "Bearer two", {"broadcast": True, "data": "hello"}),
    ]


def test_refusals_are_printed(endpoint: Server) -> None:
    endpoint.answers(401, b"why\r\n")
    assert f"{endpoint.url} answered 401: why" in publish(endpoint, "r", "1").stderr
    endpoint.answers(404)
    assert "was not found (404): the app has no publish key" in publish(endpoint, "r", "1").stderr


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_goes_nowhere_else(endpoint: Server, status: int) -> None:
    endpoint.answers(status, Location=endpoint.url + "/elsewhere")
    result = publish(endpoint, "r", "1")
    assert result.exit_code == 1
    assert "/elsewhere" in result.stderr
    assert [request[:2] for request in endpoint.requests] == [("POST", "/odac/publish")]


@pytest.mark.parametrize("status", [200, 201, 204])
def test_what_is_not_202_was_not_published(endpoint: Server, status: int) -> None:
    endpoint.answers(status)
    result = publish(endpoint, "r", "1")
    assert result.exit_code == 1
    assert f"answered {status}" in result.stderr


def test_a_servers_words_cannot_play_tricks_on_the_terminal(endpoint: Server) -> None:
    endpoint.answers(500, b"\x1b]0;owned\x07\x1b[2J\xc2\x9b2J \xe2\x80\xae")
    result = publish(endpoint, "r", "1")
    assert r"\x1b]0;owned\x07\x1b[2J\x9b2J" in result.stderr
    assert not any(character in result.stderr for character in "\x1b\x07\x9b\u202e")
    endpoint.answers(302, Location="http://h/\x1b[2J")
    assert "\x1b" not in publish(endpoint, "r", "1").stderr
