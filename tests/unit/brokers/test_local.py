"""What a process finds where the local broker should be. Everything else is tested with the other brokers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from odac import Publisher
from odac.brokers.local_paths import base
from odac.brokers.local_proxy import LocalProxy
from odac.errors import BrokerError


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory with a short name, as sockets need it, in the place of the system's."""
    with tempfile.TemporaryDirectory(prefix="o") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


def publish(url: str, timeout: float = 10) -> None:
    with Publisher(url, timeout=timeout) as publisher:
        publisher.to_room("a", 1)


def test_an_unreachable_broker_is_an_error_with_its_address(folder: Path) -> None:
    with pytest.raises(BrokerError, match=rf"no proxy answers in {base() / 'chat'}"):
        publish("local://chat", 3)


def test_who_runs_it_is_found_by_name_and_by_directory(folder: Path) -> None:
    proxy = LocalProxy(base() / "chat")
    proxy.start()
    try:
        publish("local://chat")
        publish(f"local://{base() / 'chat'}")
    finally:
        proxy.stop()


def test_what_somebody_else_may_have_put_there_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = LocalProxy(base() / "chat")
    proxy.start()
    try:
        base().chmod(0o777)
        with pytest.raises(BrokerError, match="other users may write"):
            publish("local://chat", 1)
        base().chmod(0o700)
        (base() / "chat").chmod(0o770)
        with pytest.raises(BrokerError, match="other users may write"):
            publish(f"local://{base() / 'chat'}", 1)
        (base() / "chat").chmod(0o700)
        with monkeypatch.context() as patch:
            patch.setattr("odac.brokers.local_paths.os.getuid", lambda: 12345)
            with pytest.raises(BrokerError, match="belongs to another user"):
                publish(f"local://{proxy.directory}", 1)
    finally:
        proxy.stop()
