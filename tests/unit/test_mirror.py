"""The unit tests mirror the source, so that the tests of a module are easy to find."""

from __future__ import annotations

import ast

from tests.unit.test_docs import ROOT

SOURCE = ROOT / "src" / "odac"
UNIT = ROOT / "tests" / "unit"


def modules() -> set[str]:
    return {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"} and "static" not in path.parts
    }


def has_code(module: str) -> bool:
    """Whether there is anything to test: not in a module of constants and interfaces (classes that are Protocols)."""
    for node in ast.parse((SOURCE / module).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return True
        if isinstance(node, ast.ClassDef) and "Protocol" not in {
            ast.unparse(base).split("[")[0] for base in node.bases
        }:
            return True
    return False


def is_mirrored(module: str) -> bool:
    folder, _, name = module.rpartition("/")
    return (UNIT / folder / f"test_{name}").exists()


def test_every_module_has_its_tests() -> None:
    missing = sorted(module for module in modules() if has_code(module) and not is_mirrored(module))
    assert missing == [], "add tests/unit/…/test_<module>.py"
