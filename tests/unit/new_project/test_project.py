from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from odac.errors import ConfigurationError
from odac.new_project.project import create_project

PYTEST = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:faker"]
"""Without Faker's plugin, which our own tests' packages bring, and which takes a long time to import."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "tea-room"
    files = create_project(str(folder))
    assert files == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def called(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ODAC_", "PYTEST"))}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_passes_its_own_tests(project: Path) -> None:
    # By its own configuration alone, with warnings as errors besides
    done = called([*PYTEST, "-W", "error"], project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b5 passed", done.stdout)


@pytest.mark.slow
def test_its_tests_notice_a_broken_app(project: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(project, tmp_path / "broken")
    source = (broken / "app.py").read_text()
    (broken / "app.py").write_text(
        source.replace("min_length=1, ", "").replace('odac.ws.to("talk").send', "odac.ws.send")
    )
    done = called(PYTEST, broken)
    assert done.returncode == 1, done.stdout + done.stderr
    assert {*re.findall(r"^FAILED test_app.py::(\w+)", done.stdout, re.MULTILINE)} >= {
        "test_everybody_reads_what_anybody_writes",
        "test_an_empty_line_is_refused",
    }


def test_the_name_is_where_it_is_shown_and_nothing_is_left_to_fill_in(project: Path) -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in project.rglob("*") if path.is_file()}
    assert "<title>tea-room</title>" in texts["index.html"]
    assert "# tea-room\n" in texts["README.md"]
    assert "docker build -t tea-room ." in texts["README.md"]
    assert "ODAC_SECRET=$(python" in texts["README.md"]
    assert [name for name, text in texts.items() if re.search(r"\$(name|version|\{)|\$\$", text)] == []


def test_the_image_copies_files_that_are_there_and_starts_what_is_in_them(project: Path) -> None:
    lines = (project / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") for word in line.split()[1:-1]]
    assert {"app.py", "static", "requirements.txt", "test_app.py"} <= set(copied)
    assert [name for name in copied if not (project / name).exists()] == []
    [command] = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert command[:3] == ["odac", "run", "app:app"]
    done = called([sys.executable, "-m", "odac", "routes", command[2]], project)
    assert "/talk" in done.stdout


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["mypy", "--strict", "--no-incremental"]], ids=lambda tool: tool[0]
)
def test_linters_and_type_checkers_have_nothing_to_say(project: Path, tool: list[str]) -> None:
    pytest.importorskip(tool[0])
    done = called([sys.executable, "-m", *tool, "app.py", "test_app.py"], project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["9lives", "tea room", "tea.room", "-x", "Tür"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a project's name"):
        create_project(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_there_is_touched(tmp_path: Path) -> None:
    (tmp_path / "tea").mkdir()
    (tmp_path / "tea" / "app.py").write_text("mine")
    with pytest.raises(ConfigurationError, match="already"):
        create_project(str(tmp_path / "tea"))
    (tmp_path / "cake").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        create_project(str(tmp_path / "cake"))
    assert (tmp_path / "tea" / "app.py").read_text() == "mine"
    assert [path.name for path in (tmp_path / "tea").iterdir()] == ["app.py"]
    assert (tmp_path / "cake").read_text() == "a file"


def test_an_empty_folder_that_is_there_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tea").mkdir()
    monkeypatch.chdir(tmp_path / "tea")
    create_project(".")
    assert "<title>tea</title>" in (tmp_path / "tea" / "static" / "index.html").read_text()
