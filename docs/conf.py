"""The documentation site: ``make docs`` builds it from these pages with Sphinx, MyST and Furo; a warning is an error.

The pages stay plain Markdown that reads well in the repository. What the site needs besides is made here: the contents
from the links of README.md, and the hidden tests left out.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

import odac

HERE = Path(__file__).parent

project = "Odac"
author = "the Odac contributors"
version = release = odac.__version__
copyright = author  # noqa: A001 - Sphinx's name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "README"
exclude_patterns = ["_static"]
nitpicky = False  # docstrings name classes of other packages, whose documentation is not fetched

myst_heading_anchors = 3
myst_links_external_new_tab = False
suppress_warnings = ["misc.highlighting_failure"]  # blocks of nginx, HAProxy and JSX that Pygments reads otherwise

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Odac"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True

_hidden_test = re.compile(r"^<!-- test\n.*?^-->\n?", re.MULTILINE | re.DOTALL)
_section = re.compile(r"^###? (?P<title>.+?)$(?P<text>.*?)(?=^###? |\Z)", re.MULTILINE | re.DOTALL)
_page = re.compile(r"\]\((?P<page>(?!https?:)[\w/-]+)\.(?:md|rst)(?:#[\w-]+)?\)")


def contents(text: str) -> str:
    """A toctree for each section of README.md, of the pages that it links to, each page in the first that has it."""
    seen: set[str] = set()
    trees = []
    for section in _section.finditer(text):
        pages = [page for page in dict.fromkeys(_page.findall(section["text"])) if page not in seen]
        seen.update(pages)
        if pages:
            trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {section['title']}", "", *pages, "```"]))
    return "\n\n".join(trees)


def read_page(_app: Sphinx, page: str, source: list[str]) -> None:
    """Leave out the hidden tests, and give the first page its contents."""
    text = _hidden_test.sub("", source[0])
    source[0] = f"{text}\n\n{contents(text)}\n" if page == root_doc else text


def copy_first_page(app: Sphinx, error: Exception | None) -> None:
    """Make the first page what a web server gives for the folder."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read_page)
    app.connect("build-finished", copy_first_page)
