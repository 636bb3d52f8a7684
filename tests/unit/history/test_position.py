from __future__ import annotations

import pytest

from odac.history.position import Client, Identity, Position, Tickets, epoch_text, parse_resume, user_hash
from odac.realtime.audience import user_room
from odac.security.mac import Mac

NAME = "A" * 22
EPOCH = b"e" * 16
SESSION = Identity("session", "7")


def tickets(*secrets: bytes) -> Tickets:
    return Tickets([Mac(secret + b"client") for secret in secrets], [Mac(secret + b"ticket") for secret in secrets])


def test_a_client_is_named_by_what_was_signed() -> None:
    signed = tickets(b"k").sign_client(Client(NAME, 5), SESSION)
    assert tickets(b"k").read_client(signed, SESSION) == Client(NAME, 5)
    assert Client(NAME, 5).id == f"{NAME}.5"


def test_each_character_counts() -> None:
    signer = tickets(b"k")
    signed = signer.sign_client(Client(NAME, 5), SESSION)
    for index, character in enumerate(signed):
        forged = signed[:index] + ("B" if character != "B" else "C") + signed[index + 1 :]
        assert signer.read_client(forged, SESSION) is None, index
    for wrong in (None, 7, "", signed[:-1], signed + "A", signed + "=", "ü" * 86, "A" * 10_000):
        assert signer.read_client(wrong, SESSION) is None


@pytest.mark.parametrize(
    ("signed_for", "read_by", "good"),
    [
        (Identity("s", "7"), Identity("s", "7"), True),
        (Identity("s", "7"), Identity("t", "7"), False),
        (Identity("s", "7"), Identity("s", "8"), False),
        (Identity("s", None), Identity("s", "8"), True),
        (Identity("s", "7"), Identity("s", None), True),  # nobody has asked yet; who asks later finds another user
        (Identity(None, None), Identity(None, None), True),
        (Identity(None, None), Identity("s", None), False),
    ],
)
def test_a_name_is_bound_to_the_session_and_the_user(signed_for: Identity, read_by: Identity, good: bool) -> None:
    signer = tickets(b"k")
    assert (signer.read_client(signer.sign_client(Client(NAME), signed_for), read_by) is not None) is good


def test_the_secret_is_rotated() -> None:
    old, both, new = tickets(b"old"), tickets(b"new", b"old"), tickets(b"new")
    signed = old.sign_client(Client(NAME), SESSION)
    assert both.read_client(signed, SESSION) == Client(NAME)
    assert new.read_client(signed, SESSION) is None
    assert new.read_client(both.sign_client(Client(NAME), SESSION), SESSION) == Client(NAME)
    position = Position("r", EPOCH, 5, old.ticket(NAME, "r", EPOCH, 5))
    assert both.check(NAME, "r", position)
    assert not new.check(NAME, "r", position)


def test_a_ticket_is_for_one_client_room_and_epoch_from_one_entry_on() -> None:
    signer = tickets(b"k")
    good = Position("r", EPOCH, 9, signer.ticket(NAME, "r", EPOCH, 10))
    assert signer.check(NAME, "r", good)
    assert signer.check(NAME, "r", good._replace(offset=2**52))
    assert not signer.check(NAME, "r", good._replace(offset=8)), "what came before was not for it"
    assert not signer.check("B" * 22, "r", good)
    assert not signer.check(NAME, "s", good)
    assert not signer.check(NAME, "r", good._replace(epoch=b"f" * 16))
    assert not signer.check(NAME, "r", good._replace(epoch=None))
    assert not signer.check(NAME, "r", good, revoked=1)
    for index in range(len(good.ticket)):
        forged = good.ticket[:index] + ("x" if good.ticket[index] != "x" else "y") + good.ticket[index + 1 :]
        assert not signer.check(NAME, "r", good._replace(ticket=forged)), index


def test_a_ticket_of_one_users_inbox_is_good_for_no_other() -> None:
    signer = tickets(b"k")
    position = Position(None, EPOCH, 3, signer.ticket(NAME, user_room("7"), EPOCH, 1))
    assert signer.check(NAME, user_room("7"), position)
    assert not signer.check(NAME, user_room("8"), position)


def test_a_ticket_after_a_revocation_is_good_until_the_next() -> None:
    signer = tickets(b"k")
    position = Position("r", EPOCH, 3, signer.ticket(NAME, "r", EPOCH, 1, revoked=2))
    assert signer.check(NAME, "r", position, revoked=2)
    assert not signer.check(NAME, "r", position, revoked=3)


def test_a_resume_is_read() -> None:
    text = epoch_text(EPOCH)
    assert text is not None
    parsed = parse_resume(["signed", [["r", text, 5, "t"], [None, None, 0, "u"]]], 128)
    assert parsed == ("signed", [Position("r", EPOCH, 5, "t"), Position(None, None, 0, "u")])
    assert parse_resume([None, []], 128) == (None, [])


def test_of_too_many_rooms_the_last_ones_are_read() -> None:
    parsed = parse_resume(["s", [[str(number), None, 0, "t"] for number in range(130)]], 128)
    assert parsed is not None
    assert [position.room for position in parsed[1]] == [str(number) for number in range(2, 130)]


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["s"],
        ["s", {}],
        ["s", [5]],
        ["s", [["r", None, 0]]],
        ["s", [["r", None, -1, "t"]]],
        ["s", [["r", None, 2**53, "t"]]],
        ["s", [["r", None, True, "t"]]],
        ["s", [["r", None, 1.0, "t"]]],
        ["s", [["r", "short", 1, "t"]]],
        ["s", [["r", 5, 1, "t"]]],
        ["s", [[5, None, 1, "t"]]],
        ["s", [["r", None, 1, 5]]],
    ],
)
def test_a_resume_of_the_wrong_form_is_none(values: list[object]) -> None:
    assert parse_resume(values, 128) is None


def test_a_users_hash_does_not_show_the_user() -> None:
    assert user_hash("7") != user_hash("8")
    assert "alice" not in user_hash("alice")
    assert len(user_hash("\ud800")) == 32


def test_a_ticket_is_good_only_under_the_rule_that_it_was_issued_under() -> None:
    signer = tickets(b"k")
    for epoch in (EPOCH, None):
        position = Position("r", epoch, 3, signer.ticket(NAME, "r", epoch, 1, era=b"1" * 8))
        assert signer.check(NAME, "r", position, era=b"1" * 8)
        assert not signer.check(NAME, "r", position, era=b"2" * 8)
        assert not signer.check(NAME, "r", position)
