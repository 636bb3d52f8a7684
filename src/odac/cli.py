"""The command ``odac``. Modules are imported when a command needs them, so that ``odac --help`` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, NoReturn

import click

from odac.serving.options import LOG_LEVELS, CommandLine, ServeOptions

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="odac", prog_name="odac")
def main() -> None:
    """Serve realtime apps, list their routes, and connect to them."""


def _fail(message: object) -> NoReturn:
    from odac.notices import harmless

    # It may contain text from a server or a broker.
    click.echo("odac: " + "\n".join(map(harmless, str(message).split("\n"))), err=True)
    sys.exit(1)


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each field of :class:`ServeOptions`, which checks their values."""
    for entry in reversed(fields(ServeOptions)):
        shown: CommandLine = entry.metadata["command_line"]
        flag = shown.flag or "--" + entry.name.replace("_", "-")
        settings: dict[str, Any] = {"help": shown.help, "metavar": shown.metavar, "default": entry.default}
        if isinstance(entry.default, bool):
            if shown.negatable:
                flag, settings["show_default"] = f"{flag}/--no-{flag[2:]}", True
            else:
                settings["is_flag"] = True
        elif isinstance(entry.default, tuple):
            settings["multiple"] = True
        elif isinstance(entry.default, int):
            settings |= {"type": int, "show_default": True}
        elif entry.name == "log_level":
            settings |= {"type": click.Choice(LOG_LEVELS), "show_default": True}
        elif entry.default:
            settings["show_default"] = True
        command = click.option(flag, entry.name, envvar=shown.envvar, **settings)(command)
    return command


@main.command()
@click.argument("app", metavar="MODULE:APP")
@_run_options
def run(app: str, **options: Any) -> None:
    """Serve an app, such as chat:app."""
    try:
        from odac.errors import OdacError
        from odac.serving.run import run_app

        try:
            run_app(app, exiting=True, **options)
        except OdacError as error:
            _fail(error)
    except KeyboardInterrupt:  # before the server handles signals
        sys.exit(130)


@main.command()
@click.argument("name", metavar="NAME")
def new(name: str) -> None:
    """Make a folder NAME with a small typed app: its page, its test and a Dockerfile."""
    from odac.errors import OdacError
    from odac.new_project.project import create_project

    try:
        files = create_project(name)
    except OdacError as error:
        _fail(error)
    for file in files:
        click.echo(os.path.relpath(file))
    steps = ["pip install -r requirements-test.txt", "python -m pytest", "odac run app:app --reload"]
    if name != ".":
        steps.insert(0, f"cd {name}")
    click.echo("\nNext:\n" + "\n".join(f"  {step}" for step in steps))
    click.echo("\nSeveral workers (odac run app:app --workers 2) need: pip install 'odac[local]'")


