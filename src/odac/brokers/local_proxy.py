"""The proxy of the local broker: forwards what one process of this machine publishes to the others."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Final

import zmq

from odac.brokers.local_log import LocalLog
from odac.brokers.local_paths import base, check_path, may_create, only_ours
from odac.errors import BrokerError, ConfigurationError

__all__ = ["HIGH_WATER", "LocalProxy", "addresses", "bound", "log_address"]

_log = logging.getLogger("odac.broker")

HIGH_WATER: Final = 4096
"""Payloads buffered for one process. Above it, the proxy drops payloads for that process, which detects the gap."""
STALE: Final = 60_000
"""Milliseconds after which the proxy disconnects a suspended process, for which subscriptions would be buffered
without bound.
"""
NEXT: Final = 0.2
"""Seconds between two checks whether the process that runs the proxy has ended."""


def bound(socket: zmq.Socket[bytes]) -> None:
    """Bound the payloads that a socket buffers, but never the subscriptions.

    ZeroMQ applies one limit to both and silently drops what exceeds it. A room whose subscription is dropped would
    never get a message. Subscriptions flow in the opposite direction: out of SUB and XSUB, and into XPUB.
    """
    listens = socket.type in (zmq.SUB, zmq.XSUB)
    socket.rcvhwm, socket.sndhwm = (HIGH_WATER, 0) if listens else (0, HIGH_WATER)


def log_address(directory: Path) -> str:
    """The address of the socket that serves the rooms' histories."""
    return f"ipc://{directory}/log"


def addresses(directory: Path) -> tuple[str, str]:
    """The addresses of the socket that processes publish to, and of the one that they subscribe to."""
    return f"ipc://{directory}/in", f"ipc://{directory}/out"


class LocalProxy:
    """Forwards what one process publishes to the others, in a thread; or stands by while another process does that.

    The process that holds a lock on the directory runs the proxy. The system releases the lock when that process ends,
    however it ends, and a process that stands by takes over: its sockets replace the old ones.

    Args:
        directory: contains the two sockets; created with mode 0700 if it does not exist.

    Raises:
        ConfigurationError: the directory's path is too long for a socket.
    """

    def __init__(self, directory: Path) -> None:
        check_path(directory)
        self.directory = directory
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._lock: int | None = None
        self._thread: threading.Thread | None = None
        self._log_thread: threading.Thread | None = None
        self._ending = threading.Event()
        self._binding = threading.Lock()
        _proxies.add(self)

    def start(self) -> None:
        """Run the proxy from now on, or stand by if another process runs it.

        Raises:
            ConfigurationError: other users may write to the directory, or it belongs to another user.
            BrokerError: the sockets cannot be created.
        """
        sockets = self._bind() if self._take() else None
        self._thread = threading.Thread(target=self._serve, args=(sockets,), name="odac local broker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and remove the sockets."""
        with self._binding:
            self._ending.set()
        if self._context is not None:
            # Ends zmq.proxy() with ContextTerminated, and waits until the thread has closed its sockets.
            self._context.term()
            for address in (*addresses(self.directory), log_address(self.directory)):
                Path(address.removeprefix("ipc://")).unlink(missing_ok=True)
        if self._log_thread is not None:
            self._log_thread.join()
            self._log_thread = None
        if self._thread is not None:
            self._thread.join()
        self._context = self._thread = None
        self.release()

    def release(self) -> None:
        """Let another process take over."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> bool:
        """Lock the directory; return False if another process holds the lock."""
        while True:
            self._make_directory()
            try:
                lock = os.open(self.directory, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The directory may have been removed and created again between the two calls.
                if os.path.samestat(os.fstat(lock), self.directory.stat()):
                    self._lock = lock
                    return True
            except BlockingIOError:
                os.close(lock)
                return False
            except FileNotFoundError:
                pass
            os.close(lock)

    def _make_directory(self) -> None:
        for each in (*([base()] if self.directory.parent == base() else []), self.directory):
            try:
                if not each.exists() and not may_create(each):
                    raise ConfigurationError(f"{each} is not created: another user could put a socket there")
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"{each} cannot be created: {error.strerror}") from None
            if not only_ours(each):
                raise ConfigurationError(
                    f"{each}: other users may put a socket there; as its owner, run chmod 700 on it"
                )

    def _bind(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        incoming, outgoing = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        try:
            for socket, address in zip((incoming, outgoing), addresses(self.directory), strict=True):
                bound(socket)
                socket.linger = 0
                socket.heartbeat_ivl, socket.heartbeat_timeout = STALE // 4, STALE
                socket.bind(address)  # replaces a socket file that an earlier process left behind
                Path(address.removeprefix("ipc://")).chmod(0o600)
            self._start_log(context)
        except (zmq.ZMQError, OSError) as error:
            context.destroy(linger=0)
            self.release()
            raise BrokerError(f"{self.directory}: {error}") from None
        self._context = context
        return incoming, outgoing

    def _start_log(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Keep the rooms' histories in a thread of their own. A new proxy process begins with empty ones."""
        router, publisher = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
        for socket in (router, publisher):
            bound(socket)
            socket.linger = 0
        address = log_address(self.directory)
        router.bind(address)
        Path(address.removeprefix("ipc://")).chmod(0o600)
        publisher.connect(addresses(self.directory)[0])
        self._log_thread = threading.Thread(
            target=LocalLog(router, publisher).serve, name="odac local history", daemon=True
        )
        self._log_thread.start()

    def _serve(self, sockets: tuple[zmq.Socket[bytes], zmq.Socket[bytes]] | None) -> None:
        try:
            sockets = sockets or self._wait()
        except (BrokerError, ConfigurationError) as error:
            _log.error("the process that ran the local broker has ended, and this one cannot take over: %s", error)
            return
        if sockets is None:
            return
        try:
            zmq.proxy(*sockets)
        except zmq.ContextTerminated:
            pass
        finally:
            for socket in sockets:
                socket.close(linger=0)

    def _wait(self) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]] | None:
        while not self._ending.wait(NEXT):
            with self._binding:
                if not self._ending.is_set() and self._take():
                    _log.info("this process runs the local broker in %s now", self.directory)
                    return self._bind()
        return None


_proxies: Final[weakref.WeakSet[LocalProxy]] = weakref.WeakSet()


def _after_fork() -> None:
    for proxy in _proxies:
        # A child that inherits the lock would keep other processes from taking over.
        with contextlib.suppress(OSError):
            proxy.release()


os.register_at_fork(after_in_child=_after_fork)
