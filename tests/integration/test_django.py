"""A Django project with Odac in it, in its own processes: over SQLite, PostgreSQL that is restarted, and sessions in
Redis.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.integration.brokers.servers import Redis, TCPServer, program
from tests.integration.running import DEADLINE, Running, until
from tests.unit.test_docs import ROOT

pytestmark = pytest.mark.slow

SITE = "tests.integration.django_site"
PASSWORD = "secret"


class Postgres(TCPServer):
    """A cluster of its own, run by a user who may: PostgreSQL refuses root."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        # Debian keeps the server's programs out of the PATH; elsewhere they are in it.
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self.programs = found[-1] if found else Path(program("initdb")).parent
        self.as_owner = [program("runuser"), "-u", "postgres", "--"] if os.getuid() == 0 else []
        self.data = Path(tempfile.mkdtemp(prefix="odac-pg-"))
        if self.as_owner:
            shutil.chown(self.data, "postgres")
        self.run("initdb", "-D", str(self.data / "d"), "-A", "trust", "-U", "odac", "-N")

    def run(self, name: str, *arguments: str) -> None:
        command = [*self.as_owner, str(self.programs / name), *arguments]
        subprocess.run(command, cwd=self.data, check=True, capture_output=True, timeout=60)

    def command(self) -> list[str]:
        options = ["-D", str(self.data / "d"), "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.data), "-F"]
        return [*self.as_owner, str(self.programs / "postgres"), *options]

    def answers(self) -> bool:
        try:
            self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port))
        except subprocess.CalledProcessError:
            return False
        return True

    def stop(self, how: Any = None) -> None:
        if self.process is not None:
            self.run("pg_ctl", "-D", str(self.data / "d"), "-m", "fast", "-w", "stop")
            self.process.wait(30)
            self.process = None

    def database(self) -> dict[str, Any]:
        where = {"HOST": "127.0.0.1", "PORT": self.port, "NAME": "postgres", "USER": "odac"}
        return {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, **where}


class Project:
    """The project with one database, one session engine, one cache, and some users."""

    def __init__(
        self,
        folder: Path,
        database: dict[str, Any],
        sessions: str = "db",
        cache: str = "",
        *,
        people: tuple[str, ...] = ("ada",),
    ) -> None:
        self.folder = folder
        self.environment = {
            "DJANGO_SETTINGS_MODULE": f"{SITE}.settings",
            "SITE_DATABASE": json.dumps(database),
            "SITE_SESSIONS": f"django.contrib.sessions.backends.{sessions}",
            "SITE_CACHE": cache,
            "PYTHONPATH": str(ROOT),
        }
        # In one process: starting Django takes longer than what it is started for.
        self.shell(
            "from django.core.management import call_command\n"
            "call_command('migrate', run_syncdb=True, verbosity=0)\n"
            f"for name in {people!r}:\n"
            f"    p = Person(email=name + '@example.com'); p.set_password({PASSWORD!r}); p.save()"
        )

    def manage(self, *arguments: str, **environment: str) -> str:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ODAC_")}
        done = subprocess.run(
            [sys.executable, "-m", f"{SITE}.manage", *arguments],
            cwd=self.folder,
            env={**inherited, **self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, source: str, **environment: str) -> str:
        prologue = f"from {SITE}.models import Person\n"
        return self.manage("shell", "-v", "0", "-c", prologue + source, **environment).strip()

    def served(self, *arguments: str, **environment: str) -> Running:
        environment = {**self.environment, "ODAC_SECRET": "", **environment}
        return Running(self.folder, "", *arguments, environment=environment, target=f"{SITE}.asgi:application")


_clients: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close what the browsers of a test have open."""
    yield
    while _clients:
        _clients.pop().close()


def client(**options: Any) -> httpx.Client:
    made = httpx.Client(timeout=DEADLINE, trust_env=False, **options)
    _clients.append(made)
    return made


class Browser:
    """A browser's cookies, its pages and its connections."""

    def __init__(self, server: Running, email: str = "") -> None:
        self.server = server
        self.http = client(base_url=server.url)
        if email:
            self.get("/login", email=email)

    def get(self, path: str, **query: str) -> str:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text[:300]
        return answer.text

    def token(self) -> str:
        answer = self.http.get("/odac/token")
        assert answer.status_code == 200, answer.text[:300]
        return str(answer.json()["token"])

    def connect(self, path: str = "/me", **headers: str) -> ClientConnection:
        jar = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        return self.server.connect(path, additional_headers={**({"Cookie": jar} if jar else {}), **headers})

    def refused(self, path: str = "/me") -> int:
        with self.connect(path) as ws:
            return closed(ws)


def received(ws: ClientConnection) -> Any:
    return json.loads(ws.recv(timeout=DEADLINE))


def closed(ws: ClientConnection) -> int:
    """The code that the server closes with, next of all."""
    with pytest.raises(ConnectionClosed):
        ws.recv(timeout=DEADLINE)
    assert ws.close_code is not None
    return ws.close_code


def sqlite(folder: Path) -> dict[str, Any]:
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "site.sqlite3"), "OPTIONS": {"timeout": 20}}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("postgres"))
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.data)


