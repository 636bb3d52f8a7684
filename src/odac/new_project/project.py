"""Writes the files of a new project, from the templates in ``files/``."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Final

from odac.errors import ConfigurationError

__all__ = ["create_project"]

_FILES: Final = Path(__file__).parent / "files"
_SUFFIX: Final = ".in"
"""Keeps tools from taking a template for a file of Odac itself: a ``test_app.py``, a ``pyproject.toml``."""


def create_project(path: str) -> list[Path]:
    """Make a small typed app: its page, its test, and a Dockerfile.

    Args:
        path: the folder to make, whose last part is the project's name; ``.`` for the current one, where it is empty.

    Returns:
        the files, in the order of their names.

    Raises:
        ConfigurationError: the name is none, there is something in the folder, or it cannot be written.
    """
    folder = Path(path).resolve()
    name = folder.name
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ConfigurationError(
            f"{name!r} cannot be a project's name: begin with a letter, and go on with letters, digits, - and _"
        )
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigurationError(f"there is something in {folder} already: choose another name, or empty it first")
        return sorted(_written(folder, template, name) for template in _FILES.rglob(f"*{_SUFFIX}"))
    except OSError as error:
        raise ConfigurationError(f"{error.filename or folder} cannot be written: {error.strerror}") from None


def _written(folder: Path, template: Path, name: str) -> Path:
    target = folder / str(template.relative_to(_FILES)).removesuffix(_SUFFIX)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = Template(template.read_text(encoding="utf-8"))
    # "x": nothing is replaced that another program has put there meanwhile.
    with target.open("x", encoding="utf-8") as file:
        file.write(text.substitute(name=name, version=version("odac")))
    return target
