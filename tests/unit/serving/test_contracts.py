from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from odac.contract.model import Contract
from odac.errors import ConfigurationError
from odac.serving.contracts import write_contract

SOURCE = """
from odac import Odac
app = Odac("a secret for the tests, and a long one")
app.route.ws("/{name}", lambda odac: None)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the module ``contracted``."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("ODAC_LOCAL_DIRECTORY", raising=False)
    (tmp_path / "contracted.py").write_text(SOURCE)
    yield tmp_path
    sys.modules.pop("contracted", None)


def paths(contract: Contract) -> str:
    return " ".join(route.path for route in contract.routes)


def written(folder: Path, check: str | None = None, target: str = "contracted:app") -> str:
    return write_contract(target, paths, factory=False, app_dir=str(folder), check=check)


def test_the_contract_of_the_one_app_is_made(folder: Path) -> None:
    assert written(folder) == "/{name}"
    assert "ODAC_LOCAL_DIRECTORY" not in os.environ


def test_the_contract_has_the_apps_prefix_and_cookie(folder: Path) -> None:
    options = 'prefix="/rt", session=SessionOptions(cookie="shop")'
    source = SOURCE.replace("import Odac", "import Odac, SessionOptions").replace('one")', f'one", {options})')
    (folder / "contracted.py").write_text(source)
    names: list[tuple[str, str]] = []

    def note(contract: Contract) -> str:
        names.append((contract.prefix, contract.cookie))
        return ""

    write_contract("contracted:app", note, factory=False, app_dir=str(folder), check=None)
    assert names == [("/rt", "shop")]


def test_no_package_of_a_broker_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODAC_BROKER", raising=False)
    monkeypatch.delitem(sys.modules, "odac.brokers.local", raising=False)
    monkeypatch.setitem(sys.modules, "zmq", None)
    assert written(folder) == "/{name}"


def test_a_file_that_says_something_else_is_named(folder: Path) -> None:
    kept = folder / "kept.txt"
    with pytest.raises(ConfigurationError, match=r"kept\.txt differs from the contract of contracted:app"):
        written(folder, str(kept))
    kept.write_text("/{name}")
    assert written(folder, str(kept)) == ""
    kept.write_text("/{id}")
    with pytest.raises(ConfigurationError, match="write it again"):
        written(folder, str(kept))


def test_there_must_be_one_app(folder: Path) -> None:
    with (folder / "contracted.py").open("a") as module:
        module.write("async def other(scope, receive, send): ...\n")
    with pytest.raises(ConfigurationError, match="0 Odac apps in contracted:other"):
        written(folder, target="contracted:other")
    assert "ODAC_LOCAL_DIRECTORY" not in os.environ
