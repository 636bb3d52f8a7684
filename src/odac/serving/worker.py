"""One worker of several, in a process of its own that the supervisor starts.

The supervisor sends lines through a socket: first a job, later ``drain`` or ``end``. The worker answers with one line
of JSON when it serves or its start has failed, and from then on sends an empty line regularly, as a heartbeat. When the
other end of the socket is closed, the supervisor has ended, and the worker stops as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from odac.errors import OdacError
from odac.serving.describe import introduction
from odac.serving.loading import Found, load_and_check
from odac.serving.local_broker import local_brokers
from odac.serving.log import configure_logging
from odac.serving.options import ServeOptions
from odac.serving.process import serve
from odac.serving.tls import server_context
from odac.serving.uvicorn_server import Server, grace_of

__all__ = ["DRAIN", "END", "GROUP_SIGNALS", "Job", "Report", "begin", "main", "run_job", "say", "warnings_of"]

DRAIN: Final = b"drain\n"
END: Final = b"end\n"
GROUP_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP)
"""Ctrl-C and a closed terminal signal every process of the group; only the supervisor handles these signals."""

logger = logging.getLogger("odac.server")


class Job(TypedDict):
    """The job that a worker is started with."""

    app: str
    options: dict[str, Any]
    sockets: list[int]
    address: str
    grace: float | None
    beat: float


class Report(TypedDict, total=False):
    """A worker's answer: ``failed`` alone, or all the other keys.

    ``failed`` is a sentence. ``introduction`` is for the terminal, ``grace`` the seconds that stopping may take,
    ``needs_secret`` whether an app signs with ``$ODAC_SECRET``, and ``alone`` whether an app reaches no other process.
    """

    failed: str
    introduction: str
    grace: float
    needs_secret: bool
    alone: bool


def warnings_of(report: Report, workers: int, *, own_secret: bool) -> list[str]:
    """Warnings for the user about an app that is served by workers.

    Args:
        report: the report of one worker.
        workers: the number of workers.
        own_secret: whether a random secret was made for them.
    """
    warnings = []
    if report["needs_secret"] and own_secret:
        warnings.append(
            "No secret is set: sessions and tokens are signed with a random one that these workers share, and become"
            " invalid when this server stops. Set $ODAC_SECRET or Odac(secret=…)."
        )
    if report["alone"] and workers > 1:
        warnings.append(
            "The app's broker is memory://, so messages of one worker do not reach the clients of the others: leave"
            " broker= out, or name one such as local://"
        )
    return warnings


def main() -> None:
    """Serve until the supervisor or a signal stops the worker."""
    channel, job, options = begin()
    run_job(channel, job, options)


def begin() -> tuple[socket.socket, Job, ServeOptions]:
    """The first steps of a process that the supervisor has started: read its job, and set up signals and logging.

    Returns:
        the channel to the supervisor, the job, and the options in it.

    Raises:
        SystemExit: the supervisor has ended.
    """
    for each in GROUP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)
    channel = socket.socket(fileno=int(sys.argv[1]))
    job: Job = json.loads(_read_line(channel))
    sys.argv[:] = [f"odac run {job['app']}"]
    options = ServeOptions(**job["options"])
    configure_logging(options.log_level, access_log=options.access_log, name_process=options.workers > 1)
    return channel, job, options


def run_job(
    channel: socket.socket, job: Job, options: ServeOptions, loaded: tuple[Any, list[Found]] | None = None
) -> None:
    """Serve until the supervisor or a signal stops the worker.

    Args:
        channel: the channel to the supervisor.
        job: what is served, and how.
        options: the options in the job.
        loaded: the app, if it is imported already, and the Odac apps in it.

    Raises:
        SystemExit: it cannot start; the supervisor has been sent the reason.
    """
    try:
        _serve(channel, job, options, loaded)
    except OdacError as error:
        say(channel, {"failed": str(error)})
        sys.exit(1)


def _serve(
    channel: socket.socket, job: Job, options: ServeOptions, loaded: tuple[Any, list[Found]] | None = None
) -> None:
    tls = server_context(options)
    app, found = loaded or load_and_check(job["app"], options)
    grace = grace_of(found) if job["grace"] is None else job["grace"]
    report: Report = {
        "introduction": introduction(job["app"], job["address"], found, workers=options.workers),
        "grace": grace,
        "needs_secret": any(each.app.uses_environment_secret for each in found),
        "alone": any(each.app.broker_url.startswith("memory:") for each in found),
    }

    def prepare(server: Server) -> None:
        _listen(channel, server)

    def started() -> None:
        say(channel, report)
        _beat(channel, job["beat"])

    sockets = [socket.socket(fileno=each) for each in job["sockets"]]
    # Stands by behind the supervisor, if that runs the proxy as well.
    with local_brokers(each.app.broker_url for each in found):
        serve(
            app,
            options,
            sockets,
            tls=tls,
            apps=found,
            started=started,
            grace=grace,
            prepare=prepare,
            signals=(signal.SIGTERM,),
            exiting=True,
        )


def _read_line(channel: socket.socket) -> bytes:
    """The next line; ends the process if there is none, because then the supervisor has ended."""
    # Unbuffered, so that a command after the line stays in the socket for the event loop.
    with channel.makefile("rb", buffering=0) as stream:
        line = stream.readline()
    if not line.endswith(b"\n"):
        sys.exit(1)
    return line


def say(channel: socket.socket, told: Mapping[str, object]) -> None:
    """Send the supervisor a line of JSON. If it has ended, do nothing: the reader of the channel detects that."""
    with contextlib.suppress(OSError):
        channel.sendall(json.dumps(told).encode() + b"\n")


def _beat(channel: socket.socket, interval: float) -> None:
    with contextlib.suppress(OSError):  # the supervisor reads slowly or has ended: skipping a heartbeat does no harm
        channel.send(b"\n")
    asyncio.get_running_loop().call_later(interval, _beat, channel, interval)


def _listen(channel: socket.socket, server: Server) -> None:
    loop = asyncio.get_running_loop()
    channel.setblocking(False)

    def readable() -> None:
        try:
            said = channel.recv(1024)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if END in said:
            server.end_at_once()
        if not said:
            loop.remove_reader(channel)
            if not server.should_exit:
                logger.warning("the process that started this worker has ended: the worker stops too")
        server.should_exit = True

    loop.add_reader(channel, readable)
