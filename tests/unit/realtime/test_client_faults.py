from __future__ import annotations

from collections.abc import Callable

import pytest

from odac.close_codes import CloseCode
from odac.config import Limits, RateLimit
from odac.errors import ProtocolError
from odac.notices import limit_hits
from odac.realtime import client_faults
from odac.realtime.policy import Policy

POLICY = Policy("/chat", Limits(close_timeout=2.5))


@pytest.mark.parametrize(
    ("log", "limit", "text"),
    [
        (
            lambda: client_faults.closed_with(
                POLICY, ProtocolError(CloseCode.MESSAGE_TOO_BIG, "too big", limit="max_payload")
            ),
            "max_payload",
            "/chat: a client was closed with 1009 too big",
        ),
        (
            lambda: client_faults.too_fast(POLICY, RateLimit(5, 2.0, bytes=700)),
            "rate_limit",
            "/chat: a client sent more than 5 messages or 700 bytes in 2 s and was closed with 1008",
        ),
        (
            lambda: client_faults.too_fast(POLICY, RateLimit(5, 2.0)),
            "rate_limit",
            "messages in 2 s and was closed with 1008 (Limits.rate_limit, or rate_limit= of the route)",
        ),
        (
            lambda: client_faults.close_unanswered(POLICY),
            "close_timeout",
            "/chat: a client did not close within 2.5 s and was cut off (Limits.close_timeout)",
        ),
    ],
    ids=["a limit of the protocol", "messages and bytes", "messages", "close timeout"],
)
def test_a_limit_is_logged_with_its_setting_and_counted(
    log: Callable[[], None], limit: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = limit_hits().get(limit, 0)
    log()
    assert text in caplog.text
    assert limit_hits()[limit] == before + 1


def test_a_broken_protocol_is_logged_and_counts_for_no_limit(caplog: pytest.LogCaptureFixture) -> None:
    before = limit_hits()
    client_faults.closed_with(POLICY, ProtocolError(CloseCode.PROTOCOL_ERROR, "unmasked frame"))
    assert "/chat: a client was closed with 1002 unmasked frame" in caplog.text
    assert limit_hits() == before
