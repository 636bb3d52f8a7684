"""Behind nginx and HAProxy, configured by the files below ``examples/deployment``: two processes and one broker."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import odac
from odac import Limits
from tests.integration.brokers.servers import Redis
from tests.integration.proxies import DEPLOYMENT, PROXIES, Certificate, Nginx, Proxy, replaced
from tests.integration.running import DEADLINE, Running, until
from tests.integration.thread_clients import ThreadClient, ThreadClients

pytestmark = pytest.mark.slow

APP = """
import os
from odac import Limits, Odac

app = Odac(limits=Limits(drain_timeout=2, close_timeout=2, ping_interval=float(os.environ.get("PING", "25"))))

def talk(odac):
    odac.ws.join("all")
    odac.ws.send({"pid": os.getpid(), "ip": odac.request.ip, "secure": odac.request.secure})
    odac.ws.on("message", odac.ws.to("all").send)

app.route.ws("/talk", talk)
app.route.ws("/open", talk, token=False)
"""

Start = Callable[..., Running]


class Clients(ThreadClients):
    """Clients of one proxy, closed at the end of the test."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy.certificate.trust)
        self.proxy = proxy

    def enter(self, path: str = "/open", source: str = "127.0.0.1", **options: Any) -> tuple[ThreadClient, Any]:
        """A connection, and what its handler said first."""
        client = self.open(f"wss://127.0.0.1:{self.proxy.port}{path}", local_addr=(source, 0), **options)
        return client, json.loads(client.recv(DEADLINE))

    def one_of_each(self, path: str = "/open", **options: Any) -> dict[int, ThreadClient]:
        """A connection to each of the two processes, by its process id."""
        found: dict[int, ThreadClient] = {}
        end = time.monotonic() + DEADLINE
        while len(found) < 2:
            client, said = self.enter(path, **options)
            found.setdefault(said["pid"], client)
            assert time.monotonic() < end, "all connections go to one process"
        return found

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", *, source: str = "127.0.0.1"
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """An HTTPS request and its answer."""
        connection = http.client.HTTPSConnection(
            "127.0.0.1",
            self.proxy.port,
            timeout=DEADLINE,
            context=self.proxy.certificate.trust,
            source_address=(source, 0),
        )
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    redis = Redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture
def start(tmp_path: Path, broker: Redis) -> Iterator[Start]:
    """Start a process of Odac."""
    with contextlib.ExitStack() as stack:

        def start(*arguments: str, **environment: str) -> Running:
            return stack.enter_context(
                Running(
                    tmp_path,
                    APP,
                    *(arguments or ("--proxy-headers",)),
                    environment={"ODAC_BROKER": broker.url, **environment},
                )
            )

        yield start


@pytest.fixture(params=PROXIES)
def behind(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate
) -> Iterator[Callable[..., Clients]]:
    """Put a proxy in front of two processes."""
    with contextlib.ExitStack() as stack:

        def behind(one: Running, two: Running, patience: int | None = None) -> Clients:
            folder = tmp_path / "proxy"
            folder.mkdir()
            proxy = PROXIES[request.param](folder, certificate, [one.port, two.port], patience)
            clients = Clients(stack.enter_context(proxy))
            stack.callback(clients.end)
            return clients

        yield behind


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, broker: Redis) -> Iterator[tuple[Running, Running]]:
    """Two processes for the tests that leave them alone."""
    folder = tmp_path_factory.mktemp("pair")
    with (
        Running(folder, APP, "--proxy-headers", environment={"ODAC_BROKER": broker.url}) as one,
        Running(folder, "", "--proxy-headers", environment={"ODAC_BROKER": broker.url}) as two,
    ):
        yield one, two


@pytest.fixture
def clients(behind: Callable[..., Clients], pair: tuple[Running, Running]) -> Clients:
    """Clients of a proxy in front of two processes."""
    return behind(*pair)


def test_everyone_reaches_everyone(clients: Clients) -> None:
    found = clients.one_of_each()
    for pid, sender in found.items():
        for client in found.values():
            reach(sender, client, {"from": pid})


