"""mypy and pyright judge the code in ``verdicts.py`` as it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("verdicts.py")
ROOT = Path(__file__).parents[2]


def expected() -> set[int]:
    lines = FILE.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_mypy() -> None:
    pytest.importorskip("mypy")
    found = re.findall(r"verdicts\.py:(\d+): error", run("mypy", str(FILE)))
    assert {int(number) for number in found} == expected()


def test_pyright() -> None:
    pytest.importorskip("pyright")
    # It would leave out what its settings do not include.
    answer = json.loads(run("pyright", "--outputjson", str(FILE)))
    found = {each["range"]["start"]["line"] + 1 for each in answer["generalDiagnostics"] if each["severity"] == "error"}
    assert found == expected()
