from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import aiofastnet
import pytest
import trustme
import uvloop

from odac.serving.options import CannotStart, ServeOptions
from odac.serving.tls import listening, server_context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        issued = trustme.CA().issue_cert("localhost")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / f"{name}.pem")
    return tmp_path


def context(certificate: Path, key: Path | None = None) -> ssl.SSLContext | None:
    return server_context(ServeOptions(ssl_certfile=str(certificate), ssl_keyfile=str(key) if key else None))


def test_without_a_certificate_there_is_no_context() -> None:
    assert server_context(ServeOptions()) is None


def test_aiofastnet_carries_tls_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    try:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        assert listening(loop, None) == loop.create_server
        fast = listening(loop, tls)
        assert isinstance(fast, partial)
        assert (fast.func, fast.args) == (aiofastnet.create_server, (loop,))
        monkeypatch.setitem(sys.modules, "aiofastnet", None)  # an import raises ImportError then
        assert listening(loop, tls) == loop.create_server
    finally:
        loop.close()


def test_two_files_or_one(folder: Path) -> None:
    for made in (context(folder / "one.crt", folder / "one.key"), context(folder / "one.pem")):
        assert made is not None
        assert made.protocol == ssl.PROTOCOL_TLS_SERVER


@pytest.mark.parametrize(
    ("certificate", "key", "said"),
    [
        ("none.crt", None, "none.crt cannot be read: No such file"),
        ("one.crt", "none.key", "none.key cannot be read"),
        ("one.crt", None, "the one file must contain both"),
        ("one.crt", "two.key", "is not the one of the certificate"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, certificate: str, key: str | None, said: str) -> None:
    with pytest.raises(CannotStart, match=said):
        context(folder / certificate, folder / key if key else None)


@pytest.mark.parametrize("error", [ssl.SSLError("no TLS"), ConnectionResetError])
def test_a_peer_that_speaks_no_tls_fills_no_log(error: object) -> None:
    transport = type("Transport", (), {"__module__": "aiofastnet.ssl_transport"})()
    reported: list[str] = []
    loop = asyncio.new_event_loop()
    try:
        loop.set_exception_handler(lambda _, context: reported.append(context["message"]))
        listening(loop, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        loop.call_exception_handler({"message": "handshake", "exception": error, "transport": transport})
        for mistake in ({"exception": ValueError(), "transport": transport}, {"exception": OSError()}, {}):
            loop.call_exception_handler({"message": "mistake", **mistake})
    finally:
        loop.close()
    assert reported == ["mistake"] * 3


def _client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _sockets() -> set[str]:
    """The sockets of this process."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return {each for each in found if each.startswith("socket:")}


HELLO = _client_hello()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("then", ["stays", "ends", "resets"])
@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET / HTTP/1.1\r\n\r\n", HELLO[:100], HELLO], ids=["none", "three", "HTTP", "half", "hello"]
)
@pytest.mark.parametrize("fast", [False, True], ids=["loop", "aiofastnet"])
@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_handshake_that_is_not_finished_leaves_no_connection(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_loop: type[asyncio.AbstractEventLoop],
    fast: bool,
    sent: bytes,
    then: Literal["stays", "ends", "resets"],
) -> None:
    patience = 0.2 if then == "stays" else 60.0
    if fast and make_loop is uvloop.new_event_loop and then == "resets":
        patience = 1.0  # aiofastnet does not notice it there behind a part of a record

    async def main() -> None:
        loop = asyncio.get_running_loop()
        listen = listening(loop, context(folder / "one.pem"))
        server = await listen(
            asyncio.Protocol,
            "127.0.0.1",
            0,
            ssl=context(folder / "one.pem"),
            ssl_handshake_timeout=patience,
        )
        before, begun = _sockets(), loop.time()
        async with asyncio.timeout(30):
            with socket.create_connection(server.sockets[0].getsockname()[:2]) as client:
                client.setblocking(False)
                while then == "resets" and len(_sockets() - before) < 2 and loop.time() < begun + patience / 2:
                    await asyncio.sleep(0.01)  # until the server has it as well
                await loop.sock_sendall(client, sent)
                if then == "resets":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    if then == "ends":
                        client.shutdown(socket.SHUT_WR)
                    with contextlib.suppress(ConnectionResetError):
                        while await loop.sock_recv(client, 65_536):
                            pass
            while _sockets() - before:
                await asyncio.sleep(0.01)
        server.close()
        await server.wait_closed()

    if not fast:
        monkeypatch.setitem(sys.modules, "aiofastnet", None)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(main())
