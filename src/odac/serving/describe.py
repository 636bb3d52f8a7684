"""Descriptions of an app's routes, for the first lines of ``odac run`` and for ``odac routes``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from odac.brokers.registry import make_broker
from odac.config import RateLimit
from odac.protocol.types import name_of
from odac.routing.router import Route
from odac.serving.loading import Found, app_names

__all__ = ["RouteRow", "introduction", "route_facts", "route_rows", "table"]

_SHOWN: Final = 20
"""Routes that the introduction lists."""


class RouteRow(NamedTuple):
    """One route, in words."""

    path: str
    gates: str
    middleware: str
    options: str


def route_rows(apps: Sequence[Found]) -> list[RouteRow]:
    """Every WebSocket route of these apps."""
    return [
        RouteRow(
            path + route.path,
            " ".join(_gates(route)) or "-",
            " ".join(_middleware(route)) or "-",
            " ".join(
                f"{name}={_option(name, value)}"
                for name, value in route.options.items()
                if name not in ("token", "origins")
            )
            or "-",
        )
        for app, path in apps
        for route in app.websocket_routes
    ]


def route_facts(apps: Sequence[Found]) -> list[dict[str, Any]]:
    """Every WebSocket route of these apps, as JSON for programs."""
    return [
        {
            "path": path + route.path,
            "handler": f"{route.handler.__module__}:{getattr(route.handler, '__qualname__', repr(route.handler))}",
            "auth": route.needs_auth,
            "token": route.needs_token,
            "middleware": _middleware(route),
            "message": None if route.functions.message is None else name_of(route.functions.message),
            "answers": sorted(route.functions.answers),
            "options": {
                name: value if value is None or isinstance(value, (bool, int, float, str)) else _option(name, value)
                for name, value in route.options.items()
                if name not in ("token", "message")
            },
        }
        for app, path in apps
        for route in app.websocket_routes
    ]


def _middleware(route: Route) -> list[str]:
    return [each if isinstance(each, str) else getattr(each, "__name__", repr(each)) for each in route.middleware]


def _gates(route: Route) -> list[str]:
    """The checks that a handshake must pass, in their order."""
    gates = []
    origins = route.options.get("origins")
    if origins is not None:
        gates.append(f"origin={_value(origins)}")
    if route.needs_auth:
        gates.append("auth")
    if route.needs_token:
        gates.append("token")
    return gates


def _option(name: str, value: Any) -> str:
    return name_of(value) if name in ("message", "sends") else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, RateLimit):
        return f"{value.max}/{value.window:g}s"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    if isinstance(value, type):
        return value.__name__
    return str(value)


def table(rows: Sequence[RouteRow]) -> str:
    """The rows below their headings, as aligned columns."""
    lines = [RouteRow("path", "gates", "middleware", "options"), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def introduction(target: str, address: str, apps: Sequence[Found], *, workers: int = 1) -> str:
    """The first lines of a server's output: its address, the address of the client script, and the routes.

    Args:
        target: the app's name.
        address: see :func:`odac.serving.listener.listening_address`.
        apps: the Odac apps in it.
        workers: processes that serve it.
    """
    many = f", {workers} workers" if workers > 1 else ""
    lines = [f"{target} on {address}{many} (Ctrl-C stops it)"]
    base = address if address.startswith("http") else ""
    lines += [f"  client script  {base}{path}{app.prefix}/odac.js" for app, path in apps]
    rows = route_rows(apps)
    for index, row in enumerate(rows[:_SHOWN]):
        passed = " ".join(part for part in (row.gates, row.middleware) if part != "-")
        lines.append(f"  {'routes' if index == 0 else '':13}  {row.path}" + (f"  ({passed})" if passed else ""))
    if len(rows) > _SHOWN:
        lines.append(f"  {'':13}  and {len(rows) - _SHOWN} more: odac routes {target}")
    addresses = [make_broker(app.broker_url).address for app, _ in apps]
    lines += [f"  broker         {each}" for each in dict.fromkeys(addresses) if not each.startswith("memory:")]
    if not rows:
        lines.append(
            "  no WebSocket routes yet: add one with @app.route.ws(path)"
            if apps
            else f"  no Odac app in it: served as it is{_another(target)}"
        )
    return "\n".join(lines)


def _another(target: str) -> str:
    """A hint for a command that names the wrapped app instead of the Odac app around it."""
    module = target.partition(":")[0]
    names = app_names(sys.modules.get(module))
    return f"; did you mean {module}:{names[0]}, which is one?" if names else ""
