"""Counts the connections of each client address, for ``Limits.connections_per_ip``."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from typing import Final

__all__ = ["Addresses", "address_group"]

_NO_ADDRESS: Final = "-"
_SUBNET: Final = (1 << 64) - 1


def address_group(ip: str) -> str:
    """The group of addresses that counts as one client.

    Args:
        ip: an address from the server or a proxy; empty if the client has none, as over a Unix socket.

    Returns:
        The IPv4 address, even if it is given in its IPv6 form (``::ffff:203.0.113.9``, RFC 4291 section 2.5.5.2); the
        /64 of an IPv6 address, which belongs to one customer (RFC 6177); one name for all clients without an address.
    """
    if not ip:
        return _NO_ADDRESS
    if ":" not in ip:
        return ip
    try:
        address = IPv6Address(ip.partition("%")[0])
    except AddressValueError:
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) & ~_SUBNET)}/64"


class Addresses:
    """Counts connections by client address.

    Args:
        most: the maximum number of connections of one address, or None for any number.
    """

    __slots__ = ("_counts", "most")

    def __init__(self, most: int | None) -> None:
        self.most = most
        self._counts: dict[str, int] = {}

    def take(self, ip: str) -> str | None:
        """Count one more connection of an address.

        Returns:
            The key for :meth:`release`; None if the address has reached its maximum, and nothing was counted.
        """
        key = address_group(ip)
        count = self._counts.get(key, 0)
        if self.most is not None and count >= self.most:
            return None
        self._counts[key] = count + 1
        return key

    def release(self, key: str) -> None:
        """A connection that was counted has ended."""
        left = self._counts.get(key, 0) - 1
        if left > 0:
            self._counts[key] = left
        else:
            self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)