@pytest.fixture(scope="module", params=["sqlite-db", "sqlite-signed", "sqlite-redis-cache", "postgres-cached_db"])
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    people = ("ada", "bob", "carol", "dan")
    folder = tmp_path_factory.mktemp("site")
    if request.param == "sqlite-db":
        made = Project(folder, sqlite(folder), people=people)
    elif request.param == "sqlite-signed":
        made = Project(folder, sqlite(folder), "signed_cookies", people=people)
    else:
        url = request.getfixturevalue("redis").url
        cache = json.dumps(
            {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url + f"?db={len(folder.name)}"}
        )
        if request.param == "sqlite-redis-cache":
            made = Project(folder, sqlite(folder), "cache", cache, people=people)
        else:
            made = Project(folder, request.getfixturevalue("postgres").database(), "cached_db", cache, people=people)
    return made


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Running]:
    with project.served() as running:
        yield running


def test_only_the_projects_users_are_accepted(server: Running) -> None:
    ada, nobody = Browser(server, "ada@example.com"), Browser(server)
    with ada.connect() as ws:
        assert received(ws) == {"email": "ada@example.com"}
    assert nobody.refused() == 4001
    nobody.http.cookies.set("sessionid", "forged" * 5)
    assert nobody.refused() == 4001
    assert nobody.get("/static/site.css").startswith("body")


def test_a_token_and_the_session_go_together(server: Running) -> None:
    ada = Browser(server, "ada@example.com")
    offered = ["odac.v1", "odac-token-" + ada.token()]
    jar = "; ".join(f"{name}={value}" for name, value in ada.http.cookies.items())
    with server.connect("/checked", additional_headers={"Cookie": jar}, subprotocols=offered) as ws:
        texts = [ws.recv(timeout=DEADLINE), ws.recv(timeout=DEADLINE)]
        assert '{"email":"ada@example.com"}' in texts


def test_a_logout_closes_this_browsers_connections_and_leaves_other_devices(server: Running) -> None:
    phone, laptop = Browser(server, "ada@example.com"), Browser(server, "ada@example.com")
    laptop.token()  # as the browser client does: the cookie that it sets outlives Django's session key
    with phone.connect() as on_phone, laptop.connect() as on_laptop:
        received(on_phone), received(on_laptop)
        laptop.get("/logout")
        assert closed(on_laptop) == 4001
        assert laptop.refused() == 4001
        phone.get("/announce", text="still here")
        assert received(on_phone) == {"announcement": "still here"}


