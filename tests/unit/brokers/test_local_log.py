"""The log's answers, asked without sockets; over sockets it is tested with the store that asks it."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
import zmq

from odac.brokers.local_log import HELLO, NAMESPACES, LocalLog, Reply, Request
from odac.history.rings import Rings
from odac.history.store import decode_notice

HISTORY = [5, 60.0, 2048]


class Socket:
    def __init__(self, *incoming: list[bytes]) -> None:
        self.incoming = list(incoming)
        self.sent: list[tuple[bytes, ...]] = []

    def recv_multipart(self, flags: int) -> list[bytes]:
        if not self.incoming:
            raise zmq.Again
        return self.incoming.pop(0)

    def send_multipart(self, parts: tuple[bytes, ...], flags: int) -> None:
        self.sent.append(parts)


def ask(*requests: tuple[str, list[Any]] | bytes) -> tuple[list[Reply], list[tuple[bytes, ...]]]:
    """The replies to some requests, and what was published."""
    encoded = [
        each if isinstance(each, bytes) else msgspec.msgpack.encode(Request(number, *each))
        for number, each in enumerate(requests)
    ]
    router, publisher = Socket(*([b"peer", each] for each in encoded)), Socket()
    LocalLog(cast(Any, router), cast(Any, publisher))._take()
    assert all(peer == b"peer" for peer, _ in router.sent)
    return [msgspec.msgpack.decode(data, type=Reply) for _, data in router.sent], publisher.sent


def append(*bodies: bytes, first: int = 1) -> tuple[str, list[Any]]:
    return "append", ["ch", HISTORY, b"o" * 16, first, list(bodies), b"e" * 16]


def test_what_is_appended_is_published_once_and_read_back() -> None:
    replies, published = ask(
        append(b"a", b"b"), append(b"a", b"b"), append(b"c", first=3), ("read", ["ch", HISTORY, 1, 10])
    )
    assert [reply.refused for reply in replies] == ["", "", "", ""]
    assert [reply.result for reply in replies[:3]] == [[b"e" * 16, 2], [b"e" * 16, 2], [b"e" * 16, 3]]
    epoch, top, base, entries, _ = replies[3].result
    assert (epoch, top, base) == (b"e" * 16, 3, 0)
    assert [(offset, body) for offset, _, body in entries] == [(2, b"b"), (3, b"c")]
    assert [channel for channel, _ in published] == [b"ch\0"] * 2
    notices = [decode_notice(payload) for _, payload in published]
    assert [[entry.body for entry in each.entries] for each in notices] == [[b"a", b"b"], [b"c"]]


def test_erasing_and_revoking_are_published() -> None:
    _, published = ask(append(b"a"), ("revoke", ["ch", "user"]), ("erase", ["ch"]), ("revoke", ["ch", "user"]))
    revoked, erased = (decode_notice(payload) for _, payload in published[1:])
    assert (revoked.changed, revoked.epoch) == (True, b"e" * 16)
    assert (erased.changed, erased.epoch, erased.first) == (False, bytes(16), 0)


def test_a_log_that_one_more_revocation_erases_is_published_as_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("odac.history.rings.REVOCATIONS", 1)
    _, published = ask(append(b"a"), ("revoke", ["ch", "user"]), ("revoke", ["ch", "another"]))
    erased = decode_notice(published[-1][1])
    assert (erased.changed, erased.epoch, erased.first) == (True, bytes(16), 0)


def test_rules_belong_to_a_namespace_and_only_newer_ones_are_written() -> None:
    replies, _ = ask(
        ("write_rules", ["shop", 2, b"two", 60.0]),
        ("write_rules", ["shop", 2, b"again", 60.0]),
        ("rules", ["shop", 0.0]),
        ("rules", ["other", 0.0]),
    )
    assert [reply.result for reply in replies] == [True, False, [2, b"two"], [0, b""]]


def test_the_number_of_namespaces_is_bounded() -> None:
    log = LocalLog(cast(Any, Socket()), cast(Any, Socket()))
    for number in range(NAMESPACES):
        assert log.write_rules(f"n{number}", 1, b"x", 60.0)
    with pytest.raises(ValueError, match=f"{NAMESPACES} namespaces"):
        log.write_rules("one more", 1, b"x", 60.0)
    assert log.write_rules("n0", 2, b"y", 60.0)


@pytest.mark.parametrize(
    ("what", "arguments"),
    [
        ("no such method", []),
        ("append", []),
        ("read", ["ch", [0, 60.0, 2048], 0, 10]),
        ("read", ["ch", None, 0, 10]),
        ("erase", [7]),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason_and_the_log_goes_on(what: str, arguments: list[Any]) -> None:
    replies, _ = ask((what, arguments), (HELLO, [None]))
    assert [reply.id for reply in replies] == [0, 1]
    assert replies[0].refused
    assert replies[1] == Reply(1, True)


def test_garbage_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    replies, _ = ask(b"\xc1", (HELLO, [4096]))
    assert replies == [Reply(1, True)]
    assert "malformed request" in caplog.text


def test_a_failure_of_one_request_is_its_answer_and_the_thread_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every room's history on this machine depends on the thread."""

    def fails(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(Rings, "revoke", fails)
    replies, _ = ask(("revoke", ["ch", "user"]), append(b"a"))
    assert [reply.refused for reply in replies] == ["KeyError('a defect')", ""]
    assert "revoke" in caplog.text
