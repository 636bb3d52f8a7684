from __future__ import annotations

import pytest

from odac.routing.addresses import Addresses, address_group


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.9", "::ffff:203.0.113.9"),
        ("203.0.113.9", "::FFFF:cb00:7109"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
        ("fe80::1%eth0", "fe80::2%eth1"),
        ("", ""),
    ],
)
def test_the_same_client(one: str, other: str) -> None:
    assert address_group(one) == address_group(other)
    addresses = Addresses(1)
    assert addresses.take(one) is not None
    assert addresses.take(other) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.9", "203.0.113.10"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("", "203.0.113.9"),
        ("unknown:name", "unknown:other"),
    ],
)
def test_different_clients(one: str, other: str) -> None:
    assert address_group(one) != address_group(other)


def test_a_place_is_given_back() -> None:
    addresses = Addresses(2)
    first, second = addresses.take("::ffff:1.2.3.4"), addresses.take("1.2.3.4")
    assert first == second == "1.2.3.4"
    assert addresses.take("1.2.3.4") is None
    addresses.release(first)
    assert addresses.take("1.2.3.4") == first
    addresses.release(first)
    addresses.release(first)
    assert len(addresses) == 0
