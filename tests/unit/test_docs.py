"""What README and docs say is tried: code runs, data parses, commands exist, links lead somewhere.

How the pages are read:

- ``python`` blocks of a page run in order in one fresh interpreter. A block whose first line is ``# name.py`` is
  written to that file instead, for the blocks after it to import.
- ``<!-- test`` … ``-->`` holds Python that runs at its place and is not shown.
- ``json``, ``toml`` and ``js`` blocks must parse. In ``sh`` blocks, every ``odac`` command and ``make`` target must
  exist.
- ``text``, ``html`` and the like are shown only (what docs/client has for React and Vue, the client's own tests
  render). A block without a language is a mistake.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from odac.close_codes import CloseCode, is_retryable
from odac.config import Limits, RateLimit

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
SHOWN_ONLY = {"text", "html", "jsx", "css", "nginx", "haproxy", "yaml", "ini", "diff", "ts", "tsx", "dockerfile"}
CHECKED = {"python", "json", "toml", "js", "sh"}

_block = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$|^<!-- test\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
_link = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")


class Block(NamedTuple):
    language: str
    code: str
    line: int
    """The line of the page on which the code begins, from 1."""


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _block.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match["hidden"] is not None:
            yield Block("python", match["hidden"], line)
        else:
            indent = len(match["indent"])
            yield Block(
                match["language"].strip(), "".join(row[indent:] or "\n" for row in match["code"].splitlines(True)), line
            )


def of_language(language: str) -> list[tuple[Path, Block]]:
    return [(page, block) for page in PAGES for block in blocks(page) if block.language == language]


def name(value: object) -> str:
    if isinstance(value, Path):
        return str(value.relative_to(ROOT))
    return str(value.line) if isinstance(value, Block) else str(value)


def program(page: Path) -> str:
    """One program of all of a page's Python, whose tracebacks name the page's own lines."""
    steps = []
    for block in blocks(page):
        if block.language != "python":
            continue
        file = re.match(r"# ([\w/]+\.py)\n", block.code)
        if file:
            steps.append(f"write({file[1]!r}, {block.code!r})")
        else:
            padded = "\n" * (block.line - 1) + block.code
            steps.append(f"exec(compile({padded!r}, {str(page)!r}, 'exec'), page)")
    return "\n".join([RUNNER, *steps])


RUNNER = """
import pathlib, sys

page = {"__name__": "__main__"}
sys.path.insert(0, "")

