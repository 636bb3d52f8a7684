"""Behind Apache, Caddy, lighttpd, Varnish and stunnel: the files of the documentation, and common mistakes in them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

import odac
from tests.integration.further_proxies import FURTHER
from tests.integration.proxies import Certificate, Proxy, replaced
from tests.integration.running import DEADLINE, Running, until
from tests.integration.test_proxies import APP, Clients

pytestmark = pytest.mark.slow

ARGUMENTS = {"stunnel": ("--behind-tls", "--proxy-protocol")}
HEADERS = ("--proxy-headers",)

Behind = Callable[..., Clients]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def behind(tmp_path: Path, certificate: Certificate) -> Iterator[Behind]:
    """Put a program, with a changed file or not, in front of a server."""
    with contextlib.ExitStack() as stack:

        def behind(name: str, server: Running, setting: str = "", instead: str = "") -> Clients:
            folder = tmp_path / "proxy"
            folder.mkdir()
            original = FURTHER[name]
            made = type(
                original.__name__,
                (original,),
                {
                    "configure": lambda self, text: original.configure(
                        self, replaced(text, setting, instead) if setting else text
                    )
                },
            )
            proxy: Proxy = made(folder, certificate, [server.port] * original.servers)
            clients = Clients(stack.enter_context(proxy))
            stack.callback(clients.end)
            return clients

        yield behind


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Running]]:
    """A server for each set of arguments, shared by the tests."""
    started: dict[tuple[str, ...], Running] = {}
    with contextlib.ExitStack() as stack:

        def server(*arguments: str) -> Running:
            if arguments not in started:
                folder = tmp_path_factory.mktemp("server")
                started[arguments] = stack.enter_context(
                    Running(folder, APP, *arguments, environment={"ODAC_BROKER": "memory://"})
                )
            return started[arguments]

        yield server


@pytest.mark.parametrize("name", FURTHER)
def test_the_file_of_the_documentation_works(name: str, behind: Behind, servers: Callable[..., Running]) -> None:
    clients = behind(name, servers(*ARGUMENTS.get(name, HEADERS)))
    own = f"https://127.0.0.1:{clients.proxy.port}"
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6;proto=http",
    }
    for headers in ({}, claims):
        client, said = clients.enter(source="127.0.0.2", origin=own, additional_headers=headers)
        assert (said["ip"], said["secure"]) == ("127.0.0.2", True)
        client.send("1")
        assert client.recv(DEADLINE) == "1"
    with pytest.raises(InvalidStatus) as refused:
        clients.enter(origin="https://evil.example")
    assert refused.value.response.status_code == 403
    tokens = []
    for _ in range(2):
        status, answer, body = clients.ask("/odac/token")
        assert status == 200
        assert answer["Set-Cookie"].startswith("__Host-odac=")
        assert "; Secure" in answer["Set-Cookie"]
        tokens.append(json.loads(body)["token"])
    assert tokens[0] != tokens[1], "each visitor gets a token of its own"
    status, _, body = clients.ask("/odac/publish", method="POST")
    assert status in (403, 404)
    assert b"Odac" not in body or name == "stunnel"  # stunnel passes all on, and no publish key is set


@pytest.mark.parametrize(
    ("name", "setting", "instead", "hint"),
    [
        ("apache", " upgrade=websocket", "", "a handshake came without"),
        ("apache", "ProxyPreserveHost On", "ProxyPreserveHost Off", "Apache: ProxyPreserveHost On"),
        ("apache", "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}", "", "let the proxy set X-Forwarded"),
        ("lighttpd", 'proxy.header = ("upgrade" => "enable")', "", "a handshake came without"),
        ("varnish", "        return (pipe);", "        return (pass);", "a handshake came without"),
        ("varnish", "        set bereq.http.Upgrade = req.http.Upgrade;", "", "without Upgrade"),
        ("varnish", '    set req.http.X-Forwarded-Proto = "https";', "", "let the proxy set X-Forwarded-Proto"),
        ("caddy", "lb_policy least_conn", "header_up Host {upstream_hostport}", "replaces the Host header"),
        ("caddy", "lb_policy least_conn", "header_up -X-Forwarded-Proto", "let the proxy set X-Forwarded-Proto"),
    ],
)
def test_the_log_names_what_is_wrong_in_it(
    name: str, setting: str, instead: str, hint: str, behind: Behind, servers: Callable[..., Running]
) -> None:
    server = servers(*HEADERS)
    clients = behind(name, server, setting, instead)
    before = server.text.count(hint)
    with pytest.raises(InvalidStatus):
        clients.enter(origin=f"https://127.0.0.1:{clients.proxy.port}")
    until(lambda: server.text.count(hint) > before, f"the log says {hint!r}")


def test_a_cache_that_stores_tokens_is_named_on_both_sides(
    behind: Behind, servers: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    """Varnish with a line that stores everything, as many files have it: one visitor's token goes to all others."""
    server = servers(*HEADERS)
    passing = """    if (req.url ~ "^/odac/(token|health)") {
        return (pass);
    }
}
"""
    storing = """    return (hash);
}

sub vcl_backend_response {
    set beresp.ttl = 120s;
    unset beresp.http.Set-Cookie;
    return (deliver);
}
"""
    clients = behind("varnish", server, passing, storing)
    port = clients.proxy.port

    def visit(cookies: dict[str, str]) -> odac.client.ClientConnection:
        return odac.connect(
            f"wss://127.0.0.1:{port}/talk",
            ssl=clients.proxy.certificate.trust,
            cookies=cookies,
            headers={"Origin": f"https://127.0.0.1:{port}"},
            auto_reconnect=False,
        )

    async def two_visitors() -> None:
        first, second = ({"__Host-odac": new_session(server)} for _ in range(2))
        async with visit(first):
            pass
        with caplog.at_level(logging.WARNING, "odac.client"), pytest.raises(odac.Disconnected) as end:
            async with visit(second) as ws:  # the close may come before the connection is handed over
                await ws.receive()
        assert end.value.code == 4002

    before = server.text.count("refused a token (4002)")
    asyncio.run(asyncio.wait_for(two_visitors(), 2 * DEADLINE))
    assert "/odac/token gave the same token twice: a cache in between stores its answers" in caplog.text
    until(lambda: server.text.count("refused a token (4002)") > before, "the server's log says so as well")
    assert "a cache stores the responses of /odac/token" in server.text


