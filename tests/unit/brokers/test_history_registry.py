from __future__ import annotations

import time

import pytest

from odac.brokers.history_registry import make_history
from odac.brokers.local_history import LocalHistory
from odac.brokers.redis_cluster_history import RedisClusterHistory
from odac.brokers.redis_history import RedisHistory
from odac.config import Limits
from odac.errors import ConfigurationError
from odac.history.memory_store import MemoryStore


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("memory://shared-of-this-test", MemoryStore),
        ("local://o", LocalHistory),
        ("redis://h", RedisHistory),
        ("rediss://h", RedisHistory),
        ("redis+cluster://h", RedisClusterHistory),
    ],
)
def test_each_scheme_has_its_store(url: str, kind: type) -> None:
    assert type(make_history(url, time.time)) is kind


@pytest.mark.parametrize("url", ["nats://h", "tls://h"])
def test_nats_says_why_it_keeps_nothing_and_what_to_use(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"JetStream.*use redis://"):
        make_history(url, time.time)


def test_a_wrong_url_is_found_here() -> None:
    with pytest.raises(ConfigurationError, match="gopher"):
        make_history("gopher://h", time.time)


def test_stores_in_memory_share_their_logs_by_name_and_take_the_apps_bound() -> None:
    limits = Limits(history_bytes=2 * 1024 * 1024)
    one = make_history("memory://bounds-of-this-test", time.time, limits)
    other = make_history("memory://bounds-of-this-test", time.time)
    alone = make_history("memory://", time.time)
    assert isinstance(one, MemoryStore)
    assert isinstance(other, MemoryStore)
    assert isinstance(alone, MemoryStore)
    assert other.rings is one.rings
    assert alone.rings is not one.rings
    assert other.rings.max_bytes == 2 * 1024 * 1024
    assert (alone.is_alone, one.is_alone) == (True, False)
