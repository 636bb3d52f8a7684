from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from odac.brokers.local_paths import base, directory_of, distrusted, may_create, only_ours
from odac.brokers.url import DIRECTORY_VARIABLE, parse_url
from odac.errors import ConfigurationError


def place(url: str) -> Path:
    return directory_of(parse_url(url))


def test_a_name_is_a_directory_of_this_user() -> None:
    assert place("local://chat") == Path(tempfile.gettempdir()) / f"odac-{os.getuid()}" / "chat"
    assert place("local://chat?namespace=shop") == place("local://chat")
    assert place("local://chat") != place("local://Chat")


def test_two_users_of_one_name_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = place("local://chat")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert place("local://chat") != mine


def test_a_directory_and_what_a_supervisor_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert place("local:///run/chat") == Path("/run/chat")
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/run/somewhere")
    assert place("local://") == Path("/run/somewhere")


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("local://", "odac run --workers N.*local://myapp"),
        ("local://a.b", "letters, digits"),
        ("local://run/chat", "begins with a slash"),
        (f"local://{'x' * 33}", "1 to 32"),
        ("local://me@chat", "no user"),
        ("local://chat?room=1", "no options"),
        (f"local:///{'ä' * 60}", r"121 bytes are too many.*may have 96"),
    ],
)
def test_what_means_no_directory(url: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY_VARIABLE, raising=False)
    with pytest.raises(ConfigurationError, match=what):
        place(url)


def test_only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    assert not only_ours(mine)
    mine.mkdir(mode=0o700)
    assert only_ours(mine)
    mine.chmod(0o777)
    assert not only_ours(mine)
    mine.chmod(0o700)
    (tmp_path / "link").symlink_to(mine)
    assert not only_ours(tmp_path / "link"), "it can be pointed elsewhere"
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not only_ours(mine)


def test_another_users_directory_is_distrusted_by_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    assert distrusted(mine) is None, "nothing is there"
    mine.mkdir(mode=0o700)
    assert distrusted(mine) is None
    mine.chmod(0o770)
    assert "chmod 700" in (distrusted(mine) or "")
    mine.chmod(0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "another user" in (distrusted(mine) or "")


def test_the_directory_of_all_names_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (base() / "chat").mkdir(mode=0o700, parents=True)
    base().chmod(0o777)
    assert str(base()) in (distrusted(base() / "chat") or "")
    base().chmod(0o700)
    assert distrusted(base() / "chat") is None


def test_where_a_directory_may_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert may_create(tmp_path / "a" / "b")
    tmp_path.chmod(0o777)
    assert not may_create(tmp_path / "a")
    tmp_path.chmod(0o1777)
    assert may_create(tmp_path / "a"), "as in /tmp"
    tmp_path.chmod(0o700)
    os.chown(tmp_path, 12345, -1) if os.getuid() == 0 else monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert not may_create(tmp_path / "a")


def test_the_base_is_in_the_temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert base().parent == tmp_path
