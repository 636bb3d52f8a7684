"""The accelerator as a file: how it is compiled, and what a second interpreter of the process finds."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMPILER = shutil.which("cc") or shutil.which("gcc")


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """hatch_build.py's hook over a copy of the source; hatchling itself is only there while a wheel is built."""
    plugin = types.ModuleType("hatchling.builders.hooks.plugin.interface")
    plugin.BuildHookInterface = object  # type: ignore[attr-defined]
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, plugin.__name__, plugin)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    monkeypatch.delitem(sys.modules, "hatch_build", raising=False)
    for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS", "ODAC_SPEEDUPS"):
        monkeypatch.delenv(name, raising=False)
    hatch_build = importlib.import_module("hatch_build")
    monkeypatch.delitem(sys.modules, "hatch_build")
    (tmp_path / "src" / "odac").mkdir(parents=True)
    shutil.copy(ROOT / hatch_build.SOURCE, tmp_path / hatch_build.SOURCE)
    hook: Any = hatch_build.Accelerator()
    hook.root, hook.target_name, hook.warnings = str(tmp_path), "wheel", []
    hook.app = types.SimpleNamespace(display_warning=hook.warnings.append)
    return hook


def build(hook: Any) -> Path:
    data: dict[str, Any] = {"artifacts": []}
    hook.initialize("standard", data)
    assert hook.warnings == []
    assert not data["pure_python"]
    (artifact,) = data["artifacts"]
    return Path(hook.root, artifact)


@pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")
@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("readelf"), reason="readelf is not installed")
def test_the_compiled_file_is_hardened(accelerator: Any) -> None:
    module = build(accelerator)
    told = subprocess.run(["readelf", "-dlsW", module], check=True, capture_output=True, text=True).stdout
    assert "BIND_NOW" in told or "Flags: NOW" in told
    assert "GNU_RELRO" in told
    assert "__stack_chk_fail" in told


@pytest.mark.skipif(COMPILER is None, reason="no C compiler is installed")
def test_the_environments_flags_are_heeded_and_come_last(
    accelerator: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "arguments"
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(seen))}\nexec {COMPILER} "$@"\n')
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("CPPFLAGS", "-DFROM_CPPFLAGS='with space'")
    monkeypatch.setenv("CFLAGS", "-O0 -fno-stack-protector -U_FORTIFY_SOURCE")
    monkeypatch.setenv("LDFLAGS", "-Wl,--build-id=none")
    build(accelerator)
    arguments = seen.read_text().splitlines()
    for ours, theirs in (
        ("-O3", "-O0"),
        ("-fstack-protector-strong", "-fno-stack-protector"),
        ("-D_FORTIFY_SOURCE=2", "-U_FORTIFY_SOURCE"),
    ):
        assert arguments.index(ours) < arguments.index(theirs)
    assert "-DFROM_CPPFLAGS=with space" in arguments
    assert "-Wl,--build-id=none" in arguments


def test_without_a_compiler_the_wheel_is_pure_python(accelerator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nonexistent/cc")
    data: dict[str, Any] = {"artifacts": []}
    accelerator.initialize("standard", data)
    assert data == {"artifacts": []}
    assert "pure Python" in accelerator.warnings[0]


SECOND_INTERPRETER = """
import importlib, sys
subinterpreters = importlib.import_module("_xxsubinterpreters")
from odac.protocol.codec import encode
from odac import speedups
assert speedups.COMPILED
other = subinterpreters.create(isolated=False)
subinterpreters.run_string(other, '''
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from odac.protocol.codec import encode, reference_encode
from odac import speedups
assert not speedups.COMPILED
assert encode is reference_encode
assert encode({"a": 1}).payload == b'{"a":1}'
sys.stdout.flush()
''')
assert encode({"a": 1}).payload == b'{"a":1}'
subinterpreters.destroy(other)
assert encode({"a": [1, None]}).payload == b'{"a":[1,null]}'
print("both encode")
"""


@pytest.mark.skipif(
    os.environ.get("ODAC_SPEEDUPS") == "0", reason="not compiled here: no C compiler, or ODAC_SPEEDUPS=0"
)
def test_a_second_interpreter_works_in_pure_python_and_logs_it() -> None:
    """As under mod_wsgi, where each application has an interpreter of its own, which may end before the others do."""
    from odac import speedups

    if not speedups.COMPILED:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")
    if sys.version_info >= (3, 12):
        pytest.skip("not for this one: from Python 3.12 on, msgspec does not work in a second interpreter")
    done = subprocess.run([sys.executable, "-c", SECOND_INTERPRETER], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told, last = done.stdout.splitlines()
    assert "serves one interpreter of a process" in told
    assert last == "both encode"


def started(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process with these options of Python's."""
    command = [sys.executable, *options, "-c", code]
    environ = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ)


def needs_compiled() -> None:
    from odac import speedups

    if not speedups.COMPILED:
        pytest.skip("not compiled here: no C compiler, or ODAC_SPEEDUPS=0")


def test_where_the_gil_stays_off_pure_python_does_the_work_and_says_so() -> None:
    needs_compiled()
    code = "import sys; sys._is_gil_enabled = lambda: False; from odac import speedups; print(speedups.COMPILED)"
    done = started(code)
    assert done.stdout == "False\n", done.stderr
    assert done.stderr.count("the compiled part needs the GIL") == 1


def test_a_compiled_part_that_is_older_than_the_python_files_says_what_to_do() -> None:
    done = started("import sys, types; sys.modules['odac._speedups'] = types.ModuleType('odac._speedups'); import odac")
    assert done.returncode
    assert "ImportError: odac's compiled part is older than its Python files: install Odac again" in done.stderr


FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
without_gil = pytest.mark.skipif(not FREE_THREADED, reason="not for this one: this build of Python has no other mode")


@without_gil
def test_a_free_threaded_build_turns_the_gil_on_for_the_compiled_part_and_warns() -> None:
    code = "import sys; from odac import _speedups; print(sys._is_gil_enabled())"
    done = started(code, "-W", "always")
    assert done.stdout == "True\n", done.stderr
    assert "has been enabled to load module 'odac._speedups'" in done.stderr


@without_gil
def test_a_free_threaded_build_that_is_told_to_keep_the_gil_off_uses_no_compiled_part() -> None:
    code = "import sys; from odac import speedups; print(sys._is_gil_enabled(), speedups.COMPILED)"
    done = started(code, PYTHON_GIL="0")
    assert done.stdout == "False False\n", done.stderr
    assert done.stderr.count("the compiled part needs the GIL") == 1


@without_gil
def test_without_the_compiled_part_odac_leaves_the_gil_as_it_is() -> None:
    """What its dependencies do is theirs; the module that was named first in a warning would be Odac's."""
    done = started("import odac", "-W", "always", ODAC_SPEEDUPS="0")
    assert done.returncode == 0, done.stderr
    assert "to load module 'odac." not in done.stderr
