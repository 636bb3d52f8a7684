"""``odac run`` as a real process: started on a port that the system chooses, its output read by line, and ended by its id."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import IO, Any, Self

from websockets.sync.client import ClientConnection, connect

DEADLINE = 180.0
"""Seconds after which a test gives up; nothing waits that long unless it has failed. (On two cores that twenty
processes wanted, a rolling restart of two workers took more than 60.)"""

SECRET = "a secret of the tests that is long enough to be one"


def until(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Wait for a state without an event, such as another process's open files."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what}")
        time.sleep(0.02)


class Running:
    """One ``odac run``, from its start to its end.

    Args:
        folder: becomes the current directory; ``app.py`` in it is written from ``source``.
        source: of the module ``app``.
        arguments: of ``odac run``, after the app's name.
        environment: added to this process's own.
        target: the app's name.
        ready: wait until it serves.
        command: what Python runs instead of ``odac run``.
        group: run it in a process group of its own, as a shell with a terminal does. All of it is killed in the end:
            for programs whose processes outlive the one that started them.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        target: str = "app:app",
        ready: bool = True,
        command: tuple[str, ...] = (),
        group: bool = False,
    ) -> None:
        if source:
            (folder / "app.py").write_text(source)
        self.folder = folder
        self._group = group
        self.output: list[str] = []
        self._news = threading.Condition()
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ODAC_")}
        self.process = subprocess.Popen(
            [sys.executable, *(command or ("-m", "odac", "run", target, "--port", "0")), *arguments],
            cwd=folder,
            env={**inherited, "ODAC_SECRET": SECRET, "PYTHONUNBUFFERED": "1", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=group,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for reader in self._readers:
            reader.start()
        self.url = ""
        if ready:
            self.url = self.line(r"(\S+://\S+?|unix:\S+?),? .*Ctrl-C")[1]

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._news:
                    self.output.append(line.rstrip("\n"))
                    self._news.notify_all()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def text(self) -> str:
        with self._news:
            return "\n".join(self.output)

    def line(self, pattern: str, *, times: int = 1, deadline: float = DEADLINE) -> re.Match[str]:
        """Wait for a line of its output, or for so many of them; return the last one's match."""
        end = time.monotonic() + deadline
        with self._news:
            while True:
                found = [match for each in self.output if (match := re.search(pattern, each))]
                if len(found) >= times:
                    return found[-1]
                left = end - time.monotonic()
                ended = self.process.poll() is not None and not any(each.is_alive() for each in self._readers)
                if left <= 0 or ended:
                    raise AssertionError(f"no line like {pattern!r} in:\n" + "\n".join(self.output))
                self._news.wait(min(left, 0.2))

    def connect(self, path: str, **options: Any) -> ClientConnection:
        """A client of the ``websockets`` library."""
        options.setdefault("open_timeout", DEADLINE)
        options.setdefault("close_timeout", DEADLINE)
        client: ClientConnection = connect(f"ws{self.url.removeprefix('http')}{path}", **options)
        return client

    def signal(self, number: Signals) -> None:
        self.process.send_signal(number)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Wait for its exit code; all of its output has been read then."""
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {deadline:g} s:\n{self.text}") from None
        for reader in self._readers:
            reader.join(deadline)
        return code

    def stop(self, number: Signals = SIGTERM, deadline: float = DEADLINE) -> int:
        self.signal(number)
        return self.wait(deadline)

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            if self._group:
                os.killpg(self.pid, SIGKILL)
            else:
                # Ends the workers as well: they stop when the process that started them is gone.
                self.process.kill()
        self.wait()
        if error is not None:
            sys.stderr.write(self.text + "\n")
