from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from odac.brokers.local_paths import base
from odac.brokers.local_proxy import LocalProxy
from odac.errors import ConfigurationError
from odac.serving.local_broker import local_brokers, private_directory


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory with a short name, as sockets need it, in the place of the system's."""
    with tempfile.TemporaryDirectory(prefix="o") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def content(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def test_the_proxy_of_each_local_url_runs(folder: Path) -> None:
    urls = [f"local://{folder}/a", "local://b", "local://b?namespace=shop", "memory://", "redis://h"]
    with local_brokers(urls):
        assert content(folder / "a") == content(base() / "b") == ["in", "log", "out"]
    assert content(folder / "a") == content(base() / "b") == []


def test_what_runs_already_is_left_alone(folder: Path) -> None:
    proxy = LocalProxy(folder / "a")
    proxy.start()
    try:
        with local_brokers([f"local://{folder}/a"]):
            assert proxy._context is not None
        assert content(folder / "a") == ["in", "log", "out"]
    finally:
        proxy.stop()


def test_one_that_cannot_run_ends_those_that_do(folder: Path) -> None:
    (folder / "file").touch()
    with (
        pytest.raises(ConfigurationError, match="cannot be created"),
        local_brokers([f"local://{folder}/a", f"local://{folder}/file"]),
    ):
        pass
    assert content(folder / "a") == []


def test_a_servers_own_directory_goes_with_it_and_a_killed_ones_goes_later(folder: Path) -> None:
    base().mkdir(mode=0o700)
    left = base() / "private-left"
    left.mkdir()
    (left / "in").touch()
    with private_directory() as directory:
        assert not left.exists()
        with local_brokers([f"local://{directory}"]):
            assert content(Path(directory)) == ["in", "log", "out"]
            with private_directory():
                assert content(Path(directory)) == ["in", "log", "out"], "it is in use"
    assert content(base()) == []


def test_the_directory_of_a_server_that_is_just_starting_may_go_and_comes_again(folder: Path) -> None:
    with private_directory() as directory, private_directory(), local_brokers([f"local://{directory}"]):
        assert content(Path(directory)) == ["in", "log", "out"]
