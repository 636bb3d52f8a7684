"""Brokers with a password or TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.integration.brokers.conftest import Run, started
from tests.integration.brokers.peers import BrokerPeer, buses
from tests.integration.brokers.servers import Nats, Redis, Server, until


class TLSRedis(Redis):
    scheme = "rediss"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        authority = trustme.CA()
        self.ca = directory / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        certificate = authority.issue_cert("127.0.0.1")
        chain, key = directory / "server.pem", directory / "server.key"
        certificate.cert_chain_pems[0].write_to_path(str(chain))
        certificate.private_key_pem.write_to_path(str(key))
        self.options = ("--tls-port", str(self.port), "--tls-cert-file", str(chain), "--tls-key-file", str(key))
        self.options += ("--tls-ca-cert-file", str(self.ca), "--tls-auth-clients", "no")

    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--port") + 1] = "0"
        return command

    def answers(self) -> bool:
        return "Ready to accept connections" in (self.directory / "log").read_text()


class TLSNats(Nats):
    """Lets in who has a certificate of the same authority."""

    scheme = "tls"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        for name, certificate in (("server", authority.issue_cert("127.0.0.1")), ("client", authority.issue_cert("c"))):
            certificate.cert_chain_pems[0].write_to_path(str(directory / f"{name}.pem"))
            certificate.private_key_pem.write_to_path(str(directory / f"{name}.key"))

    def command(self) -> list[str]:
        files = {"cert": "server.pem", "key": "server.key", "cacert": "ca.pem"}
        options = [word for name, file in files.items() for word in (f"--tls{name}", str(self.directory / file))]
        return [*super().command(), "--tlsverify", *options]

    def with_files(self, **files: str) -> str:
        options = [f"{option}={self.directory / file}" for option, file in files.items()]
        return f"{self.url}?{'&'.join(options)}"


class PasswordNats(Nats):
    def command(self) -> list[str]:
        return [*super().command(), "--user", "us er", "--pass", "ge/h@im"]

    @property
    def url(self) -> str:
        return f"nats://us%20er:ge%2Fh%40im@127.0.0.1:{self.port}"


class TokenNats(Nats):
    def command(self) -> list[str]:
        return [*super().command(), "--auth", "geheim"]

    @property
    def url(self) -> str:
        return f"nats://geheim@127.0.0.1:{self.port}"


class PasswordRedis(Redis):
    options = ("--requirepass", "ge/h@im")

    @property
    def url(self) -> str:
        return f"redis://:ge%2Fh%40im@127.0.0.1:{self.port}"

    def answers(self) -> bool:
        return self.says(b"PING\r\n", b"-NOAUTH")


@pytest.fixture(params=[PasswordRedis, PasswordNats, TokenNats])
def guarded(request: pytest.FixtureRequest, short_directory: Path) -> Iterator[Server]:
    with started(request.param, short_directory) as server:
        yield server


def test_a_password_lets_in_and_is_in_no_log(guarded: Server, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with buses(guarded.url, guarded.url) as (one, other):
            one.bus.room_opened("a")
            await one.hears(other, "a")
            await asyncio.to_thread(guarded.stop)
            await one.unhealthy()
            await asyncio.to_thread(guarded.start)
            await one.healthy()

    with caplog.at_level("DEBUG"):
        run(main())
    assert caplog.records
    assert not [word for word in ("geheim", "ge/h@im", "ge%2Fh%40im") if word in caplog.text]


def test_a_wrong_password_is_reported_and_retried(guarded: Server, run: Run) -> None:
    async def main() -> None:
        scheme, _, rest = guarded.url.partition("://")
        peer = BrokerPeer(f"{scheme}://u:falsch@{rest.rpartition('@')[2]}")
        reasons: list[str] = []
        peer.on_down = reasons.append  # type: ignore[assignment, method-assign]
        await peer.broker.start(peer)
        await peer.until(lambda: len(reasons) >= 2)
        await peer.broker.stop()
        assert any(word in reasons[0].lower() for word in ("authoriz", "authenticat", "password")), reasons
        assert "falsch" not in reasons[0]

    run(main())


def test_tls(short_directory: Path, run: Run) -> None:
    async def main(server: TLSRedis) -> None:
        url = f"{server.url}?ssl_ca_certs={server.ca}"
        async with buses(url, url) as (one, other):
            one.bus.room_opened("a")
            await one.hears(other, "a")
        stranger = BrokerPeer(server.url)
        reasons: list[str] = []
        stranger.on_down = reasons.append  # type: ignore[assignment, method-assign]
        await stranger.broker.start(stranger)
        await stranger.until(lambda: bool(reasons))
        await stranger.broker.stop()
        assert "CERTIFICATE_VERIFY_FAILED" in reasons[0]

    with started(TLSRedis, short_directory) as server:
        until(server.answers, "it speaks TLS")
        run(main(server))


def test_nats_over_tls(short_directory: Path, run: Run) -> None:
    async def main(server: TLSNats) -> None:
        url = server.with_files(tls_ca="ca.pem", tls_cert="client.pem", tls_key="client.key")
        async with buses(url, url) as (one, other):
            one.bus.room_opened("a")
            await one.hears(other, "a")
        refused = {server.url: "CERTIFICATE_VERIFY_FAILED", server.with_files(tls_ca="ca.pem"): ""}
        for wrong, says in refused.items():
            stranger = BrokerPeer(wrong)
            reasons: list[str] = []
            stranger.on_down = reasons.append  # type: ignore[assignment, method-assign]
            await stranger.broker.start(stranger)
            await stranger.until(lambda reasons=reasons: bool(reasons))  # type: ignore[misc]
            assert not stranger.broker.connected
            await stranger.broker.stop()
            assert says in reasons[0]

    with started(TLSNats, short_directory) as server:
        run(main(server))
