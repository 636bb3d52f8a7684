"""The middle of the local broker: hands on what one process of this machine publishes to the others."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path
from typing import Final

import zmq

from odac.errors import BrokerError, ConfigurationError

__all__ = ["DIRECTORY_VARIABLE", "HIGH_WATER", "LocalProxy", "addresses", "bound"]

DIRECTORY_VARIABLE: Final = "ODAC_LOCAL_DIRECTORY"
"""Where a supervisor tells its workers the proxy's directory: what ``local://`` without a path means."""

HIGH_WATER: Final = 4096
"""Payloads that wait for one process. Past it the proxy drops what is meant for that process, which sees the gap."""
STALE: Final = 60_000
"""Milliseconds after which the proxy gives up a process that is frozen: subscriptions would wait for it without bound."""
PATH_LIMIT: Final = 100
"""Bytes of a Unix socket's path: the system's limit is 104 to 108."""


def bound(socket: zmq.Socket[bytes]) -> None:
    """Bound what waits in a socket: payloads, and never subscriptions.

    ZeroMQ counts both by the same marks and drops what is over them without a word, so that a room whose subscription is
    dropped would get nothing for ever. Subscriptions go against the payloads: out of SUB and XSUB, and into XPUB.
    """
    listens = socket.type in (zmq.SUB, zmq.XSUB)
    socket.rcvhwm, socket.sndhwm = (HIGH_WATER, 0) if listens else (0, HIGH_WATER)


def addresses(directory: Path) -> tuple[str, str]:
    """Where processes publish to, and where they listen."""
    return f"ipc://{directory}/in", f"ipc://{directory}/out"


class LocalProxy:
    """Hands on what one process publishes to the others. Runs in a thread, in the process that started the workers.

    Args:
        directory: holds the two sockets; made with mode 0700 if it is not there. None makes one in the temporary
            directory, and removes it in the end.

    Raises:
        ConfigurationError: the directory's path is too long for a socket, or others may write to it.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._given = directory
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._thread: threading.Thread | None = None
        self.directory = Path(directory) if directory is not None else Path(tempfile.gettempdir()) / "odac-12345678"
        if len(os.fsencode(self.directory)) > PATH_LIMIT - len("/out"):
            raise ConfigurationError(
                f"{self.directory}: too long for a Unix socket; use a path of at most {PATH_LIMIT - 4} bytes"
            )

    @property
    def url(self) -> str:
        """What workers connect to."""
        return f"local://{self.directory}"

    def start(self) -> None:
        """Bind the sockets and begin.

        Raises:
            ConfigurationError: others may write to the directory.
            BrokerError: another proxy uses the directory.
        """
        if self._given is None:
            self.directory = Path(tempfile.mkdtemp(prefix="odac-"))
        else:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.directory.stat()
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
                raise ConfigurationError(f"{self.directory}: others may put a socket there; chmod 700 it, as its owner")
        self._context = zmq.Context()
        incoming, outgoing = self._context.socket(zmq.XSUB), self._context.socket(zmq.XPUB)
        try:
            for socket, address in zip((incoming, outgoing), addresses(self.directory), strict=True):
                bound(socket)
                socket.linger = 0
                socket.heartbeat_ivl, socket.heartbeat_timeout = STALE // 4, STALE
                socket.bind(address)
                Path(address.removeprefix("ipc://")).chmod(0o600)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise BrokerError(f"{self.directory}: {error}; is another server using it?") from None
        self._thread = threading.Thread(
            target=self._run, args=(incoming, outgoing), name="odac local broker", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and remove the sockets."""
        if self._context is None or self._thread is None:
            return
        # Ends zmq.proxy() with ContextTerminated, and waits for the thread to close its sockets.
        self._context.term()
        self._thread.join()
        self._context = self._thread = None
        for address in addresses(self.directory):
            Path(address.removeprefix("ipc://")).unlink(missing_ok=True)
        if self._given is None:
            self.directory.rmdir()

    @staticmethod
    def _run(incoming: zmq.Socket[bytes], outgoing: zmq.Socket[bytes]) -> None:
        try:
            zmq.proxy(incoming, outgoing)
        except zmq.ContextTerminated:
            pass
        finally:
            incoming.close(linger=0)
            outgoing.close(linger=0)
