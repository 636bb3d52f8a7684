"""The commands that write an app's contract: ``odac schema``, ``odac types`` and ``odac client``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from odac.brokers.url import DIRECTORY_VARIABLE, NO_DIRECTORY
from odac.contract.model import Contract, read
from odac.errors import ConfigurationError
from odac.serving.loading import find_odac_apps, load_app

__all__ = ["write_contract"]


def write_contract(
    target: str, make: Callable[[Contract], str], *, factory: bool, app_dir: str, check: str | None
) -> str:
    """Return the text to print; with ``check``, compare it with a file instead.

    Args:
        target: ``module:app``.
        make: writes a contract.
        factory: whether the target is a function that returns the app.
        app_dir: the directory that is searched first for the module.
        check: the name of a file that should contain the same text.

    Raises:
        ConfigurationError: there is no app or more than one, or the file differs; the message names the fix.
    """
    # Lets an app that names local:// be inspected without the server that would run its workers.
    placed = os.environ.setdefault(DIRECTORY_VARIABLE, NO_DIRECTORY)
    try:
        found = find_odac_apps(load_app(target, factory=factory, app_dir=app_dir))
        if len(found) != 1:
            raise ConfigurationError(f"there are {len(found)} Odac apps in {target}: name one of them")
        found[0].app.check()
        app = found[0].app
        cookie = app.auth.sessions.cookie
        made = make(read(app.websocket_routes, app.room_rules, prefix=app.prefix, cookie=cookie))
    finally:
        if placed == NO_DIRECTORY:
            del os.environ[DIRECTORY_VARIABLE]
    if check is None:
        return made
    path = Path(check)
    if not path.exists() or path.read_text(encoding="utf-8") != made:
        raise ConfigurationError(f"{check} differs from the contract of {target}: write it again, and review the diff")
    return ""
