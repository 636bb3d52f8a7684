"""The browser client's built files: what their source makes, small, of this version, and the same on every machine."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import odac

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "client"
STATIC = ROOT / "src" / "odac" / "static"
SCRIPTS = ("odac.js", "odac.mjs", "odac-shared.mjs", "odac-worker.js")
FILES = {*SCRIPTS, *(f"{name}.map" for name in SCRIPTS), "odac.d.ts"}
LIMIT = 6 * 1024


def missing(reason: str) -> None:
    """Skip on a machine without ``reason``; in CI that is a failure."""
    assert os.environ.get("CI") != "true", f"{reason} is missing, and CI leaves nothing out"
    pytest.skip(f"{reason} is not installed")


def test_everything_is_built() -> None:
    assert {path.name for path in STATIC.iterdir()} == FILES


def test_the_committed_files_are_what_the_source_makes(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        missing("Node")
    if not (CLIENT / "node_modules").is_dir():
        missing("client/node_modules (npm install, in client/)")
    subprocess.run(
        [str(node), "build.mjs", str(tmp_path)], cwd=CLIENT, check=True, timeout=120, stdout=subprocess.DEVNULL
    )
    stale = [name for name in sorted(FILES) if (tmp_path / name).read_bytes() != (STATIC / name).read_bytes()]
    assert not stale, f"{', '.join(stale)}: not what client/src makes; run `make client` and commit src/odac/static"


@pytest.mark.parametrize("name", ["odac.js", "odac.mjs"])
def test_the_script_stays_small(name: str) -> None:
    """6 KiB with all that every page needs; what only shared connections load is apart."""
    size = len(gzip.compress((STATIC / name).read_bytes(), 9))
    print(f"{name}: {size} bytes gzipped, of {LIMIT}")
    assert size <= LIMIT


@pytest.mark.parametrize("name", ["odac.js", "odac.mjs"])
def test_the_served_scripts_warn_about_unknown_events_and_options(name: str) -> None:
    """The build drops these warnings from the npm package, which has types, and must not drop them here."""
    script = (STATIC / name).read_text()
    assert "Odac: unknown " in script
    assert [kind for kind in ("event", "option") if f'"{kind}",' not in script] == []


def test_one_version_for_all() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version == odac.__version__
    assert version == json.loads((CLIENT / "package.json").read_text())["version"]
    for name in SCRIPTS:
        assert (STATIC / name).read_text().startswith(f"/*! odac {version}, MIT */")


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_of_the_machine_that_built_it_is_in_it(name: str) -> None:
    sources = json.loads((STATIC / f"{name}.map").read_text())
    assert sources["sources"]
    for source in sources["sources"]:
        assert re.fullmatch(r"\.\./\.\./\.\./client/src/[a-z/-]+\.ts", source), source
        assert (STATIC / source).resolve().is_relative_to(CLIENT / "src")
    assert (STATIC / name).read_text().rstrip().endswith(f"//# sourceMappingURL={name}.map")


def test_no_dependency_and_no_lock_file() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert not package.get("dependencies")
    assert not list(CLIENT.glob("*lock*"))
    # With no lock file, exact versions are what makes a rebuild the same.
    for name, wanted in package["devDependencies"].items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", wanted), f"{name} {wanted}"
