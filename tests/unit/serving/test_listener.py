"""Listening sockets."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from odac.serving.listener import Ports, bind, listening_address
from odac.serving.options import CannotStart, ServeOptions


def test_a_name_with_several_addresses_gets_one_port() -> None:
    sockets = bind(ServeOptions(host="localhost", port=0))
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        assert (
            listening_address(sockets, ServeOptions(host="localhost"))
            == f"http://localhost:{sockets[0].getsockname()[1]}"
        )
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("::", "[::1]")],
)
def test_the_address_is_one_that_a_browser_takes(host: str, shown: str) -> None:
    try:
        sockets = bind(ServeOptions(host=host, port=0))
    except CannotStart:
        assert ":" in host
        pytest.skip("this machine has no IPv6")
    port = sockets[0].getsockname()[1]
    assert listening_address(sockets, ServeOptions(host=host)) == f"http://{shown}:{port}"
    secure = ServeOptions(host=host, ssl_certfile="c")
    assert listening_address(sockets, secure) == f"https://{shown}:{port}"
    for each in sockets:
        each.close()


def test_accepted_sockets_send_small_messages_at_once() -> None:
    """asyncio turns Nagle's algorithm off only where it can see that a socket is one of TCP."""
    [listening] = bind(ServeOptions(port=0))
    with listening:
        assert listening.proto == socket.IPPROTO_TCP


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections over sockets that share a port")
def test_each_worker_has_sockets_of_its_own_on_one_port() -> None:
    ports = Ports(ServeOptions(port=0, workers=3))
    try:
        descriptors = [ports.descriptors(index) for index in range(3)]
        assert len({each for one in descriptors for each in one}) == 3
        port = int(ports.address.rpartition(":")[2])
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port), 5).close()
        # The last that is open keeps the port.
        for index in (0, 1, 2):
            ports.close(index)
        socket.create_connection(("127.0.0.1", port), 5).close()
        ports.open(0)
        ports.open(2)
        assert len({each for index in (0, 2) for each in ports.descriptors(index)}) == 2
    finally:
        ports.close_all()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_workers_share_a_unix_socket(tmp_path: Path) -> None:
    ports = Ports(ServeOptions(uds=str(tmp_path / "s"), workers=3))
    assert ports.descriptors(0) == ports.descriptors(2)
    assert ports.address == f"unix:{tmp_path / 's'}"
    ports.close(1)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    ports.close_all()
