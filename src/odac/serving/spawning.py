"""Starts Odac's own processes, in such a way that Ctrl-C never ends one with a traceback."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, Protocol

from odac.serving.options import CannotStart
from odac.serving.worker import GROUP_SIGNALS

__all__ = ["UNKNOWN", "Process", "how_it_ended", "spawn"]

# The process searches modules in the same places as this one; until then, -P excludes the current directory.
_START: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from odac.serving.{} import main; main()  # one of Odac's workers"
)

UNKNOWN: Final = 256
"""The exit code of a process whose real exit code is unknown."""

_starting = 0
"""How many processes are being started at this moment."""


class Process(Protocol):
    """A worker's process; that of a direct child is an :class:`asyncio.subprocess.Process`."""

    @property
    def pid(self) -> int:
        """Its id."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit code; None until it has ended."""
        ...

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        ...


async def spawn(
    module: Literal["worker", "template"],
    channel: socket.socket,
    sockets: Sequence[int],
    environment: Mapping[str, str],
) -> asyncio.subprocess.Process:
    """Start Python with the ``main()`` of one of this package's modules.

    Args:
        module: its name.
        channel: the process's end of a socket pair, which is closed in this process.
        sockets: further descriptors for the process.
        environment: the process's environment.

    Raises:
        CannotStart: the system cannot start a process.
    """
    try:
        with channel, _group_signals_blocked():
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-c",
                _START.format(module),
                str(channel.fileno()),
                *sys.path,
                pass_fds=(channel.fileno(), *sockets),
                env=dict(environment),
            )
    except OSError as error:
        raise CannotStart(f"no process can be started: {error}") from None


@contextlib.contextmanager
def _group_signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGHUP while processes are started.

    A process inherits the signal mask. A worker needs these signals blocked until it ignores them: Ctrl-C would end it
    with a traceback before its first line. Several workers are started at the same time, and creating a process
    awaits, so only the last one to finish may unblock the signals: if each restored the mask that it found, this
    process would keep them blocked.
    """
    global _starting
    _starting += 1
    if _starting == 1:
        signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
    try:
        yield
    finally:
        _starting -= 1
        if _starting == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


def how_it_ended(code: int) -> str:
    """Describe an exit code in words."""
    if code == UNKNOWN:
        return "has ended"
    if code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"ended with exit code {code}"