def reach(sender: ThreadClient, client: ThreadClient, message: Any) -> None:
    """Send until it is heard: who has just joined may miss what another process publishes in the same moment."""
    end = time.monotonic() + DEADLINE
    while True:
        sender.send(json.dumps(message))
        try:
            while json.loads(client.recv(0.2)) != message:
                pass
        except TimeoutError:
            assert time.monotonic() < end, f"{message} is not heard"
        else:
            return


def test_a_token_and_its_cookie_are_valid_at_both_processes(clients: Clients) -> None:
    status, headers, body = clients.ask("/odac/token")
    assert status == 200
    cookie = headers["Set-Cookie"]
    assert cookie.startswith("__Host-odac=")
    assert "; Secure" in cookie
    found = clients.one_of_each(
        "/talk",
        subprotocols=[f"odac-token-{json.loads(body)['token']}"],
        additional_headers={"Cookie": cookie.partition(";")[0]},
        origin=f"https://127.0.0.1:{clients.proxy.port}",
    )
    assert len(found) == 2


def test_without_a_token_and_from_another_origin_clients_are_refused(clients: Clients) -> None:
    with pytest.raises(ConnectionClosed) as closed:
        clients.enter("/talk")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4002
    with pytest.raises(InvalidStatus) as refused:
        clients.enter(origin="https://evil.example")
    assert refused.value.response.status_code == 403


def test_the_address_is_the_clients_whatever_it_claims(clients: Clients) -> None:
    _, said = clients.enter(source="127.0.0.2")
    assert (said["ip"], said["secure"]) == ("127.0.0.2", True)
    claims = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http", "X-Real-IP": "6.6.6.6"}
    _, said = clients.enter(source="127.0.0.2", additional_headers=claims)
    assert (said["ip"], said["secure"]) == ("127.0.0.2", True)


@pytest.mark.parametrize("arguments", [("--no-proxy-headers",), ("--proxy-headers", "--forwarded-allow-ips=10.9.9.9")])
def test_a_proxy_that_is_not_trusted_is_just_a_client(
    start: Start, behind: Callable[..., Clients], arguments: tuple[str, ...]
) -> None:
    one = start(*arguments)
    clients = behind(one, start(*arguments))
    _, said = clients.enter(source="127.0.0.2")
    assert (said["ip"], said["secure"]) == ("127.0.0.1", False)
    _, headers, _ = clients.ask("/odac/token")
    assert headers["Set-Cookie"].startswith("odac=")
    assert "Secure" not in headers["Set-Cookie"]
    # A page of this very site: without the scheme, it looks like another one, and the log says what to set.
    with pytest.raises(InvalidStatus) as refused:
        clients.enter(origin=f"https://127.0.0.1:{clients.proxy.port}")
    assert refused.value.response.status_code == 403


def test_headers_of_a_client_that_bypasses_the_proxy_are_ignored(pair: tuple[Running, Running]) -> None:
    with pair[0].connect(
        "/open",
        source_address=("127.0.0.3", 0),
        additional_headers={"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"},
    ) as client:
        said = json.loads(client.recv(DEADLINE))
    assert (said["ip"], said["secure"]) == ("127.0.0.3", False)


