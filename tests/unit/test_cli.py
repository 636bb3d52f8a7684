"""The command ``odac``: what it says when something is wrong, and what it lists."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner, Result

from odac.cli import main
from odac.serving.options import ServeOptions

Odac = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("ODAC_BROKER", "ODAC_SECRET", "ODAC_PUBLISH_KEY"):
        monkeypatch.setenv(name, "")  # so that what a command sets is undone, though the variable was not there before
        monkeypatch.delenv(name)
    # What is logged is not looked at here, and what the server sets would stay set for other tests.
    monkeypatch.setattr("odac.serving.run.configure_logging", lambda *_, **__: None)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(sys.modules[name].__file__).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def odac(folder: Path) -> Odac:
    def call(*arguments: str, input: str | None = None) -> Result:  # noqa: A002 - the runner's name for it
        return CliRunner().invoke(main, arguments, input=input)

    return call


def write(folder: Path, **modules: str) -> None:
    for name, source in modules.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)


GOOD = "from odac import Odac\napp = Odac('a secret for the tests, and a long one')\n"


# ---- a wrong module:app


@pytest.mark.parametrize(
    ("target", "source", "said"),
    [
        pytest.param("app", GOOD, ["'app' must be a module and the app's name", "'app:app'"], id="no colon"),
        pytest.param("app:", GOOD, ["'app:app'"], id="no name"),
        pytest.param(":app", GOOD, ["such as 'module:app'"], id="no module"),
        pytest.param("app.py", GOOD, ["'app:app'"], id="a file"),
        pytest.param("sub/app.py:app", GOOD, ["names a file", "'sub.app:app'"], id="a file and a name"),
        pytest.param("ap:app", GOOD, ["there is no module 'ap' in", "did you mean 'app'?"], id="no such module"),
        pytest.param("app.x:app", GOOD, ["there is no module 'app.x'"], id="no such submodule"),
        pytest.param("app:other", GOOD, ["there is no 'other' in app, but an app: try app:app"], id="no such name"),
        pytest.param(
            "app:make", "def maker(): ...", ["there is no 'make' in app; did you mean 'maker'?"], id="misspelt"
        ),
        pytest.param("app:app", "app = 7", ["'app:app' is of type int: it must be an Odac app"], id="not an app"),
        pytest.param("app:Odac", GOOD, ["is the class Odac", "app = Odac()"], id="the class"),
        pytest.param("app:app", "def app(environ, start): ...", ["looks like a WSGI app"], id="WSGI"),
        pytest.param("app:app", "def app(): ...", ["--factory"], id="a factory"),
        pytest.param("app:app", "def app(one): ...", ["does not take scope, receive and send"], id="one argument"),
        pytest.param(
            "app:app",
            "import json\n\ndef help():\n    json.loads('{')\n\nhelp()\n",
            ["app cannot be imported: JSONDecodeError: Expecting property name", "app.py, line 4: json.loads('{')"],
            id="an exception in a library",
        ),
        pytest.param(
            "app:app", "x = 1\nx.y", ["AttributeError: 'int' object", "app.py, line 2: x.y"], id="an exception"
        ),
        pytest.param(
            "app:app", "def f(:\n", ["SyntaxError: invalid syntax", "app.py, line 1: def f(:"], id="a syntax error"
        ),
        pytest.param(
            "app:app",
            "import missing_library",
            ["ModuleNotFoundError: No module named 'missing_library'", "app.py, line 1: import missing_library"],
            id="a missing library",
        ),
        pytest.param("app:app", "import sys\nsys.exit('no')", ["app ended the program", "line 2"], id="sys.exit"),
        pytest.param(
            "app:app",
            "from odac import Limits\n\nlimits = Limits(ping_interval=0)\n",
            ["Limits(ping_interval=0): must be a number", "app.py, line 3: limits = Limits(ping_interval=0)"],
            id="a ConfigurationError",
        ),
        pytest.param(
            "app:app",
            GOOD + "app.route.use('missing').ws('/x', print)",
            ["the route '/x' uses the middleware 'missing', which does not exist"],
            id="a middleware that is not there",
        ),
    ],
)
@pytest.mark.parametrize("command", ["run", "routes"])
def test_a_wrong_app_gets_a_sentence(
    odac: Odac, folder: Path, command: str, target: str, source: str, said: list[str]
) -> None:
    write(folder, app=source)
    result = odac(command, target)
    assert result.exit_code == 1, result.output
    for each in said:
        assert each in result.stderr
    assert result.stderr.startswith("odac: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""


def test_modules_are_looked_for_where_app_dir_says(odac: Odac, folder: Path) -> None:
    write(folder, sub__app=GOOD + "app.route.ws('/here', print)")
    assert odac("routes", "app:app").exit_code == 1
    assert "/here" in odac("routes", "app:app", "--app-dir", "sub").stdout


def test_a_factory(odac: Odac, folder: Path) -> None:
    write(
        folder,
        app=GOOD.replace("app =", "made =") + "def make():\n    made.route.ws('/made', print)\n    return made\n",
    )
    assert "/made" in odac("routes", "app:make", "--factory").stdout
    assert "with --factory, it must be a function" in odac("routes", "app:__name__", "--factory").stderr
    write(folder, bad="def make():\n    raise KeyError('x')\n")
    result = odac("routes", "bad:make", "--factory")
    assert "bad:make raised: KeyError: 'x'" in result.stderr
    assert "bad.py, line 2: raise KeyError('x')" in result.stderr


# ---- routes


ROUTES = """
from odac import Odac, RateLimit
app = Odac('a secret for the tests, and a long one')
app.middleware("paid")(lambda odac: True)
def checked(odac): ...
def h(odac): ...
app.route.ws("/open", h, token=False)
app.route.auth.ws("/private/{id:int}", h, max_payload=100, rate_limit=RateLimit(5, 2))
app.route.use("auth", "paid", checked).ws("/all", h, origins=["https://example.com"], subprotocols=["a", "b"], message=int)
app.route.ws("/any-rate", h, rate_limit=None, raw=True)
"""


def test_routes_as_json(odac: Odac, folder: Path) -> None:
    write(
        folder,
        app=GOOD
        + """
