"""RFC 6455 and RFC 7692 conformance by the Autobahn suite.

    python -m tests.conformance.run_autobahn                     everything: both lanes of the server, and the client
    python -m tests.conformance.run_autobahn direct              one of: direct, asgi, client
    python -m tests.conformance.run_autobahn --short             what CI runs: sections 1 to 7, 10, 12.1 and 13.1
    python -m tests.conformance.run_autobahn direct --cases 7.* 5.19
    python -m tests.conformance.run_autobahn --write             put the tables into docs/reference/conformance.md

The suite is installed below .build/autobahn; the reports are there too: open …/<lane>/index.html. The exit code is 1
when a case failed, and 2 when this machine cannot run the suite.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, AnyStr, Final

from tests.conformance.client import AGENT
from tests.conformance.report import Summary, judge, passes, read, table, write_section
from tests.conformance.suite import VERSION, NotHere, Suite

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / ".build" / "autobahn"
PAGE: Final = ROOT / "docs" / "reference" / "conformance.md"

LANES: Final = ("direct", "asgi", "client")
ALL: Final = ("*",)
SHORT: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.*", "13.1.*")
COMPRESSION: Final = ("12.*", "13.*")
KNOWN: Final = {
    # A close frame between the fragments of a message is a protocol error to the websockets library.
    "client": frozenset({"7.1.5"}),
}
ENVIRONMENT: Final = {**os.environ, "WEBSOCKETS_MAX_FRAGMENTS": "100000"}
"""Sections 9.3 and 9.4 send 65,536, and the library's default is 4,096."""

MAX_AGAIN: Final = 10
"""Failed cases that get a second chance. The suite gives some answers half a second, which a busy machine may miss."""

COUNT: Final = 517
COUNT_PLAIN: Final = 301
"""Cases without the sections on compression, which is not Odac's work over plain ASGI and in the Python client."""


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("lanes", nargs="*", metavar="lane", help=f"of {', '.join(LANES)}; default: all")
    arguments.add_argument("--cases", nargs="+", default=[], help="patterns of cases")
    arguments.add_argument("--short", action="store_true", help="the selection for CI")
    arguments.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn", help="of the ASGI lane")
    arguments.add_argument("--timeout", type=float, default=7200, help="seconds for one lane (default: 7200)")
    arguments.add_argument("--write", action="store_true", help=f"write the tables to {PAGE.relative_to(ROOT)}")
    options = arguments.parse_args()
    if unknown := [lane for lane in options.lanes if lane not in LANES]:
        arguments.error(f"{unknown[0]!r} is none of {', '.join(LANES)}")
    selection = options.cases or (SHORT if options.short else ALL)
    try:
        suite = Suite(BUILD)
    except NotHere as problem:
        print(problem, file=sys.stderr)
        return 2
    failed = False
    for lane in options.lanes or LANES:
        print(f"\n== {lane}", flush=True)
        started = time.monotonic()
        attack = Attack(suite, lane, options.server, options.timeout)
        summary = attack(selection, BUILD / lane)
        again = [
            verdict.case for verdict in summary.verdicts if not passes(verdict) and verdict.case not in attack.known
        ]
        if 0 < len(again) <= MAX_AGAIN:
            print(f"once more, alone: {', '.join(again)}", flush=True)
            summary = summary.corrected(attack(again, BUILD / f"{lane}-again"))
        expected = (COUNT if lane == "direct" else COUNT_PLAIN) if selection == ALL else None
        wrong = judge(summary, expected, attack.known)
        minutes = (time.monotonic() - started) / 60
        text = f"{table(summary)}\n\nautobahntestsuite {VERSION}"
        print(f"{text}, {minutes:.1f} minutes", *wrong, sep="\n", flush=True)
        failed = failed or bool(wrong)
        if options.write and selection == ALL:
            write_section(PAGE, lane, text)
    return int(failed)


class Attack:
    """Runs the suite against one lane of the server, or the client.

    Args:
        suite: the tool.
        lane: of :data:`LANES`.
        server: what serves the ASGI lane.
        timeout: seconds for a run.
    """

    def __init__(self, suite: Suite, lane: str, server: str, timeout: float) -> None:
        self.known = KNOWN.get(lane, frozenset())
        self._suite = suite
        self._lane = lane
        self._server = server
        self._timeout = timeout

    def __call__(self, cases: Sequence[str], reports: Path) -> Summary:
        """Run these cases.

        Args:
            cases: patterns.
            reports: the folder for the suite's reports.
        """
        spec = {
            "cases": list(cases),
            "exclude-cases": [] if self._lane == "direct" else list(COMPRESSION),
            "exclude-agent-cases": {},
        }
        return self._client(spec, reports) if self._lane == "client" else self._servers(spec, reports)

    def _servers(self, spec: dict[str, Any], reports: Path) -> Summary:
        lane = self._lane
        with running_server([lane, self._server] if lane == "asgi" else [lane]) as url:
            spec["servers"] = [{"agent": lane, "url": url}]
            with ended(self._suite.start("fuzzingclient", spec, reports), "wstest") as wstest:
                watch(wstest, reports / "wstest.log", self._timeout)
        return read(reports / "index.json", lane)

    def _client(self, spec: dict[str, Any], reports: Path) -> Summary:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        spec["url"] = url = f"ws://127.0.0.1:{port}"
        with ended(self._suite.start("fuzzingserver", spec, reports), "wstest") as wstest:
            wait_for_port(port, wstest)
            log = reports / "client.log"
            command = [sys.executable, "-m", "tests.conformance.client", url]
            with log.open("wb") as output:
                process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT)
            with ended(process, "client") as client:
                if watch(client, log, self._timeout) != 0:
                    raise SystemExit(f"the client failed: see {log}")
        return read(reports / "index.json", AGENT)


@contextmanager
def running_server(arguments: Sequence[str]) -> Iterator[str]:
    """Run the echo server; it must stop in an orderly way after SIGTERM."""
    command = [sys.executable, "-m", "tests.conformance.server", *arguments]
    with ended(
        subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True), "server"
    ) as server:
        assert server.stdout is not None
        first = server.stdout.readline()
        found = re.search(r"ws://\S+", first)
        if found is None:
            raise SystemExit(f"the server did not start: {first!r}")
        wait_for_port(int(found[0].rpartition(":")[2]), server)
        yield found[0]
        if (code := server.poll()) is not None:
            raise SystemExit(f"the server ended with {code} under the attack")
        server.send_signal(signal.SIGTERM)
        if (code := server.wait(60)) not in (0, -signal.SIGTERM):
            raise SystemExit(f"the server did not end cleanly, but with {code}")


@contextmanager
def ended(process: subprocess.Popen[AnyStr], name: str) -> Iterator[subprocess.Popen[AnyStr]]:
    """Make sure that a process has ended afterwards."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                print(f"{name} had to be killed", file=sys.stderr)
                process.kill()
                process.wait()


def wait_for_port(port: int, process: subprocess.Popen[Any]) -> None:
    """Wait until the port accepts connections; another process sends no event for that."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"nobody listens on port {port}") from None
            time.sleep(0.1)


def watch(process: subprocess.Popen[bytes], log: Path, timeout: float) -> int:
    """Wait for the end, and print the progress once a minute."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            lines = log.read_text(errors="replace").splitlines()
            print(lines[-1] if lines else "…", flush=True)
            if time.monotonic() > deadline:
                raise SystemExit(f"not done after {timeout:g} s") from None


if __name__ == "__main__":
    sys.exit(main())
