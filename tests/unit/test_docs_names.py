"""Every name that the documentation mentions is one that exists: targets, options, files, modules, settings, defaults."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import odac
from odac.cli import main
from odac.routing.options import CheckedOptions, RouteOptions
from odac.server import run
from tests.unit.test_docs import PAGES, ROOT, name, rows
from tests.unit.test_imports import LAYERS

SOURCE = ROOT / "src" / "odac"
TEXTS = [*PAGES, ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", ROOT / "client" / "README.md"]


def spans(page: Path) -> Iterator[str]:
    """The pieces of code within a page's sentences."""
    text = re.sub(r"^ *```.*?^ *```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return (match[1] for match in re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", text))


def wrong(page: Path, is_right: Callable[[str], bool | None]) -> list[str]:
    return [f"{name(page)}: `{span}`" for span in spans(page) if is_right(span) is False]


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    def is_target(span: str) -> bool | None:
        target = re.match(r"make ([a-z-]+)", span)
        return f"\n{target[1]}:" in makefile if target else None

    assert wrong(page, is_target) == []


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_commands_and_their_options_exist(page: Path) -> None:
    def is_command(span: str) -> bool | None:
        words = span.split()
        if words[0] != "odac" or len(words) == 1 or not re.fullmatch(r"[a-z]+", words[1]):
            return None
        command = main.commands.get(words[1])
        if command is None:
            return False
        known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
        return {word.split("=")[0] for word in words[2:] if word.startswith("--")} <= known

    assert wrong(page, is_command) == []


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_limits_and_close_codes_exist(page: Path) -> None:
    owners = {"Limits": odac.Limits, "CloseCode": odac.CloseCode, "ReadyState": odac.ReadyState}

    def is_member(span: str) -> bool | None:
        member = re.match(r"(Limits|CloseCode|ReadyState)\.(\w+)", span)
        return hasattr(owners[member[1]], member[2]) if member else None

    assert wrong(page, is_member) == []


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_files_exist(page: Path) -> None:
    def is_file(span: str) -> bool | None:
        if not re.fullmatch(r"(src|tests|docs|scripts|benchmarks|examples|client)/[\w./-]*", span):
            return None
        return (ROOT / span).exists() or (page.parent / span).exists()

    assert wrong(page, is_file) == []


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_modules_and_their_names_exist(page: Path) -> None:
    def is_importable(span: str) -> bool | None:
        dotted = re.match(r"(odac(?:\.\w+)+)\b(?![-/])", span)
        if not dotted or re.match(
            r"odac\.(v1|resume\b|js|mjs|lane|ws|auth|call\b|request|set_|create_task|data|d\b|service$)", span
        ):
            return None  # the subprotocol, the client's files, the scope's extension, and what a handler receives; a unit of systemd's
        parts = dotted[1].split(".")
        logger = ".".join(parts) in LOGGERS
        return logger or _resolves(parts)

    assert wrong(page, is_importable) == []


LOGGERS = {
    found
    for file in SOURCE.rglob("*.py")
    for found in re.findall(r'getLogger\("([\w.]+)"\)', file.read_text(encoding="utf-8"))
}


def _resolves(parts: list[str]) -> bool:
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


VARIABLES = {
    found
    for file in (*SOURCE.rglob("*.py"), ROOT / "hatch_build.py", *(ROOT / "tests").rglob("conftest.py"))
    for found in re.findall(r"ODAC_[A-Z_]+[A-Z]", file.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("page", TEXTS, ids=name)
def test_variables_of_the_environment_are_read_somewhere(page: Path) -> None:
    used = set(re.findall(r"\bODAC_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8")))
    assert used <= VARIABLES


def told(page: str) -> dict[str, str]:
    """A table's first column, unquoted, with its second."""
    return {row[0].strip("`"): row[1] for row in rows(page) if row[0].startswith("`") and len(row) > 1}


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    return {
        each.name: each.default
        for each in inspect.signature(function).parameters.values()
        if each.default is not each.empty and each.kind is not each.VAR_KEYWORD
    }


def test_the_tables_of_options_are_the_code() -> None:
    options = told("reference/route-options.md")
    assert set(options) == set(RouteOptions.__annotations__)
    real = defaults(CheckedOptions)
    for option, default in options.items():
        if default != "the app's":
            assert default == f"`{real[option]!r}`".replace("'", '"'), option

    arguments = told("reference/server-api.md")
    for argument, value in defaults(odac.Odac).items():
        assert argument in arguments
        if value not in (None, odac.Limits(), odac.SessionOptions()):
            assert f"`{value!r}`".replace("'", '"') == arguments[argument], argument

    client = told("reference/python-client.md")
    for argument, value in defaults(odac.connect).items():
        assert client[argument] == f"`{value!r}`".replace("'", '"'), argument


def test_what_run_says_of_its_options_is_what_they_are() -> None:
    text = inspect.getdoc(run) or ""
    command = {each.name: each for each in main.commands["run"].params}
    for option in ("host", "port", "workers", "reload", "log_level", "access_log", "proxy_headers", "factory"):
        default = False if command[option].is_flag and option != "port" else command[option].default  # type: ignore[attr-defined]
        default = repr(default).replace("'", '"')
        assert f"{option}={default}" in text, option


def test_the_tree_names_every_module_and_every_package() -> None:
    """docs/explanation/architecture.md shows all of src/odac, and nothing besides."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^  ([\w./]+?)/?(?:, [\w.]+)*  +\S", text, re.MULTILINE))
    real = {each.name for each in SOURCE.iterdir() if each.name[0] not in "_." and each.name != "py.typed"}
    assert shown == real


def test_the_direction_of_imports_is_the_one_that_is_tested() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = next(block for block in text.split("```") if "  →  " in block).removeprefix("text")
    hidden = {"_speedups"}
    assert [set(layer.strip().split(", ")) for layer in drawing.split("  →  ")] == [
        set(layer) - hidden for layer in reversed(LAYERS)
    ]


def test_a_wrong_name_is_found(tmp_path: Path) -> None:
    """Guards this file: a reader that finds nothing would pass for ever."""
    page = tmp_path / "page.md"
    page.write_text(
        "`make micron`, `Limits.max_size`, `odac run --colour`, `src/odac/nothing.py`, `odac.nothing`, `make`\n"
    )
    for test in (
        test_make_targets_exist,
        test_limits_and_close_codes_exist,
        test_commands_and_their_options_exist,
        test_files_exist,
        test_modules_and_their_names_exist,
    ):
        with pytest.raises((AssertionError, ValueError)):
            test(page)
