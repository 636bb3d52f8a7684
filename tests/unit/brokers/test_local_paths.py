from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from odac.brokers.local_paths import DIRECTORY_VARIABLE, base, directory_of, only_ours
from odac.brokers.url import parse_url
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
        (f"local:///{'ä' * 60}", r"121 bytes are too long.*may have 96"),
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


def test_the_base_is_in_the_temporary_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert base().parent == tmp_path
