"""The pytest plugin, in a suite of its own as users have one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parents[3]
APP = """
from odac import Odac

app = Odac("a secret of the tests, long enough to be one")


@app.route.ws("/echo")
def echo(odac):
    odac.ws.on("message", odac.ws.send)
"""
TEST = """
def test_echo(odac_client):
    with odac_client.connect("/echo") as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
"""
OVERRIDE = """
import pytest
import chat


@pytest.fixture
def odac_app():
    return chat.app
"""
ANYIO = """
import pytest
from chat import app
from odac.testing import AsyncTestClient, NothingReceived, TestLoop


@pytest.fixture
def anyio_backend():
    return "asyncio", {"loop_factory": TestLoop}


@pytest.mark.anyio
async def test_echo():
    async with AsyncTestClient(app) as client, client.connect("/echo") as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
        await client.advance(3600)
        with pytest.raises(NothingReceived):
            await ws.receive(timeout=3600)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # An installation from before the entry point does not know it yet.
    known = any(each.value == "odac.testing.plugin" for each in entry_points(group="pytest11"))
    plugin = [] if known else ["-p", "odac.testing.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:faker"]
    command += [*plugin, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_it_is_registered_by_its_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"odac": "odac.testing.plugin"}


def test_the_setting_names_the_app(tmp_path: Path) -> None:
    write(tmp_path, chat__py=APP, test_chat__py=TEST, pytest__ini="[pytest]\nodac_app = chat:app\npythonpath = .\n")
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_fixture_gives_the_app(tmp_path: Path) -> None:
    write(tmp_path, chat__py=APP, test_chat__py=TEST, conftest__py=OVERRIDE, pytest__ini="[pytest]\npythonpath = .\n")
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_without_an_app_it_says_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, test_chat__py=TEST)
    done = run(tmp_path)
    assert done.returncode != 0
    assert "set odac_app = chat:app in pytest's configuration" in done.stdout


def test_under_anyio(tmp_path: Path) -> None:
    write(tmp_path, chat__py=APP, test_chat__py=ANYIO, pytest__ini="[pytest]\npythonpath = .\n")
    done = run(tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
