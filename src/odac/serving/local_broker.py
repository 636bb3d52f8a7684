"""The local broker's proxy, which connects the workers of a server and other programs on the machine."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from odac.brokers.local_paths import base, directory_of, only_ours
from odac.brokers.url import parse_url
from odac.errors import ConfigurationError

__all__ = ["local_brokers", "private_directory"]

_PRIVATE = "private-"


@contextlib.contextmanager
def local_brokers(urls: Iterable[str]) -> Iterator[None]:
    """Run the proxy of every ``local://`` URL among these, or stand by while another process runs it.

    Raises:
        ConfigurationError: a URL is malformed, or other users may write to its directory.
        BrokerError: the sockets cannot be created.
    """
    local = [url for url in map(parse_url, urls) if url.scheme == "local"]
    with contextlib.ExitStack() as stack:
        for directory in dict.fromkeys(map(directory_of, local)):
            try:
                from odac.brokers.local_proxy import LocalProxy
            except ModuleNotFoundError:
                break  # an app with another broker needs no proxy; for others, Odac() reports what to install
            proxy = LocalProxy(directory)
            proxy.start()
            stack.callback(proxy.stop)
        yield


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """A directory for the nameless local broker of one server; directories of killed servers are removed."""
    base().mkdir(mode=0o700, exist_ok=True)
    if not only_ours(base()):
        raise ConfigurationError(f"{base()}: other users may put a socket there; as its owner, run chmod 700 on it")
    for left in base().glob(f"{_PRIVATE}*"):
        _remove(left)
    path = Path(tempfile.mkdtemp(prefix=_PRIVATE, dir=base()))
    try:
        yield str(path)
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a directory whose proxy no process runs."""
    import fcntl

    with contextlib.suppress(OSError):  # it is in use, or another process has removed it
        lock = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for each in path.iterdir():
                each.unlink()
            path.rmdir()
        finally:
            os.close(lock)
