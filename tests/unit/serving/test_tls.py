from __future__ import annotations

import asyncio
import ssl
import sys
from functools import partial
from pathlib import Path

import aiofastnet
import pytest
import trustme

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
        ("one.crt", None, "the one file must hold both"),
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