def test_a_changed_password_ends_the_other_sessions(server: Running) -> None:
    here, there = Browser(server, "bob@example.com"), Browser(server, "bob@example.com")
    with here.connect() as ours, there.connect() as theirs:
        received(ours), received(theirs)
        here.get("/password")
        assert closed(ours) == closed(theirs) == 1012
    assert there.refused() == 4001
    with here.connect() as again:
        assert received(again) == {"email": "bob@example.com"}


def test_a_deactivated_user_is_closed_and_refused(server: Running) -> None:
    carol = Browser(server, "carol@example.com")
    with carol.connect() as ws:
        received(ws)
        carol.get("/deactivate")
        assert closed(ws) == 1012
    assert carol.refused() == 4001


def test_what_a_view_sends_goes_out_when_its_transaction_is_committed(server: Running) -> None:
    ada, dan = Browser(server, "ada@example.com"), Browser(server, "dan@example.com")
    with ada.connect() as at_ada, dan.connect() as at_dan:
        received(at_ada), received(at_dan)
        assert ada.get("/order/1/1") == "rolled back"
        assert ada.get("/order/2/0") == "committed"
        assert received(at_ada) == {"order": 2}
        assert received(at_ada) == {"yours": 2}
        assert received(at_dan) == {"order": 2}
        ada.get("/announce", text="hello")
        assert received(at_dan) == {"announcement": "hello"}


def test_clients_without_cookies_come_with_a_token_of_rest_framework(project: Project, server: Running) -> None:
    source = "from rest_framework.authtoken.models import Token\nprint(Token.objects.create(user=Person.objects.get(email='dan@example.com')).key)"
    key = project.shell(source)
    app = Browser(server)
    with app.connect(Authorization=f"Token {key}") as ws:
        assert received(ws) == {"email": "dan@example.com"}
    with app.connect(Authorization="Token wrong") as ws:
        assert closed(ws) == 4001


def test_handlers_use_the_database_in_every_way(server: Running) -> None:
    with Browser(server).connect("/count") as ws:
        for way in ("async", "thread"):
            ws.send(json.dumps(way))
            assert received(ws) == {"count": 4}


def ask(ws: ClientConnection, way: str) -> Any:
    ws.send(json.dumps(way))
    return received(ws)


def test_postgresql_may_be_restarted(postgres: Postgres, tmp_path: Path) -> None:
    project = Project(tmp_path, postgres.database(), people=("eve",))
    with project.served() as server:
        eve = Browser(server, "eve@example.com")
        with eve.connect("/count") as counting:
            for _ in range(8):  # so that several threads hold connections
                assert "count" in ask(counting, "async")
                assert "count" in ask(counting, "thread")
                eve.token()
            postgres.stop()
            postgres.start()
            # Not even the first handshakes fail, whichever thread they meet.
            with eve.connect() as ws:
                assert received(ws) == {"email": "eve@example.com"}
            eve.token()
            until(lambda: "count" in ask(counting, "async"), "a new connection for the asynchronous ORM")
            until(lambda: "count" in ask(counting, "thread"), "a new connection for threads")


def test_a_replaced_secret_key_logs_no_user_out(tmp_path: Path) -> None:
    project = Project(tmp_path, sqlite(tmp_path))
    with project.served(SITE_SECRET_KEY="the old key of the tests, long enough") as server:
        cookies = Browser(server, "ada@example.com").http.cookies
    new = {
        "SITE_SECRET_KEY": "the new key of the tests, long enough",
        "SITE_FALLBACKS": "the old key of the tests, long enough",
    }
    with project.served(**new) as server:
        ada = Browser(server)
        ada.http.cookies = cookies
        for _ in range(2):  # the handshake did not change the session's key, which the browser would not hear of
            with ada.connect() as ws:
                assert received(ws) == {"email": "ada@example.com"}


OTHERS: dict[str, Callable[[Project, str], object]] = {
    "command": lambda project, url: project.manage("tell", "hello", ODAC_BROKER=url),
    "celery": lambda project, url: project.shell(
        "from celery import Celery\n"
        "app = Celery(set_as_current=True)\n"
        "app.conf.task_always_eager = True\n"
        "from odac.contrib.django import publisher\n"
        "@app.task\n"
        "def tell(): publisher.broadcast({'told': 'hello'})\n"
        "tell.delay().get()",
        ODAC_BROKER=url,
    ),
}


