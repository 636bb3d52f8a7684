"""Compile the optional accelerator into the package where there is a C compiler; without one, Odac is only slower."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/odac/_speedups.c"


def compiler_arguments(environ: Mapping[str, str]) -> list[str]:
    """The compiler and its flags, without the files. Flags of the environment come last, so that they have precedence.

    Args:
        environ: ``CC``, ``CPPFLAGS``, ``CFLAGS`` and ``LDFLAGS`` are heeded, as by any other build in C.
    """
    compiler = shlex.split(environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    flags = ["-O3", "-shared", "-fPIC", "-DNDEBUG", f"-I{sysconfig.get_path('include')}"]
    flags += ["-fstack-protector-strong", "-D_FORTIFY_SOURCE=2"]
    if sys.platform == "darwin":
        flags += ["-undefined", "dynamic_lookup"]
    elif sys.platform == "linux":
        flags += ["-Wl,-z,relro", "-Wl,-z,now"]  # addresses are resolved at load, and read-only from then on
    own = [flag for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS") for flag in shlex.split(environ.get(name, ""))]
    return [*compiler, *flags, *own]


class Accelerator(BuildHookInterface):  # type: ignore[type-arg]
    """Runs the compiler that this Python was built with, or ``$CC``, on one file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See :meth:`BuildHookInterface.initialize`."""
        if self.target_name != "wheel" or os.environ.get("ODAC_SPEEDUPS") == "0":
            return
        root = Path(self.root)
        module = root / "src" / "odac" / f"_speedups{sysconfig.get_config_var('EXT_SUFFIX')}"
        command = [*compiler_arguments(os.environ), str(root / SOURCE), "-o", str(module)]
        try:
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the accelerator is not compiled; pure Python is used instead: {error}")
            return
        # A wheel with a compiled file is for this platform and this version of Python only.
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"src/odac/{module.name}")
