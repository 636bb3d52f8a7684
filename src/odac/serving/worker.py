"""One worker of several, in a process of its own that the supervisor starts.

The supervisor speaks through a socket, line by line: first a job, later ``drain`` or ``end``. The worker answers with
one line of JSON, once it serves or cannot, and from then on now and then with an empty one, as a heartbeat. When the
other end is gone, so is the supervisor, and the worker stops as well.
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
"""Ctrl-C and a closed terminal reach every process of the group; the supervisor decides what follows from them."""

logger = logging.getLogger("odac.server")


class Job(TypedDict):
    """What a worker is started with."""

    app: str
    options: dict[str, Any]
    sockets: list[int]
    address: str
    grace: float | None
    beat: float


class Report(TypedDict, total=False):
    """What a worker answers: ``failed`` alone, or all the others.

    ``failed`` is a sentence. ``introduction`` is for the terminal, ``grace`` how many seconds stopping may take,
    ``needs_secret`` whether an app signs with ``$ODAC_SECRET``, and ``alone`` whether one reaches no other process.
    """

    failed: str
    introduction: str
    grace: float
    needs_secret: bool
    alone: bool


def warnings_of(report: Report, workers: int, *, own_secret: bool) -> list[str]:
    """What a user should know about an app that is served by workers.

    Args:
        report: of one worker.
        workers: how many there are.
        own_secret: whether a random secret was made for them.
    """
    warnings = []
    if report["needs_secret"] and own_secret:
        warnings.append(
            "No secret is set: sessions and tokens are signed with a random one that these workers share, and end"
            " with this server. Set $ODAC_SECRET or Odac(secret=…)."
        )
    if report["alone"] and workers > 1:
        warnings.append(
            "The app's broker is memory://, so what one worker sends does not reach the others' clients: leave"
            " broker= out, or name one such as local://"
        )
    return warnings


def main() -> None:
    """Serve until told to stop."""
    channel, job, options = begin()
    run_job(channel, job, options)


def begin() -> tuple[socket.socket, Job, ServeOptions]:
    """What a process that the supervisor has started does first: take its job, and set up signals and logging.

    Returns:
        the channel to the supervisor, the job, and the options in it.

    Raises:
        SystemExit: the supervisor is gone.
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
    """Serve until told to stop.

    Args:
        channel: to the supervisor.
        job: what is served, and how.
        options: those in the job.
        loaded: the app, where it has been imported, and the Odac apps in it.

    Raises:
        SystemExit: it cannot start, and the supervisor knows why.
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
    # Behind the supervisor, if it runs the proxy as well.
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
    """The next line; ends the process where there is none, for the supervisor is gone."""
    # Unbuffered, so that a command behind the line stays in the socket, for the event loop.
    with channel.makefile("rb", buffering=0) as stream:
        line = stream.readline()
    if not line.endswith(b"\n"):
        sys.exit(1)
    return line


def say(channel: socket.socket, told: Mapping[str, object]) -> None:
    """Send the supervisor a line of JSON; nothing if it is gone, which the reader of the channel notices."""
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
                logger.warning("the process that started this worker is gone: it stops too")
        server.should_exit = True

    loop.add_reader(channel, readable)