def test_http_is_sent_to_https(clients: Clients) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", clients.proxy.http, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", "/a?b=c", headers={"Host": "example.com"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Location"]) == (308, "https://example.com/a?b=c")


def test_the_publish_endpoint_is_closed_at_the_proxy(clients: Clients) -> None:
    for spelling in ("/odac/%70ublish", "/odac/publis%68", "/%6fdac/publish", "/odac//publish", "/odac/x/../publish"):
        assert clients.ask(spelling, method="POST")[0] in (400, 404), spelling
    status, _, body = clients.ask("/odac/publish", method="POST")
    assert status == 404
    assert b"Odac" not in body


@pytest.mark.parametrize("file", ["nginx.conf", "haproxy.cfg"])
def test_the_files_allow_more_silence_than_there_is_between_two_pings(file: str) -> None:
    text = (DEPLOYMENT / file).read_text(encoding="utf-8")
    expected = {"nginx.conf": "proxy_read_timeout 60s;", "haproxy.cfg": "timeout tunnel 60s"}[file]
    assert expected in text
    assert Limits().ping_interval < 60 / 2


def test_pings_keep_a_silent_connection_open(start: Start, behind: Callable[..., Clients]) -> None:
    """Everything thirty times as fast: pings every 0.8 s, and a proxy that cuts after 2 s of silence."""
    pinging = start(PING="0.8")
    clients = behind(pinging, pinging, patience=2)
    client, _ = clients.enter()
    with pytest.raises(TimeoutError):
        client.recv(6)
    client.send("1")
    assert client.recv(DEADLINE) == "1"


def test_without_pings_the_proxy_cuts_it(start: Start, behind: Callable[..., Clients]) -> None:
    """What the test above would see if pings did not help."""
    silent = start(PING="600")
    clients = behind(silent, silent, patience=2)
    told = r"5 connections in a row were cut \d s after they were opened.* ping_interval"
    # Five that were cut at the same age; on a busy machine one lives longer than the proxy's two seconds, and breaks the
    # row.
    for count in range(1, 31):
        client, _ = clients.enter()
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE)
        if count >= 5 and re.search(told, silent.text):
            break
    silent.line(told)


def test_clients_come_back_when_a_process_is_killed_and_when_it_is_replaced(
    start: Start, behind: Callable[..., Clients], broker: Redis
) -> None:
    victim, survivor = start(), start()
    clients = behind(victim, survivor)

    async def visit() -> None:
        said: list[list[Any]] = [[] for _ in range(8)]
        news = asyncio.Event()
        visitors = []
        for heard in said:
            client = odac.connect(
                f"wss://127.0.0.1:{clients.proxy.port}/talk",
                ssl=clients.proxy.certificate.trust,
                reconnect_delay=0.1,
            )

            @client.on("message")
            def hear(data: Any, heard: list[Any] = heard) -> None:
                heard.append(data)
                news.set()

            visitors.append(client)

        async def see(condition: Callable[[], bool]) -> None:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    news.clear()
                    await news.wait()

        async with contextlib.AsyncExitStack() as stack:
            for client in visitors:
                await stack.enter_async_context(client)
            await see(lambda: all(said))
            assert {heard[0]["pid"] for heard in said} == {victim.pid, survivor.pid}
            victim.process.kill()
            await see(lambda: all(heard[-1]["pid"] == survivor.pid for heard in said))
            assert all(client.connected for client in visitors)

            successor = start("--proxy-headers", "--port", str(victim.port))
            late, greeting = await asyncio.to_thread(arrival_at, clients, successor.pid)
            assert greeting["pid"] == successor.pid
            await asyncio.to_thread(late.send, '{"hello": "everybody"}')
            await see(lambda: all(heard[-1] == {"hello": "everybody"} for heard in said))

    asyncio.run(visit())


