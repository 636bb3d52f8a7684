"""Compiles the optional accelerator into the package where there is a C compiler; without one, nothing is missing but speed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "src/odac/_speedups.c"


class Accelerator(BuildHookInterface):  # type: ignore[type-arg]
    """Runs the compiler that this Python was built with (``$CC`` is heeded) on one file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See :meth:`BuildHookInterface.initialize`."""
        if self.target_name != "wheel" or os.environ.get("ODAC_SPEEDUPS") == "0":
            return
        root = Path(self.root)
        module = root / "src" / "odac" / f"_speedups{sysconfig.get_config_var('EXT_SUFFIX')}"
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        include = sysconfig.get_path("include")
        flags = ["-O3", "-shared", "-fPIC", "-DNDEBUG", f"-I{include}"]
        if sys.platform == "darwin":
            flags += ["-undefined", "dynamic_lookup"]
        try:
            subprocess.run([*compiler, *flags, str(root / SOURCE), "-o", str(module)], check=True, capture_output=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"the accelerator is not compiled, and pure Python does its work: {error}")
            return
        # A wheel with a compiled file is of this platform and this Python only.
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"src/odac/{module.name}")
