"""Run other projects' own tests with Odac's classes in place of uvicorn's: ``python scripts/foreign_suites.py [SUITE …]``.

The suites come from the released source distributions of the installed versions, and are unpacked into a
folder that is not part of the repository. What is left out, and why, is in ``tests/foreign/exceptions.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / ".venv" / "foreign"

SUITES: Final = {
    "uvicorn": ("tests/protocols/test_websocket.py", "tests/protocols/test_http.py"),
    "starlette": ("tests/test_websockets.py",),
    "fastapi": (
        "tests/test_ws_router.py",
        "tests/test_ws_dependencies.py",
        "tests/test_security_websockets.py",
        "tests/test_dependency_after_yield_websockets.py",
        "tests/test_dependency_yield_scope_websockets.py",
        "tests/test_tutorial/test_websockets",
    ),
}

FIXTURES: Final = """
import pytest
from tests_of_odac.protocol_classes import http_class, ws_class

@pytest.fixture
def ws_protocol_cls():
    return ws_class()

@pytest.fixture
def http_protocol_cls():
    return http_class()
"""
"""A conftest.py next to uvicorn's tests, which overrides the fixtures that return its own classes."""


def unpacked(name: str) -> Path:
    """The source distribution of the installed version, fetched at the first call."""
    release = version(name)
    folder = CACHE / f"{name}-{release}"
    if not (folder / "tests").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-binary", ":all:", "--dest", str(CACHE), f"{name}=={release}"]
        subprocess.run([*fetch, *wanted], check=True)  # noqa: S603 - the words are this file's own
        with tarfile.open(next(CACHE.glob(f"{name}-{release}.tar.gz"))) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # which Python has since 3.11.4
            archive.extractall(CACHE)  # noqa: S202 - a release of a known package
    return folder


def run(name: str) -> int:
    """Run one suite, and return pytest's exit code."""
    folder = unpacked(name)
    if name == "uvicorn":
        (folder / "tests" / "protocols" / "conftest.py").write_text(FIXTURES)
    # Their test packages are named "tests", too, so Odac's plugin is imported under another name.
    bridge = CACHE / "plugin"
    bridge.mkdir(exist_ok=True)
    link = bridge / "tests_of_odac"
    if not link.exists():
        link.symlink_to(ROOT / "tests" / "foreign", target_is_directory=True)
    paths = [path for path in SUITES[name] if (folder / path).exists()]
    print(f"== {name} {version(name)}: {' '.join(paths)}", flush=True)
    # Without the suites' own settings, which turn every warning into an error.
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-c", os.devnull, "--rootdir", str(folder)]
    command += ["-p", "no:cacheprovider", "-p", "tests_of_odac.protocol_classes", *paths]
    environment = {**os.environ, "ODAC_FOREIGN_SUITE": name, "PYTHONPATH": str(bridge), "PYTHONSAFEPATH": ""}
    finished = subprocess.run(command, cwd=folder, env=environment, check=False)  # noqa: S603
    return finished.returncode


if __name__ == "__main__":
    sys.exit(max([run(name) for name in sys.argv[1:] or SUITES]))