@main.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--factory", is_flag=True, help="APP is a function that returns the app.")
@click.option(
    "--app-dir", default="", metavar="PATH", help="Directory searched first for MODULE; default: the current one."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of objects.")
def routes(app: str, factory: bool, app_dir: str, as_json: bool) -> None:
    """List an app's WebSocket routes: path, gates, middleware, options."""
    from odac.brokers.url import DIRECTORY_VARIABLE, NO_DIRECTORY
    from odac.errors import OdacError
    from odac.serving.describe import route_facts, route_rows, table
    from odac.serving.loading import find_odac_apps, load_app

    # Lets an app that names local:// be inspected without the server that would run its workers.
    placed = os.environ.setdefault(DIRECTORY_VARIABLE, NO_DIRECTORY)
    try:
        found = find_odac_apps(load_app(app, factory=factory, app_dir=app_dir))
        if not found:
            _fail(f"there is no Odac app in {app}")
        for listed in found:
            listed.app.check()
    except OdacError as error:
        _fail(error)
    finally:
        if placed == NO_DIRECTORY:
            del os.environ[DIRECTORY_VARIABLE]
    if as_json:
        import json

        click.echo(json.dumps(route_facts(found), indent=2, ensure_ascii=False))
    else:
        click.echo(table(route_rows(found)))


def _contract(command: Any) -> Any:
    """Add the arguments of the commands that write a contract."""
    for decorate in (
        click.option("--check", metavar="FILE", help="Write nothing; fail if FILE holds something else."),
        click.option(
            "--app-dir",
            default="",
            metavar="PATH",
            help="Directory searched first for MODULE; default: the current one.",
        ),
        click.option("--factory", is_flag=True, help="APP is a function that returns the app."),
        click.argument("app", metavar="MODULE:APP"),
    ):
        command = decorate(command)
    return command


def _write(app: str, make: Any, factory: bool, app_dir: str, check: str | None) -> None:
    from odac.errors import OdacError
    from odac.serving.contracts import write_contract

    try:
        click.echo(write_contract(app, make, factory=factory, app_dir=app_dir, check=check), nl=False)
    except OdacError as error:
        _fail(error)


@main.command()
@_contract
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.option("--title", help="Of the document; default: MODULE:APP.")
@click.option("--api-version", default="1.0.0", show_default=True, help="Of the app's contract.")
def schema(
    app: str, factory: bool, app_dir: str, check: str | None, form: str, title: str | None, api_version: str
) -> None:
    """Write the messages that an app's routes receive and send, as AsyncAPI 3.0."""
    from odac.contract import asyncapi

    write = asyncapi.to_json if form == "json" else asyncapi.to_yaml
    _write(
        app,
        lambda contract: write(asyncapi.document(contract, title=title or app, version=api_version)),
        factory,
        app_dir,
        check,
    )


@main.command()
@_contract
@click.option("--library", default="odac-client", show_default=True, help="Where the browser client is imported from.")
@click.option("--hooks", type=click.Choice(["react", "vue"]), help="Type useOdac of odac-client/react or /vue as well.")
def types(
    app: str, factory: bool, app_dir: str, check: str | None, library: str, hooks: Literal["react", "vue"] | None
) -> None:
    """Write a TypeScript module that types an app's routes: odac types chess:app > api.ts."""
    from odac.contract import typescript

    command = f"odac types {app}" + (f" --hooks {hooks}" if hooks else "")
    _write(
        app,
        lambda contract: typescript.module(contract, command=command, library=library, hooks=hooks),
        factory,
        app_dir,
        check,
    )


@main.command()
@_contract
def client(app: str, factory: bool, app_dir: str, check: str | None) -> None:
    """Write a Python module with a typed client of each route: odac client chess:app > api.py."""
    from odac.contract import python

    _write(app, lambda contract: python.module(contract, command=f"odac client {app}"), factory, app_dir, check)


@main.command()
@click.argument("url", metavar="URL")
@click.argument("room_and_data", metavar="[ROOM] JSON", nargs=-1, required=True)
@click.option("--broadcast", is_flag=True, help="Send to all clients; there is no ROOM then.")
@click.option(
    "--key",
    envvar="ODAC_PUBLISH_KEY",
    help="For an http(s):// URL: one of the app's publish keys; better in $ODAC_PUBLISH_KEY.",
)
@click.option("--timeout", type=click.FloatRange(0.1), default=5.0, show_default=True, help="Seconds to wait.")
def publish(url: str, room_and_data: tuple[str, ...], broadcast: bool, key: str | None, timeout: float) -> None:
    """Send JSON to everyone in a room.

    URL is the app's broker (redis://localhost, nats://localhost, local://name as given to odac run --broker, or the
    local:// line that it prints), or its publish endpoint (https://example.com/odac/publish). JSON is what the members
    get; - reads it from the input.
    """
    from odac.errors import OdacError
    from odac.serving.publishing import publish as send

    if len(room_and_data) != (1 if broadcast else 2):
        raise click.UsageError(
            "it takes URL JSON with --broadcast" if broadcast else "it takes URL ROOM JSON, or --broadcast URL JSON"
        )
    if room_and_data[-1] == "-" and sys.stdin is None:
        _fail("- reads the JSON from the standard input, which is closed")
    text = sys.stdin.read() if room_and_data[-1] == "-" else room_and_data[-1]
    try:
        send(url, None if broadcast else room_and_data[0], text, key=key, timeout=timeout)
    except (OdacError, ValueError) as error:
        _fail(error)


@main.command()
@click.argument("url", metavar="URL")
@click.option("--token/--no-token", default=True, show_default=True, help="Ask for a token first.")
@click.option(
    "--reconnect/--no-reconnect", default=True, show_default=True, help="Reconnect when the connection is lost."
)
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="A further header of the handshake."
)
@click.option("--cookie", "cookies", multiple=True, metavar="NAME=VALUE", help="A cookie of the handshake.")
@click.option("--subprotocol", "subprotocols", multiple=True, metavar="NAME", help="A subprotocol to offer.")
@click.option("--prefix", default="/odac", show_default=True, help="Where the server keeps its token endpoint.")
@click.option(
    "--proxy",
    metavar="URL",
    help="The forward proxy on the way, such as http://user:password@host:3128; none goes straight. Default: the"
    " environment's, $https_proxy or $http_proxy.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0.0),
    default=0.0,
    show_default=True,
    help="Seconds to listen after the end of the input.",
)
def connect(url: str, headers: tuple[str, ...], cookies: tuple[str, ...], proxy: str | None, **options: Any) -> None:
    """Connect to a route: send each typed line, and print each received message."""
    from odac.client.interactive import main as talk

    options["proxy"] = {None: True, "none": None}.get(proxy, proxy)
    sys.exit(talk(url, headers=_pairs(headers, ":", "--header"), cookies=_pairs(cookies, "=", "--cookie"), **options))


def _pairs(values: tuple[str, ...], separator: str, option: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, found, content = value.partition(separator)
        if not found or not name.strip():
            raise click.UsageError(f"{option} {value!r}: write it as NAME{separator}VALUE")
        pairs[name.strip()] = content.strip()
    return pairs
