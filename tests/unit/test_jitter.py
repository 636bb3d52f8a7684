from __future__ import annotations

import ast
from pathlib import Path

import odac

SOURCE = Path(odac.__file__).parent


def drawn(path: Path) -> list[str]:
    """What a module imports of :mod:`random`, except for its classes, whose objects have a sequence of their own."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name == "random"]
        elif isinstance(node, ast.ImportFrom) and node.module == "random":
            names += [alias.name for alias in node.names if alias.name not in ("Random", "SystemRandom")]
    return names


def test_no_module_draws_from_the_sequence_of_the_application() -> None:
    assert {str(path): names for path in SOURCE.rglob("*.py") if (names := drawn(path))} == {}
