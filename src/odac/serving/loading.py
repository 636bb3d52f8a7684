"""Loads the app that ``module:app`` names, or explains in one sentence why it cannot."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from starlette.routing import Host, Mount

from odac.app import Odac
from odac.errors import ConfigurationError
from odac.serving.options import CannotStart, ServeOptions
from odac.signatures import signature_of

__all__ = ["Found", "app_names", "find_odac_apps", "load_and_check", "load_app"]

_ODAC: Final = str(Path(__file__).parents[1])
_PYTHON: Final = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})


def load_app(target: str, *, factory: bool = False, app_dir: str = "") -> Any:
    """Import the app that ``module:app`` names.

    Args:
        target: the module, a colon, and the name in it (with dots for attributes of attributes).
        factory: the name is a function that returns the app.
        app_dir: the directory that is searched first for modules; by default the current directory.

    Raises:
        CannotStart: there is no such name, it is not an app, or importing it fails; the message names the place.
    """
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        raise CannotStart(f"{target!r} must be a module and the app's name in it, such as {_suggested(target)!r}")
    if module_name.endswith(".py") or "/" in module_name:
        raise CannotStart(
            f"{target!r} names a file; name the module:"
            f" {_suggested(module_name) if path == 'app' else _module_of(module_name) + ':' + path!r}"
        )
    directory = str(Path(app_dir or ".").resolve())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _import(module_name, directory)
    for name in path.split("."):
        if not hasattr(found, name):
            raise CannotStart(_missing(target, module_name, name, found))
        found = getattr(found, name)
    if factory:
        found = _call_factory(target, found)
    _check_asgi(target, found)
    return found


def load_and_check(app: str | Any, options: ServeOptions) -> tuple[Any, list[Found]]:
    """Import the app, and check everything that can be checked before it starts.

    Raises:
        OdacError: something is wrong with it; the message names the fix.
    """
    if options.broker is not None:
        os.environ["ODAC_BROKER"] = options.broker
    loaded = load_app(app, factory=options.factory, app_dir=options.app_dir) if isinstance(app, str) else app
    found = find_odac_apps(loaded)
    for each in found:
        if options.broker is not None:
            each.app.broker_url = options.broker  # this overrides the app's own broker: the command line has precedence
        each.app.check()
    return loaded, found


class Found(NamedTuple):
    """An Odac app within an ASGI app.

    Args:
        app: the app.
        path: the path where it is mounted; empty at the root.
    """

    app: Odac
    path: str


def find_odac_apps(app: Any) -> list[Found]:
    """The Odac apps in an ASGI app, outermost first: itself, the app that it wraps, and those mounted in it."""
    found: list[Found] = []
    seen: set[int] = set()
    pending: list[tuple[Any, str]] = [(app, "")]
    while pending:
        each, path = pending.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Odac):
            found.append(Found(each, path))
        pending.extend(_inside(each, path))
    return found


def _inside(app: Any, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(app, Odac):
        yield app.http, path
        return
    yield getattr(app, "app", None), path  # a middleware around another app
    routes = getattr(app, "routes", None)
    if isinstance(routes, list):
        for route in routes:
            if isinstance(route, Mount):
                yield route.app, path + route.path
            elif isinstance(route, Host):
                yield route.app, path


def _import(name: str, directory: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise CannotStart(
                f"there is no module {error.name!r} in {directory} nor among the installed"
                f" packages{_near(name, directory)}"
            ) from None
        raise CannotStart(_told(error, f"{name} cannot be imported")) from None
    except ConfigurationError as error:
        where = _line_of(error)
        raise CannotStart(f"{error}" + (f"\n{where}" if where else "")) from None
    except SystemExit as error:
        raise CannotStart(_told(error, f"{name} ended the program while it was imported")) from None
    except Exception as error:
        raise CannotStart(_told(error, f"{name} cannot be imported")) from None


def _told(error: BaseException, what: str) -> str:
    where = (
        f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"
        if isinstance(error, SyntaxError)
        else _line_of(error)
    )
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{what}: {type(error).__name__}" + (f": {message}" if message else "") + (f"\n{where}" if where else "")


def _line_of(error: BaseException) -> str:
    """The line that the user can fix: the last one that is neither in Python, nor in a package, nor in Odac."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not frame.filename.startswith(("<", _ODAC, *_PYTHON)) and "site-packages" not in frame.filename
    ]
    return f"{own[-1].filename}, line {own[-1].lineno}: {own[-1].line}" if own else ""


def app_names(module: Any) -> list[str]:
    """The names of the Odac apps in a module; none if it is not a module."""
    return [key for key, value in vars(module).items() if isinstance(value, Odac)] if inspect.ismodule(module) else []


def _missing(target: str, module_name: str, name: str, found: Any) -> str:
    apps = app_names(found)
    if apps:
        return f"{target!r}: there is no {name!r} in {module_name}, but an app: try {module_name}:{apps[0]}"
    near = difflib.get_close_matches(name, [key for key in dir(found) if not key.startswith("_")], 1)
    return f"{target!r}: there is no {name!r} in {module_name}" + (f"; did you mean {near[0]!r}?" if near else "")


def _call_factory(target: str, factory: Any) -> Any:
    if not callable(factory):
        raise CannotStart(f"{target!r} is {_kind(factory)}: with --factory, it must be a function that returns the app")
    try:
        return factory()
    except Exception as error:
        raise CannotStart(_told(error, f"{target} raised")) from None


def _check_asgi(target: str, app: Any) -> None:
    if isinstance(app, Odac):
        return
    if inspect.isclass(app):
        raise CannotStart(f"{target!r} is the class {app.__name__}: make an app of it, such as app = {app.__name__}()")
    if not callable(app):
        raise CannotStart(f"{target!r} is {_kind(app)}: it must be an Odac app, or another ASGI app")
    try:
        signature = signature_of(app)
    except (TypeError, ValueError):
        return  # a callable without a signature
    if _takes(signature, 3):
        return
    if _takes(signature, 0):
        raise CannotStart(f"{target!r} is a function without arguments: if it returns the app, start it with --factory")
    if _takes(signature, 2):
        raise CannotStart(
            f"{target!r} looks like a WSGI app: put it into an Odac app with Odac(http=WSGIMiddleware(…)), from a2wsgi"
        )
    raise CannotStart(f"{target!r} is not an ASGI app: it does not take scope, receive and send")


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"


def _module_of(path: str) -> str:
    return path.removeprefix("./").removesuffix(".py").strip("/").replace("/", ".") or "module"


def _suggested(target: str) -> str:
    return f"{_module_of(target.partition(':')[0])}:app"


def _near(name: str, directory: str) -> str:
    modules = [path.stem for path in Path(directory).glob("*.py")]
    near = difflib.get_close_matches(name.partition(".")[0], modules, 1)
    return f"; did you mean {near[0]!r}?" if near and near[0] != name else ""
