"""Room histories of the local broker, kept by a thread of the process that runs the proxy, as long as it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import zmq

from odac.errors import ConfigurationError
from odac.history.rings import Rings, RulesText
from odac.history.rules import History
from odac.history.store import encode_entries, encode_notice

__all__ = ["HELLO", "LocalLog", "Reply", "Request"]

_log = logging.getLogger("odac.broker")

HELLO: Final = "hello"
EXPIRE_EVERY: Final = 10_000
"""Milliseconds between two checks for expired entries."""
TAKE: Final = 256
NAMESPACES: Final = 256
"""Apps, distinguished by the namespace in the URL, whose rules one proxy keeps."""


class Request(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A request from a process.

    Args:
        id: repeated in the reply.
        what: the name of a method of :class:`LocalLog`.
        arguments: the method's arguments.
    """

    id: int
    what: str
    arguments: list[Any]


class Reply(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The reply to a request.

    Args:
        id: the request's.
        result: what the method returned.
        refused: the reason why the request was refused; None if it was not.
    """

    id: int
    result: Any
    refused: str = ""


class LocalLog:
    """Numbers and keeps the entries of all rooms, and publishes them through the proxy like any process.

    Args:
        router: the bound socket that receives the requests.
        publisher: the socket that is connected to the proxy.
    """

    def __init__(self, router: zmq.Socket[bytes], publisher: zmq.Socket[bytes]) -> None:
        self._router = router
        self._publisher = publisher
        self._rings = Rings(time.time)
        self._rules: dict[str, RulesText] = {}
        self._decode = msgspec.msgpack.Decoder(Request).decode
        self._encode = msgspec.msgpack.Encoder().encode
        self._methods: dict[str, Callable[..., Any]] = {
            HELLO: self.hello,
            "append": self.append,
            "read": self.read,
            "erase": self.erase,
            "revoke": self.revoke,
            "publish": self.publish,
            "rules": self.rules,
            "write_rules": self.write_rules,
        }

    def serve(self) -> None:
        """Answer until the context is terminated."""
        try:
            while True:
                if self._router.poll(EXPIRE_EVERY):
                    self._take()
                self._rings.expire()
        except zmq.ContextTerminated:
            pass
        finally:
            self._router.close(linger=0)
            self._publisher.close(linger=0)

    def _take(self) -> None:
        for _ in range(TAKE):
            try:
                peer, *parts = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(parts) != 1:
                continue
            try:
                request = self._decode(parts[0])
                reply = self._answer(request)
            except (msgspec.DecodeError, RecursionError) as error:
                _log.warning("the local history got a malformed request: %s", error)
                continue
            try:
                self._router.send_multipart((peer, self._encode(reply)), zmq.NOBLOCK)
            except zmq.Again:
                pass  # a process that does not read its replies stops waiting for them by itself

    def _answer(self, request: Request) -> Reply:
        method = self._methods.get(request.what)
        if method is None:
            return Reply(request.id, None, f"unknown request {request.what!r}: all processes need the same version")
        try:
            return Reply(request.id, method(*request.arguments))
        except (TypeError, ValueError, AttributeError, ConfigurationError) as error:
            return Reply(request.id, None, str(error))
        except zmq.ContextTerminated:
            raise
        except Exception as error:
            # Raised, it would end the thread, and with it every room's history on this machine.
            _log.exception("the local history failed at %r", request.what)
            return Reply(request.id, None, repr(error))

    # The requests

    def hello(self, max_bytes: int | None) -> bool:
        """Answer that the process is running; set an app's limit for all logs together."""
        if max_bytes is not None:
            self._rings.max_bytes = max_bytes
        return True

    def append(
        self, channel: str, history: list[Any], origin: bytes, first: int, bodies: list[bytes], epoch: bytes
    ) -> list[Any]:
        """See :class:`odac.history.store.HistoryStore`."""
        done, new = self._rings.append(channel, History(*history), origin, first, bodies, epoch)
        if new:
            self.publish(channel, encode_entries(done.epoch, new))
        return list(done)

    def read(self, channel: str, history: list[Any], after: int, limit: int) -> list[Any]:
        """See :class:`odac.history.store.HistoryStore`."""
        return list(self._rings.read(channel, History(*history), after, limit))

    def erase(self, channel: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._rings.erase(channel)
        self.publish(channel, encode_notice(bytes(16), 0))

    def revoke(self, channel: str, user: str) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        found = self._rings.revoke(channel, user)
        if found.epoch is not None:
            self.publish(channel, encode_notice(found.epoch, found.top, changed=True))

    def publish(self, channel: str, payload: bytes) -> None:
        """See :class:`odac.history.store.HistoryStore`."""
        self._publisher.send_multipart((channel.encode() + b"\0", payload), zmq.NOBLOCK)

    def rules(self, namespace: str, keep: float) -> list[Any]:
        """See :class:`odac.history.store.HistoryStore`."""
        return list(self._rules_of(namespace).read(keep))

    def write_rules(self, namespace: str, version: int, text: bytes, keep: float) -> bool:
        """See :class:`odac.history.store.HistoryStore`."""
        return self._rules_of(namespace).write(version, text, keep)

    def _rules_of(self, namespace: str) -> RulesText:
        found = self._rules.get(namespace)
        if found is None:
            self._rules = {name: rules for name, rules in self._rules.items() if rules.read()[0]}
            if len(self._rules) >= NAMESPACES:
                raise ValueError(f"the limit of {NAMESPACES} namespaces with rules for rooms with history is reached")
            found = self._rules[namespace] = RulesText(self._rings.now)
        return found