def write(path, code):
    compile(code, path, "exec")
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code, encoding="utf-8")
"""


def test_every_block_says_what_it_is() -> None:
    unknown = [
        f"{name(page)}:{block.line} is marked {block.language!r}"
        for page in PAGES
        for block in blocks(page)
        if block.language not in SHOWN_ONLY | CHECKED
    ]
    assert not unknown, "\n".join(unknown)


def with_python() -> Iterator[object]:
    """The pages with Python; those that run pytest in a process of its own take long."""
    for page in PAGES:
        code = [block.code for block in blocks(page) if block.language == "python"]
        marks = [pytest.mark.slow] if any("subprocess.run(" in each for each in code) else []
        if code:
            yield pytest.param(page, marks=marks)


@pytest.mark.parametrize("page", list(with_python()), ids=name)
def test_python_runs(page: Path, tmp_path: Path) -> None:
    (tmp_path / "the_page.py").write_text(program(page), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ODAC_", "DJANGO_"))}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "the_page.py"],
        cwd=tmp_path,
        env={**environment, "ODAC_SECRET": "a secret for the documentation's own tests"},
        capture_output=True,
        text=True,
        timeout=180,  # some pages run pytest themselves, and a busy machine takes its time
        check=False,
    )
    assert done.returncode == 0, f"{name(page)}:\n{done.stdout}{done.stderr}"


def test_data_parses() -> None:
    for _, block in of_language("json"):
        json.loads(block.code)
    for _, block in of_language("toml"):
        tomllib.loads(block.code)


PARSE = """
import { readFileSync } from 'node:fs'
import { SourceTextModule } from 'node:vm'
const wrong = JSON.parse(readFileSync(0, 'utf8')).flatMap(([place, code]) => {
  try {
    new SourceTextModule(code)
    return []
  } catch (error) {
    return [`${place}: ${error}`]
  }
})
console.log(JSON.stringify(wrong))
"""


def test_javascript_parses() -> None:
    node = shutil.which("node")
    if node is None:
        assert os.environ.get("CI") != "true", "Node is missing, and CI leaves nothing out"
        pytest.skip("Node is not installed")
    code = [(f"{name(page)}:{block.line}", block.code) for page, block in of_language("js")]
    done = subprocess.run(
        [node, "--experimental-vm-modules", "--input-type=module", "--eval", PARSE],
        input=json.dumps([*code, ("wrong on purpose", "const = 1")]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *wrong, on_purpose = json.loads(done.stdout)
    assert on_purpose.startswith("wrong on purpose: SyntaxError")
    assert wrong == []


def commands(block: Block) -> Iterator[list[str]]:
    for line in re.sub(r"\\\n", " ", block.code).splitlines():
        words = line.split("  #")[0].split()
        while words and re.fullmatch(r"\w+=\S*", words[0]):
            words = words[1:]  # VARIABLE=value before the command
        if words:
            yield words


@pytest.mark.parametrize(("page", "block"), of_language("sh"), ids=name)
def test_commands_exist(page: Path, block: Block) -> None:
    from odac.cli import main

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for words in commands(block):
        if words[0] == "make":
            for target in (word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)):
                assert f"\n{target}:" in makefile, f"{name(page)}:{block.line}: make has no target {target}"
        elif words[0] == "odac":
            command = main.commands.get(words[1]) if len(words) > 1 else None
            assert command is not None, f"{name(page)}:{block.line}: odac has no command {words[1:2]}"
            options = {
                option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
            } | {"--help"}
            used = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
            assert used <= options, f"{name(page)}:{block.line}: odac {words[1]} has no {', '.join(used - options)}"


def anchors(page: Path) -> set[str]:
    """The fragments of a page's headings, formed as GitHub forms them."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for match in _link.finditer(text):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (fragment and file.suffix == ".md" and fragment not in anchors(file)):
            broken.append(f"{name(page)}: {target}")
    assert not broken, "\n".join(broken)


def test_every_page_can_be_reached_from_the_start() -> None:
    """By links from docs/README.md, so that no page is written for nobody."""
    start = ROOT / "docs" / "README.md"
    seen, pending = {start}, [start]
    while pending:
        page = pending.pop()
        for match in _link.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / match["target"].partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in seen:
                seen.add(target)
                pending.append(target)
    lost = [name(page) for page in PAGES if (ROOT / "docs") in page.parents and page not in seen]
    assert not lost, f"no page links to {lost}: add them to docs/README.md or to the page they belong to"


def rows(page: str) -> list[list[str]]:
    """The cells of all table rows of a page below docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_table_of_close_codes_is_the_code() -> None:
    told = {
        int(row[0]): (row[1].strip("`"), row[3].startswith("reconnects"))
        for row in rows("reference/close-codes.md")
        if row[0].isdigit()
    }
    assert told == {int(code): (code.name, is_retryable(code)) for code in CloseCode}


def test_the_table_of_limits_has_every_limit_and_its_default() -> None:
    told = {row[0].strip("`*"): row[1] for row in rows("reference/limits.md") if row[0].startswith("`")}
    assert set(told) == {field.name for field in dataclasses.fields(Limits)}
    limits = Limits()
    for field, text in told.items():
        default = getattr(limits, field)
        if default is None:
            assert text == "off"
        elif isinstance(default, RateLimit):
            assert text == f"{default.max} per {default.window:g} s"
        else:
            number, _, unit = text.partition(" ")
            scale = {"KiB": 1024, "MiB": 1024 * 1024}.get(unit, 1)
            assert float(number.replace(",", "")) * scale == default, field


def test_the_reader_finds_blocks_and_their_lines(tmp_path: Path) -> None:
    """Guards this file: a reader that finds nothing would pass for ever."""
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```python\nx = 1\n```\n\n- b\n\n  ```json\n  {}\n  ```\n\n<!-- test\nassert x == 2\n-->\n")
    found = list(blocks(page))
    assert found == [Block("python", "x = 1\n", 4), Block("json", "{}\n", 10), Block("python", "assert x == 2\n", 14)]
    done = subprocess.run(
        [sys.executable, "-c", program(page)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert 'page.md", line 14' in done.stderr
