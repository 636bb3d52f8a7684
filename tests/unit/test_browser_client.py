"""The browser client's own unit tests, which Node runs: `npm test`, in client/."""

from __future__ import annotations

import shutil
import subprocess

from tests.unit.test_client_build import CLIENT, missing


def test_its_unit_tests_pass() -> None:
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            missing(name)
    if not (CLIENT / "node_modules").is_dir():
        missing("client/node_modules (npm install, in client/)")
    done = subprocess.run(["npm", "test", "--silent"], cwd=CLIENT, capture_output=True, text=True, timeout=900)
    passed, _, failed = done.stdout.partition("failing tests:")  # all of it once more, below this line
    assert done.returncode == 0, f"{failed or passed}{done.stderr}"
