"""Listening sockets. They are opened first, so that a wrong address is reported before anything else starts."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from odac.serving.options import CannotStart, ServeOptions

__all__ = ["BACKLOG", "Ports", "bind", "listening_address"]

BACKLOG: Final = 2048
"""Connections that wait to be accepted; the system may allow fewer (net.core.somaxconn)."""


def bind(options: ServeOptions, *, shared: bool = False, listen: bool = True) -> list[socket.socket]:
    """Bind every address of the options' host and port, or their Unix socket.

    Args:
        options: the host and port, or the path of the socket (uds).
        shared: let other sockets that are bound in this way share the port and its connections (SO_REUSEPORT).
        listen: let the kernel queue connections at once. A socket that does not listen gets none.

    Raises:
        CannotStart: the address cannot be bound; the message gives the reason and the fix.
    """
    if options.uds is not None:
        return [_bind_unix(options.uds)]
    try:
        found = socket.getaddrinfo(options.host or None, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise CannotStart(
            f"the host {options.host!r} has no address here: give an address of this machine, such as 127.0.0.1, or"
            " 0.0.0.0 for all of them"
        ) from None
    bound: list[socket.socket] = []
    port = options.port
    try:
        for family, _, protocol, _, address in dict.fromkeys(found):
            each = _bind_inet(family, protocol, (address[0], port, *address[2:]), shared, listen)
            bound.append(each)
            port = each.getsockname()[1]  # with port 0, all addresses use the port that the first one got
    except OSError as error:
        for each in bound:
            each.close()
        raise CannotStart(_why(error, options.host, port)) from None
    return bound


def _bind_inet(family: int, protocol: int, address: tuple[object, ...], shared: bool, listen: bool) -> socket.socket:
    each = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        if os.name == "posix":
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        each.bind(address)
        if listen:
            each.listen(BACKLOG)
        each.setblocking(False)
    except OSError:
        each.close()
        raise
    return each


def _bind_unix(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise CannotStart("this system has no Unix sockets: use a host and a port")
    each = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        each.bind(path)
        # As in uvicorn: the folder's permissions decide which users may connect.
        Path(path).chmod(0o666)
        each.listen(BACKLOG)
        each.setblocking(False)
    except OSError as error:
        each.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(f"{path} is in use by another server, or is not a socket") from None
        raise CannotStart(f"cannot listen on {path}: {error.strerror or error}") from None
    return each


def _remove_stale(path: str) -> None:
    """Remove the socket of a server that has ended; if a server answers on it, keep it: binding will fail."""
    if not Path(path).exists() or not stat.S_ISSOCK(Path(path).stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host or 'this machine'} is in use by another program: stop it, or choose another port"
            " with --port (0 takes any that is free)"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} needs more rights than this user has: choose one from 1024 with --port, and let a proxy"
            f" listen on {port}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: use one of its own, such as 127.0.0.1, or 0.0.0.0 for all"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


def listening_address(sockets: Sequence[socket.socket], options: ServeOptions) -> str:
    """The server's address for users of this machine: ``http://127.0.0.1:8000``, or ``unix:/path``."""
    if options.uds is not None:
        return f"unix:{options.uds}"
    port = sockets[0].getsockname()[1]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(options.host, options.host)  # noqa: S104
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{'https' if options.ssl_certfile else 'http'}://{host}:{port}"


class Ports:
    """The listening sockets of several workers.

    On Linux each worker has sockets of its own on the same port (SO_REUSEPORT), and the kernel distributes connections
    by a hash of both addresses. This process keeps them open, so that connections in a worker's queue are accepted by
    its replacement. On other systems, and on a Unix socket, all workers accept from the same socket, and faster ones
    get more connections.

    Args:
        options: the host and port or uds, and the number of workers.

    Raises:
        CannotStart: see :func:`bind`.
    """

    def __init__(self, options: ServeOptions) -> None:
        self._each = _CAN_SPREAD and options.uds is None and options.workers > 1
        if self._each and options.port:
            # Sockets that share a port would silently join another server of the same user.
            for probe in bind(options):
                probe.close()
        first = bind(options, shared=self._each)
        self.address = listening_address(first, options)
        if options.uds is None:
            options = replace(options, port=first[0].getsockname()[1])
        self._options = options
        self._sets = [first]
        try:
            while self._each and len(self._sets) < options.workers:
                self._sets.append(bind(options, shared=True))
        except CannotStart:
            self.close_all()
            raise

    def descriptors(self, index: int) -> list[int]:
        """The descriptors of the sockets that the worker with this index listens on."""
        return [each.fileno() for each in self._sets[index if self._each else 0]]

    def close(self, index: int) -> None:
        """Give a worker's connections to the other workers, if each has sockets of its own. The last worker's sockets
        stay open to keep the port.
        """
        if self._each and sum(map(bool, self._sets)) > 1:
            for each in self._sets[index]:
                each.close()
            self._sets[index] = []

    def open(self, index: int) -> None:
        """Undo :meth:`close`, if that was called; the worker gets connections once it listens."""
        if self._each and not self._sets[index]:
            self._sets[index] = bind(self._options, shared=True, listen=False)

    def close_all(self) -> None:
        """Stop listening."""
        for each in self._sets:
            for one in each:
                one.close()


_CAN_SPREAD: Final = sys.platform == "linux"
