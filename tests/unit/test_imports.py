"""Imports between the packages run one way, and importing Odac pulls in nothing optional."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from odac.speedups import COMPILED

SOURCE = Path(__file__).parents[2] / "src" / "odac"

# Each layer may import itself and the layers before it.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset(
        {
            "errors",
            "config",
            "close_codes",
            "hints",
            "jitter",
            "notices",
            "signatures",
            "spelling",
            "speedups",
            "_speedups",
        }
    ),
    frozenset({"wire"}),
    frozenset({"protocol"}),
    frozenset({"realtime"}),
    frozenset({"history", "presence"}),
    frozenset({"brokers"}),
    frozenset({"cluster"}),
    frozenset({"calls"}),
    frozenset({"routing", "security", "publishing", "lanes", "http", "request", "context"}),
    frozenset({"contract"}),
    frozenset({"app", "dispatch", "life", "lifespan", "room_rules"}),
    frozenset({"server", "serving", "cli", "client", "testing", "metrics", "new_project"}),
    frozenset({"contrib"}),
)

FORBIDDEN: dict[str, frozenset[str]] = {
    "wire": frozenset({"asyncio", "socket", "time", "selectors", "ssl", "uvicorn", "starlette"}),
    "realtime": frozenset(
        {
            "odac.lanes",
            "odac.history",
            "odac.brokers",
            "odac.cluster",
            "odac.routing",
            "odac.security",
            "uvicorn",
            "starlette",
        }
    ),
}
OPTIONAL = frozenset({"redis", "nats", "zmq", "prometheus_client"})


def level(part: str) -> int | None:
    return next((index for index, layer in enumerate(LAYERS) if part in layer), None)


def part_of(path: Path) -> str:
    """``wire`` for src/odac/wire/parser.py, ``app`` for src/odac/app.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[str, int, bool]]:
    """Every module that a file imports, its line, and whether it happens when the file is imported.

    An import within a function happens later, and one below ``if TYPE_CHECKING`` never; the direction holds for them
    too, because it is the design that it guards, not the import machinery.
    """
    tree = ast.parse(path.read_text(), filename=str(path))
    package = ("odac", *path.relative_to(SOURCE).parent.parts)
    at_import = {id(node) for node in _runs_at_import(tree)}
    found: list[tuple[str, int, bool]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in at_import) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))
            # `from odac import wire` names a module too
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "odac" else [base]
            found += [(name, node.lineno, id(node) in at_import) for name in names]
    return found


def _runs_at_import(tree: ast.Module) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        nodes.append(node)
        pending.extend(ast.iter_child_nodes(node))
    return nodes


FILES = sorted(SOURCE.rglob("*.py"))


def circles(root: Path) -> list[list[str]]:
    """Modules below a folder that import each other in a circle, also where a type checker alone sees the import.

    Returns:
        each circle's modules in their order; circles are what Tarjan's algorithm finds: strongly connected components.
    """
    paths = {_module(path): path for path in sorted(root.rglob("*.py")) if path.name != "__init__.py"}
    edges: dict[str, set[str]] = {}
    for name, path in paths.items():
        edges[name] = {target for target, _, _ in imported(path) if target in paths and target != name}
    found: list[list[str]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(edges[node]):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = []
            while True:
                component.append(stack.pop())
                if component[-1] == node:
                    break
            if len(component) > 1:
                found.append(sorted(component))

    for node in paths:
        if node not in index:
            visit(node)
    return sorted(found)


def _module(path: Path) -> str:
    return ".".join(("odac", *path.relative_to(SOURCE).with_suffix("").parts))


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(SOURCE) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    part = part_of(path)
    if part in {"__init__", "__main__"}:
        return  # the public names: they come from everywhere
    own = level(part)
    assert own is not None, f"{path.name}: say in LAYERS where {part!r} belongs"
    wrong = []
    for name, line, _ in imported(path):
        if not name.startswith("odac."):
            continue
        other = name.split(".")[1]
        target = level(other)
        assert target is not None, f"{path}:{line} imports {name}: say in LAYERS where {other!r} belongs"
        if target > own:
            wrong.append(f"{path.relative_to(SOURCE)}:{line} imports {name}: {other} is built on {part}, not below it")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_what_a_package_must_not_know(part: str) -> None:
    forbidden = FORBIDDEN[part]
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in sorted((SOURCE / part).rglob("*.py"))
        for name, line, _ in imported(path)
        if any(name == banned or name.startswith(f"{banned}.") for banned in forbidden)
    ]
    assert not wrong, "\n".join(wrong)


