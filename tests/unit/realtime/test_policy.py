from __future__ import annotations

from odac.config import Limits
from odac.realtime.policy import INCOMING_BYTES, Policy


def test_as_much_waits_as_one_message_of_the_largest_size_and_a_little_where_all_are_small() -> None:
    assert Policy("/a", Limits(max_payload=10_000_000)).incoming_bytes == 10_000_000
    assert Policy("/a", Limits(max_payload=100)).incoming_bytes == INCOMING_BYTES


def test_text_is_decoded_as_json_unless_the_route_says_otherwise() -> None:
    assert Policy("/a", Limits()).decode(b"[1]") == [1]
    assert Policy("/a", Limits(), decode=bytes.decode).decode(b"[1]") == "[1]"
