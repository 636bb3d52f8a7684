"""The size of files and the length of lines, and that the library calls all of its code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_docs import ROOT

SOURCE = ROOT / "src" / "odac"
PYTHON = sorted(SOURCE.rglob("*.py"))
COMPILED = SOURCE / "_speedups.c"
TYPESCRIPT = sorted((ROOT / "client" / "src").rglob("*.ts*"))
PAGES = [*ROOT.glob("*.md"), ROOT / "client" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

MOST_COLUMNS = 120
MOST_LINES = 300

LARGER: dict[str, str] = {
    "src/odac/app.py": "the public class: its arguments and methods, two thirds of it docstrings and wiring",
    "src/odac/client/session.py": "one state machine: attempts, the open connection, the end",
    "src/odac/cluster/bus.py": "hands over between the parts that the other modules hold",
    "src/odac/lanes/asgi.py": "one lane: its calls share the state of the ASGI connection",
    "src/odac/lanes/direct.py": "one lane: its calls share the state of the transport",
    "src/odac/realtime/connection.py": "the public methods of a connection, a third of it docstrings, and its phases",
    "src/odac/realtime/inbox.py": "one queue with its three consumers: listeners, receive() and the handler",
    "src/odac/realtime/ports.py": "interfaces only: what realtime needs of the rest, in one place",
    "src/odac/security/authentication.py": "the service and the connection's view of it call each other",
    "src/odac/serving/protocols/asgi_websocket.py": "one ASGI connection: its messages share the state of the handshake and the close",
    "src/odac/serving/protocols/websocket.py": "overrides of one protocol class: handshake, then lane or plain ASGI",
    "src/odac/testing/connection.py": "the public methods of a test's connection, and what it receives",
    "src/odac/testing/loop.py": "one event loop whose time a test moves",
    "src/odac/wire/parser.py": "one state machine; a split would cost a call per frame",
}
"""Files of more than 300 lines, and why dividing each would make it harder to read."""


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose_and_code(path: Path) -> Iterator[tuple[int, str]]:
    """The lines whose length the author chooses: neither a table of a page, nor one word such as a URL."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        is_table = path.suffix == ".md" and line.startswith("|")
        if not is_table and len(line.split()) > 1 and "noqa" not in line:
            yield number, line


@pytest.mark.parametrize("path", [*PYTHON, COMPILED, *TYPESCRIPT, *PAGES], ids=relative)
def test_lines_fit_120_columns(path: Path) -> None:
    long = [f"{relative(path)}:{number}" for number, line in prose_and_code(path) if len(line) > MOST_COLUMNS]
    assert long == []


def test_files_have_up_to_300_lines() -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*PYTHON, *TYPESCRIPT]}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES and name not in LARGER} == {}
    assert [name for name in LARGER if sizes.get(name, 0) <= MOST_LINES] == [], "take these off the list"


# Code that nothing calls

CALLED_BY_OTHERS = {
    "asyncio": {"eof_received"},
    "uvicorn": {"capture_signals", "disconnected", "keep_alive", "timeout_keep_alive_task", "_should_upgrade"},
    "httptools": {"on_header"},
    "urllib": {"redirect_request"},
    "Django": {"OdacConfig", "cycle_key"},
    "pytest": {"pytest_addoption"},
    "tests of the compiled twin": {"reference_data_received"},
}
"""Names of functions and classes that another library looks up."""


def used_names(tree: ast.AST) -> Iterator[str]:
    """Every name, attribute and keyword that is read, and each string that is a name (for ``getattr`` and ``__all__``
    of the package itself)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value


def without_exports(tree: ast.Module) -> ast.Module:
    tree.body = [each for each in tree.body if "__all__" not in ast.unparse(each).partition("\n")[0].split("=")[0]]
    return tree


def unused(files: dict[str, str], known: set[str]) -> list[str]:
    """``file: name`` of each function, method and class that no code of these files uses and that is not ``known``."""
    trees = {name: without_exports(ast.parse(text)) for name, text in files.items()}
    used = {name for tree in trees.values() for name in used_names(tree)} | known
    return sorted(
        f"{name}: {node.name}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if node.name not in used and not node.name.startswith("__")
    )


def documented() -> set[str]:
    """Names in the pages' code, in examples and in benchmarks: what users are told to call."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    for folder in ("examples", "benchmarks"):
        code += [path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py"))]
    return set(re.findall(r"\w+", "\n".join(code)))


def test_no_code_is_called_by_tests_alone() -> None:
    files = {str(path.relative_to(SOURCE)): path.read_text(encoding="utf-8") for path in PYTHON}
    compiled = set(re.findall(r"\w+", COMPILED.read_text(encoding="utf-8")))
    elsewhere = compiled | documented() | set().union(*CALLED_BY_OTHERS.values())
    assert unused(files, elsewhere) == []


def test_the_checker_sees_an_unused_method() -> None:
    text = "__all__ = ['Door']\n\nclass Door:\n    def open(self): ...\n    def shut(self): self.open()\n\nDoor()\n"
    assert unused({"door.py": text}, set()) == ["door.py: shut"]