import msgspec
from odac import RateLimit
class Move(msgspec.Struct):
    to: str
@app.middleware("team")
def team(odac): ...
board = app.route.auth.use("team").ws("/board/{name}", message=Move, rate_limit=RateLimit(5, 2.0))
@board
def handle(odac): ...
@board.answer("undo")
def undo(odac): ...
@app.route.ws("/open", token=False, rate_limit=None)
def anyone(odac): ...
""",
    )
    result = odac("routes", "app:app", "--json")
    assert result.exit_code == 0, result.output
    board, anyone = json.loads(result.stdout)
    assert board["options"].pop("rate_limit") == "5/2s"
    assert board == {
        "path": "/board/{name}",
        "handler": "app:handle",
        "auth": True,
        "token": True,
        "middleware": ["team"],
        "message": "Move",
        "answers": ["undo"],
        "options": {},
    }
    assert (anyone["path"], anyone["options"]) == ("/open", {"rate_limit": None})
    assert (anyone["auth"], anyone["token"], anyone["message"], anyone["answers"]) == (False, False, None, [])


def test_routes_are_listed(odac: Odac, folder: Path) -> None:
    write(folder, app=ROUTES)
    result = odac("routes", "app:app")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["path", "gates", "middleware", "options"],
        ["/open", "-", "-", "-"],
        ["/private/{id:int}", "auth", "token", "-", "max_payload=100", "rate_limit=5/2s"],
        ["/all", "origin=https://example.com", "auth", "token", "paid", "checked", "subprotocols=a,b", "message=int"],
        ["/any-rate", "token", "-", "rate_limit=None", "raw=True"],
    ]
    columns = [
        [line.index(word) for word in ("gates", "middleware", "options")] for line in result.stdout.splitlines()[:1]
    ]
    for line in result.stdout.splitlines()[1:]:
        assert all(line[column - 1] == " " and line[column] != " " for column in columns[0]), "columns are aligned"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        (
            "from starlette.applications import Starlette\nfrom starlette.routing import Mount\nouter = Starlette(routes=[Mount('/rt', app)])",
            "/rt/open",
        ),
        ("from fastapi import FastAPI\nouter = FastAPI()\nouter.mount('/rt', app)", "/rt/open"),
        ("from starlette.middleware.gzip import GZipMiddleware\nouter = GZipMiddleware(app)", "/open"),
        (
            "from starlette.applications import Starlette\nfrom starlette.routing import Mount\nouter = Odac('a secret for the tests, and a long one', http=Starlette(routes=[Mount('/a', Starlette(routes=[Mount('/b', app)]))]))",
            "/a/b/open",
        ),
    ],
    ids=["Starlette", "FastAPI", "below a middleware", "within another Odac app"],
)
def test_apps_are_found_where_they_are_mounted(odac: Odac, folder: Path, source: str, path: str) -> None:
    write(folder, app=ROUTES + source)
    assert path in odac("routes", "app:outer").stdout.split()


def test_an_app_without_odac_has_no_routes(odac: Odac, folder: Path) -> None:
    write(folder, app="async def app(scope, receive, send): ...")
    result = odac("routes", "app:app")
    assert result.exit_code == 1
    assert "there is no Odac app in app:app" in result.stderr


def test_local_without_workers(odac: Odac, folder: Path) -> None:
    """There is nothing to run it on; its routes can be listed all the same."""
    write(folder, app="from odac import Odac\napp = Odac(broker='local://')\napp.route.ws('/here', print)")
    assert "odac run --workers N" in odac("run", "app:app").stderr
    assert "/here" in odac("routes", "app:app").stdout
    assert "ODAC_LOCAL_DIRECTORY" not in os.environ


def test_routes_need_no_package_of_a_broker(odac: Odac, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "odac.brokers.local", raising=False)
    monkeypatch.setitem(sys.modules, "zmq", None)
    write(folder, app="from odac import Odac\napp = Odac()\napp.route.ws('/here', print)")
    assert "/here" in odac("routes", "app:app").stdout


# ---- run: addresses, certificates, options


def test_a_port_in_use(odac: Odac, folder: Path) -> None:
    write(folder, app=GOOD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for workers in ("1", "2"):
            result = odac("run", "app:app", "--port", str(port), "--workers", workers)
            assert result.exit_code == 1
            assert f"port {port} on 127.0.0.1 is in use by another program" in result.stderr
            assert "--port" in result.stderr


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("198.51.100.1", "198.51.100.1 is not an address of this machine"),
        ("no.such.host.invalid", "the host 'no.such.host.invalid' has no address here"),
        ("x" * 300, "has no address here"),
    ],
)
def test_a_host_that_is_not_here(odac: Odac, folder: Path, host: str, said: str) -> None:
    write(folder, app=GOOD)
    result = odac("run", "app:app", "--host", host, "--port", "0")
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_unix_socket_that_cannot_be(odac: Odac, folder: Path) -> None:
    write(folder, app=GOOD)
    result = odac("run", "app:app", "--uds", "no/such/folder/s")
    assert result.exit_code == 1
    assert "no/such/folder/s: No such file or directory" in result.stderr
    (folder / "file").write_text("precious")
    assert "is not a socket" in odac("run", "app:app", "--uds", "file").stderr
    assert (folder / "file").read_text() == "precious"


def test_certificates_that_cannot_be_used(odac: Odac, folder: Path) -> None:
    authority = trustme.CA()
    for name in ("one", "two"):
        issued = authority.issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(folder / f"{name}.crt")
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
    write(folder, app=GOOD, junk="not a certificate")
    subprocess.run(
        ["openssl", "rsa", "-aes128", "-passout", "pass:word", "-in", "one.key", "-out", "locked.key"]
        if b"RSA" in (folder / "one.key").read_bytes()
        else ["openssl", "ec", "-aes128", "-passout", "pass:word", "-in", "one.key", "-out", "locked.key"],
        check=True,
        capture_output=True,
    )

    def said(*arguments: str) -> str:
        result = odac("run", "app:app", "--port", "0", *arguments)
        assert result.exit_code == 1, result.output
        return result.stderr

    assert "none.crt cannot be read: No such file or directory" in said("--ssl-certfile", "none.crt")
    assert "none.key cannot be read" in said("--ssl-certfile", "one.crt", "--ssl-keyfile", "none.key")
    assert "cannot be read: Is a directory" in said("--ssl-certfile", ".")
    assert "no certificate and key in PEM form can be read from junk.py" in said("--ssl-certfile", "junk.py")
    assert "the one file must contain both" in said("--ssl-certfile", "one.crt")
    mismatch = said("--ssl-certfile", "one.crt", "--ssl-keyfile", "two.key")
    assert "the key in two.key is not the one of the certificate in one.crt" in mismatch
    locked = ("--ssl-certfile", "one.crt", "--ssl-keyfile", "locked.key")
    assert "is encrypted, and the password is missing" in said(*locked)
    assert "the password is wrong" in said(*locked, "--ssl-keyfile-password", "other")
    assert "ssl_keyfile needs ssl_certfile" in said("--ssl-keyfile", "one.key")


def test_options_that_contradict_each_other(odac: Odac, folder: Path) -> None:
    write(folder, app=GOOD)
    assert "no effect without proxy_headers" in odac("run", "app:app", "--forwarded-allow-ips", "10.0.0.1").stderr
    for arguments, said in (
        (["--reload-dir", "."], "no effect without reload"),
        (["--reload", "--reload-dir", "nowhere"], "there is no folder 'nowhere'"),
        (["--root-path", "chat"], "beginning with a slash"),
        (
            ["--proxy-headers", "--forwarded-allow-ips", "10.0.0.1, proxy"],
            "'proxy' is neither an address nor a network",
        ),
    ):
        result = odac("run", "app:app", *arguments)
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    for wrong, said in (
        (["--workers", "0"], "workers=0: must be at least 1"),
        (["--port", "70000"], "port=70000: a port is"),
    ):
        result = odac("run", "app:app", *wrong)
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    for wrong in (["--port", "x"], ["--log-level", "loud"], ["--nonsense"]):
        result = odac("run", "app:app", *wrong)
        assert result.exit_code == 2
        assert "Usage: " in result.stderr


@pytest.mark.parametrize("broker", ["nonsense", "ftp://host", "redis:x"])
def test_a_broker_that_is_none(odac: Odac, folder: Path, broker: str) -> None:
    write(folder, app=GOOD)
    result = odac("run", "app:app", "--port", "0", "--broker", broker)
    assert result.exit_code == 1
    assert "redis://" in result.stderr


# ---- publish


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["memory://", "room", "{}"], 1, "memory:// stays within one process"),
        (["nonsense", "room", "{}"], 1, "the broker's URL has no scheme"),
        (["redis://127.0.0.1:1", "room", "{}"], 1, "redis://127.0.0.1:1"),
        (["redis://127.0.0.1:1", "room", "hello"], 1, "'hello' is not JSON"),
        (["redis://127.0.0.1:1", "room", "[" * 200_000], 1, "is not JSON"),
        (["redis://127.0.0.1:1", "a\nb", "{}"], 1, "control character"),
        (["http://127.0.0.1:1/odac/publish", "room", "{}"], 1, "needs one of the app's publish keys"),
        (["http://127.0.0.1:1/odac/publish", "room", "{}", "--key", "k"], 1, "cannot be reached: Connection refused"),
        (["redis://127.0.0.1:1", "room"], 2, "URL ROOM JSON"),
        (["redis://127.0.0.1:1", "room", "{}", "--broadcast"], 2, "URL JSON with --broadcast"),
    ],
)
def test_publishing_what_or_where_it_cannot_be(odac: Odac, arguments: list[str], code: int, said: str) -> None:
    result = odac("publish", "--timeout", "2", *arguments)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


# ---- new


def test_a_new_project_and_what_to_do_next(odac: Odac, folder: Path) -> None:
    made = odac("new", "tea")
    assert made.exit_code == 0, made.output
    assert "tea/test_app.py" in made.output
    steps = ["cd tea", "pip install -r requirements-test.txt", "python -m pytest", "odac run app:app --reload"]
    assert "".join(f"  {step}\n" for step in steps) in made.output
    assert "--workers 2" in made.output
    assert "odac[local]" in made.output
    assert odac("routes", "app:app", "--app-dir", "tea").exit_code == 0
    again = odac("new", "tea")
    assert again.exit_code == 1
    assert again.stderr.startswith("odac: there is something in ")


# ---- connect


def test_connect_is_given_what_was_typed(odac: Odac, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, dict[str, object]]] = []

    def talk(url: str, **options: object) -> int:
        given.append((url, options))
        return 3

    monkeypatch.setattr("odac.client.interactive.main", talk)
    result = odac("connect", "ws://h/x", "--no-token", "-H", "X-A: b: c", "--cookie", "s=a=b", "--subprotocol", "p")
    assert result.exit_code == 3
    [(url, options)] = given
    assert url == "ws://h/x"
    assert options == {
        "token": False,
        "reconnect": True,
        "headers": {"X-A": "b: c"},
        "cookies": {"s": "a=b"},
        "subprotocols": ("p",),
        "prefix": "/odac",
        "proxy": True,
        "wait": 0.0,
    }
    odac("connect", "ws://h/x", "--proxy", "http://proxy.example:3128")
    odac("connect", "ws://h/x", "--proxy", "none")
    assert [options["proxy"] for _, options in given[1:]] == ["http://proxy.example:3128", None]
    assert odac("connect", "ws://h/x", "-H", "nonsense").exit_code == 2


def test_connecting_to_an_unreachable_server(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "odac", "connect", "ws://127.0.0.1:1/x"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Nothing listens at ws://127.0.0.1:1/x" in done.stdout
    assert done.stderr == ""


def without_input(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with its standard input closed, as ``<&-`` does."""
    words = " ".join(f"'{each}'" for each in (sys.executable, "-m", "odac", *arguments))
    return subprocess.run(["/bin/sh", "-c", f"{words} <&-"], capture_output=True, text=True, timeout=60, check=False)


