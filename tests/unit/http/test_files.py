from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from odac.http.files import FILES, ClientFiles


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose static files are the test's."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "odac.js").write_bytes(b"var Odac = 1")
    (tmp_path / "static" / "odac.js.map").write_bytes(b"{}")
    (tmp_path / "static" / "odac.d.ts").write_bytes(b"export {}")
    monkeypatch.setattr("importlib.resources.files", lambda name: {"odac": tmp_path}[name])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("odac.js", "text/javascript; charset=utf-8"),
        ("odac.js.map", "application/json"),
        ("odac.d.ts", "application/typescript; charset=utf-8"),
    ],
)
def test_a_file_comes_with_its_type_and_a_tag(package: Path, name: str, media_type: str) -> None:
    response = ClientFiles().answer(name, Headers())
    assert response.status_code == 200
    assert response.body == (package / "static" / name).read_bytes()
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "max-age" in response.headers["cache-control"]
    assert "content-security-policy" not in response.headers  # a worker's own headers decide what it may do


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",W/{} , "third"', "*"])
def test_who_has_it_already_gets_304(form: str) -> None:
    files = ClientFiles()
    etag = files.answer("odac.js", Headers()).headers["etag"]
    response = files.answer("odac.js", Headers({"if-none-match": form.format(etag)}))
    assert response.status_code == 304
    assert response.body == b""
    assert response.headers["etag"] == etag
    assert "max-age" in response.headers["cache-control"]


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("condition", ["", '"other"', "," * 10_000, "W/", '"', "\xff"])
def test_who_has_another_gets_the_file(condition: str) -> None:
    assert ClientFiles().answer("odac.js", Headers({"if-none-match": condition})).status_code == 200


def test_the_tag_follows_the_content(package: Path) -> None:
    before = ClientFiles().answer("odac.js", Headers()).headers["etag"]
    assert ClientFiles().answer("odac.js", Headers()).headers["etag"] == before
    (package / "static" / "odac.js").write_bytes(b"var Odac = 2")
    assert ClientFiles().answer("odac.js", Headers()).headers["etag"] != before


@pytest.mark.usefixtures("package")
def test_a_file_that_was_not_built_is_named() -> None:
    response = ClientFiles().answer("odac.mjs", Headers())
    assert response.status_code == 404
    assert b"odac.mjs is not part of this installation" in bytes(response.body)


def test_every_file_of_the_built_client_is_served() -> None:
    built = resources.files("odac") / "static"
    if not built.is_dir():
        pytest.skip("the browser client is not built yet")
    names = {each.name for each in built.iterdir() if not each.name.startswith((".", "__"))}
    assert names <= FILES.keys(), "add the new file to FILES, with its type"
    assert {"odac.js", "odac.mjs"} <= names