def test_optional_packages_are_imported_only_when_they_are_used() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line} imports {name}"
        for path in FILES
        if part_of(path) != "metrics"  # nothing of Odac imports it; who does wants Prometheus
        and (part_of(path) != "brokers" or path.name in {"__init__.py", "base.py", "memory.py"})
        for name, line, at_import in imported(path)
        if at_import and name.split(".")[0] in OPTIONAL
    ]
    assert not wrong, "\n".join(wrong)


UNUSED_AT_IMPORT = {
    "what is used with the first request": {"starlette.responses", "starlette.requests", "starlette.routing", "anyio"},
    "servers and clients": {"uvicorn", "httptools", "uvloop", "click", "websockets", "http.client", "odac.serving"},
    "what few apps use": {
        *("odac.history.rooms", "odac.history.memory_store", "odac.presence.service", "odac.cluster.bus"),
        *("odac.publishing", "odac.client", "odac.testing", "odac.contract", "odac.contrib", "odac.metrics"),
        *("odac.brokers.local_paths", "odac.brokers.memory", "pydantic"),
    },
    "what only these would need": {
        *("tempfile", "shutil", "email", "importlib.metadata", "importlib.resources", "multipart", "zipfile"),
    },
}
"""Modules that importing Odac must not import. Each of them, or what it imports in turn, takes milliseconds."""
MOST_MODULES = 190
"""Modules that come with ``import odac`` beyond those of asyncio; as many on Python 3.11."""


def test_import_odac_imports_what_every_app_uses_and_no_more() -> None:
    program = (
        "import sys, asyncio; before = set(sys.modules); import odac, json;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout))
    unused = set().union(*UNUSED_AT_IMPORT.values())
    if os.environ.get("ODAC_SPEEDUPS") == "0" or not COMPILED:
        unused -= {"websockets", "email", "importlib.metadata", "importlib.resources", "zipfile", "shutil", "tempfile"}
    assert imported & unused == set()
    assert len(imported) <= MOST_MODULES, sorted(imported)


def test_import_odac_needs_nothing_optional(record_property: Callable[[str, object], None]) -> None:
    """In a fresh interpreter; the time is recorded for the report and compared with nothing."""
    program = (
        "import json, sys, time; start = time.perf_counter(); from odac import Odac; took = time.perf_counter() - start;"
        "print(json.dumps({'took': took, 'modules': sorted({name.split('.')[0] for name in sys.modules})}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert not OPTIONAL & set(answer["modules"])
    assert "odac" in answer["modules"]
    record_property("import_odac_seconds", round(answer["took"], 3))
    print(f"import odac: {answer['took'] * 1000:.0f} ms, {len(answer['modules'])} top-level packages")


def test_the_checker_sees_an_import_against_the_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards this file: a checker that finds nothing would pass for ever."""
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    (tmp_path / "realtime").mkdir()
    bad = tmp_path / "realtime" / "hub.py"
    bad.write_text(
        "from ..lanes import direct\nif TYPE_CHECKING:\n    import redis\ndef later():\n    import odac.app\n"
    )
    assert imported(bad) == [("odac.lanes", 1, True), ("redis", 3, False), ("odac.app", 5, False)]
    with pytest.raises(AssertionError, match="lanes is built on realtime"):
        test_imports_run_one_way(bad)
    with pytest.raises(AssertionError, match=r"realtime/hub\.py:1 imports odac\.lanes"):
        test_what_a_package_must_not_know("realtime")


def test_the_checker_sees_a_circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    (tmp_path / "realtime").mkdir()
    (tmp_path / "realtime" / "hub.py").write_text("from odac.realtime.outbox import Outbox\n")
    (tmp_path / "realtime" / "outbox.py").write_text(
        "from odac.realtime import ping\nfrom odac.realtime.ping import Ping\n"
    )
    (tmp_path / "realtime" / "ping.py").write_text("if TYPE_CHECKING:\n    from odac.realtime.hub import Hub\n")
    (tmp_path / "realtime" / "alone.py").write_text("from odac.realtime.hub import Hub\n")
    assert circles(tmp_path) == [["odac.realtime.hub", "odac.realtime.outbox", "odac.realtime.ping"]]
