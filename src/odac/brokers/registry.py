"""Makes the broker for a URL. The client libraries are optional, and imported when a URL needs them."""

from __future__ import annotations

import os
import secrets
from importlib import import_module
from typing import Final

from odac.brokers.base import Broker
from odac.brokers.url import DIRECTORY_VARIABLE, NO_DIRECTORY, parse_url
from odac.errors import ConfigurationError

__all__ = ["default_url", "make_broker"]

# Scheme: module, factory in it, pip extra.
_OPTIONAL: Final = {
    "local": ("odac.brokers.local", "LocalBroker", "local"),
    "redis": ("odac.brokers.redis", "RedisBroker", "redis"),
    "rediss": ("odac.brokers.redis", "RedisBroker", "redis"),
    "redis+cluster": ("odac.brokers.redis_cluster", "RedisClusterBroker", "redis"),
    "rediss+cluster": ("odac.brokers.redis_cluster", "RedisClusterBroker", "redis"),
    "nats": ("odac.brokers.nats", "NatsBroker", "nats"),
    "tls": ("odac.brokers.nats", "NatsBroker", "nats"),
}
_SUPPORTED: Final = "memory://, local://, redis://, rediss://, redis+cluster://, rediss+cluster://, nats://"


def default_url() -> str:
    """Return the URL of the broker for an app that names none.

    That is ``$ODAC_BROKER``; else, in a worker of ``odac run --workers``, the private broker of its server; else
    ``memory://``. The server uses a variable of its own for that, so that ``$ODAC_BROKER`` is only set by users.
    """
    is_worker = os.environ.get(DIRECTORY_VARIABLE, NO_DIRECTORY) not in ("", NO_DIRECTORY)
    return os.environ.get("ODAC_BROKER") or ("local://" if is_worker else "memory://")


def make_broker(url: str) -> Broker:
    """Return the broker for a URL, not yet started.

    Raises:
        ConfigurationError: the URL is of no supported scheme, is malformed, or its client library is not installed.
    """
    parsed = parse_url(url)
    if parsed.scheme == "memory":
        from odac.brokers.memory import MemoryBroker

        return MemoryBroker(parsed.address.removeprefix("memory://") or f"private-{secrets.token_hex(8)}")
    if "sentinel" in parsed.scheme:
        raise ConfigurationError(
            "Redis Sentinel is not supported: give redis:// an address that always leads to the master, such as that"
            " of a proxy that asks each server for its role, or use redis+cluster://"
        )
    known = _OPTIONAL.get(parsed.scheme)
    if known is None:
        raise ConfigurationError(f"no broker for {parsed.scheme}:// URLs: use one of {_SUPPORTED}")
    module, factory, extra = known
    try:
        make = getattr(import_module(module), factory)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("odac"):
            raise
        raise ConfigurationError(f'{parsed.scheme}:// needs {error.name}: pip install "odac[{extra}]"') from None
    broker: Broker = make(parsed)
    return broker