def test_without_a_standard_input(folder: Path) -> None:
    done = without_input("connect", "ws://127.0.0.1:1/x")
    assert done.returncode == 2
    assert "the standard input is closed" in done.stdout
    assert done.stderr == ""
    done = without_input("publish", "memory://a", "room", "-")
    assert done.returncode == 1
    assert done.stderr == "odac: - reads the JSON from the standard input, which is closed\n"


# ---- as a program


def test_help_names_every_command(odac: Odac) -> None:
    result = odac("--help")
    for command in ("run", "routes", "publish", "connect"):
        assert f"\n  {command} " in result.stdout
        assert "Usage: " in odac(command, "-h").stdout


@pytest.mark.parametrize("start", [["-m", "odac"], ["-c", "from odac.cli import main; main()"]], ids=["-m", "script"])
def test_it_starts_as_a_program(folder: Path, start: list[str]) -> None:
    write(folder, app=ROUTES)
    done = subprocess.run(
        [sys.executable, *start, "routes", "app:app"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "/private/{id:int}" in done.stdout
    done = subprocess.run(
        [sys.executable, *start, "--version"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("odac, version ")


def test_importing_it_is_light() -> None:
    """No server is loaded before one is asked for."""
    program = "import sys, odac.cli; print(sorted({'uvicorn', 'uvloop', 'websockets.asyncio'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert done.stdout == "[]\n", done.stderr


CONTRACT = """
import msgspec
from odac import Odac

class Move(msgspec.Struct):
    to: str

app = Odac(secret="x" * 32)
chess = app.route.ws("/chess/{id}", message=Move)

@chess.answer("move")
def move(odac, move: Move) -> str:
    return move.to
"""


def test_the_contract_is_written_in_every_form(odac: Odac, folder: Path) -> None:
    write(folder, app=CONTRACT)
    forms = {
        ("schema",): 'asyncapi: "3.0.0"',
        ("schema", "--format", "json", "--title", "Chess"): '"title": "Chess"',
        ("types", "--library", "/odac/odac.mjs"): "call(name: 'move', args: Move",
        ("types", "--hooks", "react"): "// Made by `odac types app:app --hooks react`",
        ("types", "--hooks", "vue"): "from 'odac-client/vue'",
        ("client",): "async def move(self, arguments: MoveData",
    }
    for arguments, part in forms.items():
        result = odac(*arguments, "app:app")
        assert result.exit_code == 0, result.output
        assert part in result.stdout
        file = folder / "written"
        file.write_text(result.stdout, encoding="utf-8")
        same = odac(*arguments, "app:app", "--check", str(file))
        assert (same.exit_code, same.stdout) == (0, "")
        file.write_text("something else", encoding="utf-8")
        other = odac(*arguments, "app:app", "--check", str(file))
        assert other.exit_code == 1
        assert "differs from the contract of app:app" in other.output
        assert odac(*arguments, "app:app", "--check", str(folder / "nowhere")).exit_code == 1


def test_a_contract_needs_one_app(odac: Odac, folder: Path) -> None:
    write(folder, app="async def app(scope, receive, send): ...")
    result = odac("schema", "app:app")
    assert result.exit_code == 1
    assert "there are 0 Odac apps in app:app" in result.output


def test_run_has_an_option_for_each_field(odac: Odac) -> None:
    shown = odac("run", "--help").stdout
    for each in fields(ServeOptions):
        flag = each.metadata["command_line"].flag or "--" + each.name.replace("_", "-")
        assert f"  {flag} " in shown, flag
    assert "--access-log / --no-access-log" in shown
    assert "[default: 127.0.0.1]" in shown


def test_run_passes_every_option_on(odac: Odac, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr("odac.serving.run.run_app", lambda app, *, exiting, **options: given.append(options))
    monkeypatch.setenv("ODAC_SSL_KEYFILE_PASSWORD", "hunter2")
    assert odac("run", "app:app").exit_code == 0
    expected = {each.name: each.default for each in fields(ServeOptions)} | {"ssl_keyfile_password": "hunter2"}
    assert given.pop() == expected
    arguments = ["--port", "0", "--reload", "--reload-dir", "a", "--reload-dir", "b", "--behind-tls", "--access-log"]
    assert odac("run", "app:app", *arguments).exit_code == 0
    changed = {"port": 0, "reload": True, "reload_dirs": ("a", "b"), "behind_tls": True, "access_log": True}
    assert given.pop() == expected | changed