def new_session(server: Running) -> str:
    """The cookie of a new visitor, asked for without the cache."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as connection:
        connection.request("GET", "/odac/token", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1"})
        answer = connection.getresponse()
        answer.read()
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
    return cookie.removeprefix("__Host-odac=")


@pytest.mark.parametrize(
    ("arguments", "setting", "hint"),
    [
        ((), "protocol = proxy", "run the server with --proxy-protocol"),
        (("--behind-tls", "--proxy-protocol"), "", "does not begin with the PROXY protocol"),
        ((), "", "or with --behind-tls"),
    ],
    ids=["only stunnel speaks PROXY", "only the server expects PROXY", "no word of TLS"],
)
def test_stunnel_and_the_server_must_agree(
    arguments: tuple[str, ...], setting: str, hint: str, behind: Behind, servers: Callable[..., Running]
) -> None:
    server = servers(*arguments)
    clients = behind("stunnel", server, *(() if setting else ("protocol = proxy", "")))
    before = server.text.count(hint)
    with pytest.raises(InvalidStatus):
        clients.enter(origin=f"https://127.0.0.1:{clients.proxy.port}")
    until(lambda: server.text.count(hint) > before, f"the log says {hint!r}")


def test_without_trust_in_headers_behind_stunnel_a_client_cannot_choose_its_address(
    behind: Behind, servers: Callable[..., Running]
) -> None:
    clients = behind("stunnel", servers("--behind-tls"), "protocol = proxy", "")
    _, said = clients.enter(source="127.0.0.2", additional_headers={"X-Forwarded-For": "6.6.6.6"})
    assert (said["ip"], said["secure"]) == ("127.0.0.1", True), "stunnel's own address, as it tells no other"