def arrival_at(clients: Clients, pid: int) -> tuple[ThreadClient, Any]:
    """Connect until this process has got one: the proxy takes it in when its check or its patience says so."""
    end = time.monotonic() + DEADLINE
    while True:
        client, said = clients.enter()
        if said["pid"] == pid:
            return client, said
        client.close()
        assert time.monotonic() < end, f"{pid} gets no connections"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_no_client_is_refused_while_a_process_drains(start: Start, behind: Callable[..., Clients]) -> None:
    leaver, stayer = start(), start()
    clients = behind(leaver, stayer)
    held = clients.one_of_each()
    leaver.signal(signal.SIGTERM)
    served: list[int] = []  # by whom, since the port is closed; before that, the signal is still on its way
    while leaver.process.poll() is None:
        gone = refuses(leaver.port)
        client, said = clients.enter()
        assert clients.ask("/odac/token")[0] == 200
        client.close()
        if gone:
            served.append(said["pid"])
    assert leaver.wait() == 0
    assert set(served) <= {stayer.pid}
    with pytest.raises(ConnectionClosed) as closed:
        held[leaver.pid].recv(DEADLINE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    held[stayer.pid].send("1")
    assert held[stayer.pid].recv(DEADLINE) == "1"


@pytest.mark.parametrize("behind", ["nginx"], indirect=True)
def test_nginx_takes_a_successor_at_once_when_the_other_process_stops(
    start: Start, behind: Callable[..., Clients]
) -> None:
    """A process that has refused a connection must not count as failed after it is back: there may be no other."""
    first, second = start(), start()
    clients = behind(first, second)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    while "Connection refused" not in clients.proxy.log:
        clients.enter()
    successor = start("--proxy-headers", "--port", str(first.port))
    second.signal(signal.SIGTERM)
    until(lambda: refuses(second.port), "it takes no more connections")
    assert {clients.enter()[1]["pid"] for _ in range(5)} == {successor.pid}


@pytest.mark.parametrize("behind", ["haproxy"], indirect=True)
def test_the_health_check_removes_draining_processes_and_adds_new_ones(
    start: Start, behind: Callable[..., Clients]
) -> None:
    leaver, stayer = start(), start()
    clients = behind(leaver, stayer)
    held = clients.one_of_each()
    leaver.signal(signal.SIGTERM)
    until(lambda: "Server odac/one is DOWN" in clients.proxy.log, "the check notices")
    assert leaver.wait() == 0
    successor = start("--proxy-headers", "--port", str(leaver.port))
    until(lambda: "Server odac/one is UP" in clients.proxy.log, "the check notices the successor")
    arrival_at(clients, successor.pid)
    assert "odac/two is DOWN" not in clients.proxy.log
    held[stayer.pid].send("1")
    assert held[stayer.pid].recv(DEADLINE) == "1"


@pytest.mark.parametrize("behind", ["haproxy"], indirect=True)
def test_while_the_broker_is_lost_connections_stay_and_new_ones_wait(
    tmp_path: Path, behind: Callable[..., Clients]
) -> None:
    redis = Redis(tmp_path / "own-redis")
    redis.start()
    arguments, environment = ("--proxy-headers",), {"ODAC_BROKER": redis.url}
    try:
        with (
            Running(tmp_path, APP, *arguments, environment=environment) as one,
            Running(tmp_path, "", *arguments, environment=environment) as two,
        ):
            clients = behind(one, two)
            held = clients.one_of_each()
            redis.stop()
            until(lambda: clients.proxy.log.count('code: 503, info: "Service Unavailable"') >= 2, "both are out")
            with pytest.raises(InvalidStatus) as refused:
                clients.enter()
            assert refused.value.response.status_code == 503
            for pid, client in held.items():
                client.send(str(pid))
                assert client.recv(DEADLINE) == str(pid)
            redis.start()
            until(lambda: clients.proxy.log.count("is UP") >= 2, "both are back")
            clients.enter()
            clients.close()
    finally:
        redis.stop()


@pytest.mark.parametrize(
    ("setting", "instead", "hint"),
    [
        ("proxy_set_header Upgrade $http_upgrade;", "", "a handshake came without Upgrade"),
        ("proxy_set_header Connection $connection_upgrade;", 'proxy_set_header Connection "";', "without Connection"),
        ("proxy_http_version 1.1;", "proxy_http_version 1.0;", "nginx: proxy_http_version 1.1"),
        ("proxy_set_header Host $http_host;", "", "replaces the Host header"),
        ("proxy_set_header Host $http_host;", "proxy_set_header Host $host;", "drops the port from Host"),
        ("proxy_set_header X-Forwarded-Proto $scheme;", "", "let the proxy set X-Forwarded-Proto"),
    ],
    ids=["no Upgrade", "no Connection", "HTTP/1.0", "no Host", "no port", "no scheme"],
)
def test_the_log_names_what_nginx_leaves_out(
    tmp_path: Path, certificate: Certificate, pair: tuple[Running, Running], setting: str, instead: str, hint: str
) -> None:
    class Wrong(Nginx):
        def configure(self, text: str) -> list[str]:
            return super().configure(replaced(text, setting, instead))

    with Wrong(tmp_path, certificate, [each.port for each in pair]) as proxy, Clients(proxy) as clients:
        before = sum(each.text.count(hint) for each in pair)
        with pytest.raises(InvalidStatus):
            clients.enter(origin=f"https://127.0.0.1:{proxy.port}")
        until(lambda: sum(each.text.count(hint) for each in pair) > before, f"the log says {hint!r}")
