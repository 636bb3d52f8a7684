from __future__ import annotations

from odac.cluster.peers import Peers

A, B = b"a" * 16, b"b" * 16


def test_a_process_is_there_from_its_first_sign_until_it_is_silent_for_too_long() -> None:
    presence = Peers(10)
    presence.heard(A, 0)
    presence.heard(A, 5)
    presence.expire(15)
    assert A in presence
    presence.expire(15.1)
    assert len(presence) == 0


def test_who_says_goodbye_is_gone_at_once() -> None:
    presence = Peers(10)
    presence.heard(A, 0)
    presence.heard(B, 0)
    presence.left(A)
    assert presence.origins == {B}
    presence.left(A)


def test_nobody_is_blamed_for_a_time_when_this_process_did_not_listen() -> None:
    presence = Peers(10)
    presence.heard(A, 0)
    presence.excuse(60)
    presence.expire(65)
    assert A in presence
