"""What the template says to the supervisor, line by line, from a real process. Whole servers are in
tests/integration/test_preload.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odac.serving.options import ServeOptions
from odac.serving.starter import Starter

APP = "from odac import Odac\napp = Odac('a secret of the tests, long enough')\n"
DEADLINE = 60.0


class Template:
    """A template process, and the supervisor's end of its socket."""

    def __init__(self, folder: Path, source: str) -> None:
        (folder / "app.py").write_text(source)
        self._maker = Starter("app:app", ServeOptions(workers=2), "http://127.0.0.1:8000", {})
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(DEADLINE)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from odac.serving.template import main; main()", str(theirs.fileno())],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
                pass_fds=[theirs.fileno()],
            )
        self._lines = self.channel.makefile("rb")
        self.channel.sendall(self.line([]))

    def line(self, sockets: list[int]) -> bytes:
        return json.dumps(self._maker._job(sockets)).encode() + b"\n"

    def said(self) -> Any:
        return json.loads(self._lines.readline())

    def fork(self) -> tuple[int, socket.socket]:
        """Give it a job with one listening socket; its answer, and the worker's other end."""
        ours, theirs = socket.socketpair()
        with theirs, socket.create_server(("127.0.0.1", 0)) as listening:
            descriptors = [theirs.fileno(), listening.fileno()]
            socket.send_fds(self.channel, [self.line([listening.fileno()])], descriptors)
            return self.said()["pid"], ours

    def retire(self) -> int:
        self.channel.shutdown(socket.SHUT_WR)
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        self._lines.close()
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


@pytest.fixture
def template(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Template]:
    made = Template(tmp_path, getattr(request, "param", APP))
    yield made
    made.close()


@pytest.mark.parametrize("template", ["raise RuntimeError('no database')"], indirect=True)
def test_an_app_that_cannot_be_imported(template: Template) -> None:
    assert "no database" in template.said()["failed"]
    assert template.process.wait(DEADLINE) == 1


@pytest.mark.parametrize(
    "template",
    [APP + "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='poller').start()\n"],
    indirect=True,
)
def test_threads_that_the_import_has_started_are_named(template: Template) -> None:
    assert template.said() == {"threads": ["poller"]}


def test_without_workers_it_ends_when_it_is_retired(template: Template) -> None:
    assert template.said() == {"threads": []}
    os.kill(template.process.pid, signal.SIGTERM)  # as systemd sends it to every process: the supervisor decides
    assert template.retire() == 0


def test_it_says_how_each_worker_has_ended_and_stays_until_the_last_one(template: Template) -> None:
    assert template.said() == {"threads": []}
    (one, channel), (other, further) = template.fork(), template.fork()
    with channel, further:
        assert len({one, other, template.process.pid}) == 3
        template.channel.shutdown(socket.SHUT_WR)
        os.kill(one, signal.SIGKILL)
        assert template.said() == {"ended": one, "code": -signal.SIGKILL}
        assert template.process.poll() is None
        os.kill(other, signal.SIGKILL)
        assert template.said() == {"ended": other, "code": -signal.SIGKILL}
        assert template.process.wait(DEADLINE) == 0
