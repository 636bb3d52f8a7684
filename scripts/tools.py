"""The programs outside Python that the tests and checks use, and which of them are missing.

``python scripts/tools.py`` lists what is missing, what is not tested without it and how to get it. With ``--require``
(CI) anything missing is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import NamedTuple


class Tool(NamedTuple):
    """One program, under any of the names in ``commands``."""

    name: str
    commands: tuple[str, ...]
    tests: str
    install: str


TOOLS = (
    Tool(
        "Node 20",
        ("node",),
        "the browser client's unit tests and its rebuild",
        "apt-get install nodejs, or https://nodejs.org",
    ),
    Tool("npm", ("npm",), "the browser client's unit tests and its rebuild", "apt-get install npm, or with Node"),
    Tool(
        "Chromium",
        ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
        "the chat and the client in a real browser (tests/browser)",
        "apt-get install chromium (and chromium-headless-shell, which most tests prefer: it is faster), or"
        " brew install --cask chromium",
    ),
    Tool(
        "Firefox",
        ("firefox-esr", "firefox"),
        "the client in a second real browser (tests/browser/client)",
        "apt-get install firefox-esr, or brew install --cask firefox",
    ),
    Tool(
        "Redis or Valkey",
        ("redis-server", "valkey-server"),
        "redis:// against a real server",
        "apt-get install redis-server",
    ),
    Tool("NATS", ("nats-server",), "nats:// against a real server", "apt-get install nats-server"),
    Tool("nginx", ("nginx",), "the deployment configuration for nginx", "apt-get install nginx"),
    Tool("HAProxy", ("haproxy",), "the deployment configuration for HAProxy", "apt-get install haproxy"),
    Tool("Apache", ("apache2",), "the deployment configuration for Apache", "apt-get install apache2"),
    Tool("Caddy", ("caddy",), "the deployment configuration for Caddy", "apt-get install caddy"),
    Tool(
        "lighttpd",
        ("lighttpd",),
        "the deployment configuration for lighttpd",
        "apt-get install lighttpd lighttpd-mod-openssl",
    ),
    Tool("Varnish", ("varnishd",), "the deployment configuration for Varnish", "apt-get install varnish"),
    Tool("stunnel", ("stunnel",), "the deployment configuration for stunnel", "apt-get install stunnel4"),
)


def missing() -> list[Tool]:
    """The tools without any command on PATH (Debian installs some servers in /usr/sbin)."""
    where = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return [tool for tool in TOOLS if not any(shutil.which(command, path=where) for command in tool.commands)]


def main() -> int:
    """Print the missing tools; return 1 for ``--require`` when there are any."""
    absent = missing()
    if absent:
        print("\nLeft out, because these programs are not installed:")
        for tool in absent:
            print(f"  {tool.name:<16} tests {tool.tests}\n  {'':<16} get it: {tool.install}")
    return 1 if absent and "--require" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
