"""The Autobahn suite itself: found or installed below ``.build``, and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["NotHere", "Suite"]

VERSION: Final = "25.10.1"
VIRTUALENV: Final = "20.21.1"
"""The last one that makes environments for Python 2.7."""

IMAGE: Final = f"crossbario/autobahn-testsuite:{VERSION}"


class NotHere(Exception):
    """This machine can run the suite neither by Python 2.7 nor by Docker."""


class Suite:
    """A way to run ``wstest``.

    Args:
        build: the folder for its environment and its reports.
    """

    def __init__(self, build: Path) -> None:
        self.build = build
        build.mkdir(parents=True, exist_ok=True)
        self._command = self._find()

    def _find(self) -> list[str]:
        wstest = self.build / "environment" / "bin" / "wstest"
        if not wstest.exists() and (python := find_python27()):
            self._install(python)
        if wstest.exists():
            return [str(wstest)]
        if docker := shutil.which("docker"):
            folder = str(self.build)
            return [docker, "run", "--rm", "--network", "host", "-v", f"{folder}:{folder}", IMAGE, "wstest"]
        raise NotHere(
            "the Autobahn suite needs Python 2.7 (pyenv install 2.7.18, or ODAC_PYTHON27=/path/to/python2.7) or Docker"
        )

    def _install(self, python: str) -> None:
        print(f"installing autobahntestsuite {VERSION} with {python}", flush=True)
        tool, environment = self.build / "virtualenv", self.build / "environment"
        pip = ["-m", "pip", "install", "-qqq", "--disable-pip-version-check"]
        # This interpreter's variables for its packages are not meant for another interpreter.
        clean = {
            key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS")
        }
        for command in (
            [sys.executable, "-m", "venv", str(tool)],
            [str(tool / "bin" / "python"), *pip, f"virtualenv=={VIRTUALENV}"],
            [str(tool / "bin" / "virtualenv"), "--quiet", "--python", python, str(environment)],
            [str(environment / "bin" / "python"), *pip, f"autobahntestsuite=={VERSION}"],
        ):
            subprocess.run(command, check=True, env=clean)

    def start(self, mode: str, spec: dict[str, Any], reports: Path) -> subprocess.Popen[bytes]:
        """Start ``wstest``; what it prints goes to ``wstest.log`` beside its reports.

        Args:
            mode: ``fuzzingclient`` or ``fuzzingserver``.
            spec: its configuration, without the folder for reports.
            reports: that folder; emptied first.
        """
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir(parents=True)
        file = reports / "spec.json"
        file.write_text(json.dumps({**spec, "outdir": str(reports)}))
        with (reports / "wstest.log").open("wb") as log:
            arguments = ["--mode", mode, "--spec", str(file), "--webport", "0"]
            return subprocess.Popen([*self._command, *arguments], stdout=log, stderr=subprocess.STDOUT)


def find_python27() -> str | None:
    """Return a Python 2.7, or None."""
    candidates: list[str | None] = [os.environ.get("ODAC_PYTHON27")]
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(map(str, root.glob("2.7*/bin/python2.7")), reverse=True)
    candidates.append(shutil.which("python2.7"))
    return next((path for path in candidates if path and _is_python27([path])), None)


def _is_python27(command: Sequence[str]) -> bool:
    program = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    try:
        answer = subprocess.run([*command, "-c", program], capture_output=True, timeout=30, check=False)
    except OSError:
        return False
    return answer.stdout == b"2.7"