@pytest.mark.parametrize("how", OTHERS)
def test_other_processes_send_through_the_broker(how: str, redis: Redis, tmp_path: Path) -> None:
    project = Project(tmp_path, sqlite(tmp_path))
    with project.served(ODAC_BROKER=redis.url) as server, Browser(server, "ada@example.com").connect() as ws:
        received(ws)
        OTHERS[how](project, redis.url)
        assert received(ws) == {"told": "hello"}


def test_under_wsgi_beside_the_other(redis: Redis, tmp_path: Path) -> None:
    """gunicorn answers the pages, Odac the WebSockets: one database, one secret, one broker."""
    project = Project(tmp_path, sqlite(tmp_path))
    socket = tmp_path / "pages.sock"
    gunicorn = Running(
        tmp_path,
        "",
        "--bind",
        f"unix:{socket}",
        f"{SITE}.wsgi:application",
        environment={**project.environment, "ODAC_SECRET": "", "ODAC_BROKER": redis.url},
        command=("-m", "gunicorn"),
        ready=False,
        group=True,
    )
    with project.served(ODAC_BROKER=redis.url) as server, gunicorn:
        gunicorn.line("Booting worker")
        ada = Browser(server)
        ada.http = client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://site")
        ada.get("/login", email="ada@example.com")
        other = Browser(server)
        other.http.cookies = httpx.Cookies(dict(ada.http.cookies))
        with ada.connect() as ws, other.connect() as same:
            received(ws), received(same)
            ada.get("/order/3/0")
            assert received(ws) == {"order": 3}
            assert received(ws) == {"yours": 3}
            ada.get("/logout")
            assert closed(ws) == 4001


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "--bind", "127.0.0.1:0", f"{SITE}.asgi:application"),
        ("-m", "daphne", "-p", "0", "-b", "127.0.0.1", f"{SITE}.asgi:application"),
    ],
    ids=["gunicorn", "daphne"],
)
def test_other_servers(command: tuple[str, ...], tmp_path: Path) -> None:
    project = Project(tmp_path, sqlite(tmp_path))
    environment = {**project.environment, "ODAC_SECRET": ""}
    server = Running(tmp_path, "", environment=environment, command=command, ready=False, group=True)
    with server:
        server.url = "http://127.0.0.1:" + server.line(r"(?:127\.0\.0\.1:|port )(\d{2,})")[1]
        with Browser(server, "ada@example.com").connect() as ws:
            assert received(ws) == {"email": "ada@example.com"}


@pytest.mark.parametrize("reload", [False, True], ids=["noreload", "reload"])
def test_runserver_serves_pages_static_files_and_websockets(reload: bool, tmp_path: Path) -> None:
    project = Project(tmp_path, sqlite(tmp_path))
    arguments = ("runserver", "127.0.0.1:0", *([] if reload else ["--noreload"]))
    server: AbstractContextManager[Running] = Running(
        tmp_path, "", *arguments, environment=project.environment, command=("-m", f"{SITE}.manage"), group=True
    )
    with server as running:
        ada = Browser(running, "ada@example.com")
        assert ada.get("/static/site.css").startswith("body")
        with ada.connect() as ws:
            assert received(ws) == {"email": "ada@example.com"}


def test_workers_sign_with_the_projects_key(tmp_path: Path) -> None:
    """So a token is valid on another server of the same project, and after a restart."""
    project = Project(tmp_path, sqlite(tmp_path))
    with project.served() as one, project.served("--workers", "2") as two:
        ada = Browser(one, "ada@example.com")
        token = ada.token()
        ada.server = two
        with ada.connect(token=token) as ws:
            assert received(ws) == {"email": "ada@example.com"}
        assert "No secret is set" not in two.text
