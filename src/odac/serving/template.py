"""The process that ``--preload`` forks workers from: it has imported the app, and runs no event loop and no server.

The supervisor sends it lines through a socket. The first line is a job as for a worker; the answer is a line of JSON
when the app is imported, or the import has failed. Each further line is a job for a worker, sent with the worker's
channel and listening sockets (SCM_RIGHTS, unix(7)); the answer is the new process's id. When one of these processes
ends, the template sends a line with its exit code. When the supervisor closes its side, the template is retired: it
ends with its last worker.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import threading
from typing import Final, NamedTuple, TypedDict

from odac.errors import OdacError
from odac.serving.loading import load_and_check
from odac.serving.worker import Job, begin, run_job, say

__all__ = ["MAX_LINE", "Said", "main"]

MAX_LINE: Final = 65_536
"""The most bytes of a job: more than any options need."""
_MOST_SOCKETS: Final = 64


class Said(TypedDict, total=False):
    """A line from the template: one of these keys, and ``code`` together with ``ended``.

    ``failed`` is a sentence, ``threads`` the names of the threads that importing the app has started, ``pid`` the id of
    a forked worker, ``refused`` the reason why none was forked, and ``ended`` the id of a worker that has ended, with
    its exit code in the form of :attr:`subprocess.Popen.returncode`.
    """

    failed: str
    threads: list[str]
    pid: int
    refused: str
    ended: int
    code: int


class _Forked(NamedTuple):
    """The state that a forked worker starts with."""

    channel: socket.socket
    job: Job


def main() -> None:
    """Import the app, and fork workers until the template is retired."""
    channel, job, options = begin()
    try:
        loaded = load_and_check(job["app"], options)
    except OdacError as error:
        say(channel, {"failed": str(error)})
        sys.exit(1)
    # systemd and containers send SIGTERM to every process: the supervisor decides when the template ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    own = threading.current_thread()
    say(channel, {"threads": [each.name for each in threading.enumerate() if each is not own]})
    # Exclude all present objects from collection: a worker's collector would write to them, and so copy shared memory.
    gc.collect()
    gc.freeze()
    forked = _fork_until_retired(channel)
    if forked is not None:
        run_job(forked.channel, forked.job, options, loaded)


def _fork_until_retired(channel: socket.socket) -> _Forked | None:
    """Fork for each job. Returns in each worker, with its state; and finally in this process, with None."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    alive: set[int] = set()
    retired = False
    with selectors.DefaultSelector() as selector, woken, waker:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while not retired or alive:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(4096)
                    _reap(channel, alive)
                    continue
                job, descriptors = _next_job(channel)
                if job is None:
                    retired = True
                    selector.unregister(channel)
                    continue
                pid = _fork(channel, descriptors)
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    own, *job["sockets"] = descriptors
                    channel.close()
                    return _Forked(socket.socket(fileno=own), job)
                if pid > 0:
                    alive.add(pid)
    return None


def _fork(channel: socket.socket, descriptors: list[int]) -> int:
    """Return 0 in the child, the child's process id in this process, and -1 if no process can be created."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        pid = os.fork()
    except OSError as error:
        pid = -1
        say(channel, {"refused": f"no process can be started: {error}"})
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return 0
    for each in descriptors:
        os.close(each)
    if pid > 0:
        say(channel, {"pid": pid})
    return pid


def _next_job(channel: socket.socket) -> tuple[Job | None, list[int]]:
    """The next job with its descriptors; None if there are no more."""
    try:
        line, descriptors, _, _ = socket.recv_fds(channel, MAX_LINE, _MOST_SOCKETS)
        while line and not line.endswith(b"\n"):
            rest = channel.recv(MAX_LINE)
            line = line + rest if rest else b""
    except OSError:
        return None, []
    if not line:
        return None, []
    job: Job = json.loads(line)
    return job, descriptors


def _reap(channel: socket.socket, alive: set[int]) -> None:
    for pid in sorted(alive):
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended, status = pid, 0
        if ended:
            alive.discard(pid)
            say(channel, {"ended": pid, "code": os.waitstatus_to_exitcode(status)})
