"""Proxies in their own processes, with the files below ``examples/deployment`` and ports filled in."""

from __future__ import annotations

import re
import signal
import socket
import ssl
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from tests.integration.brokers.servers import free_port, program
from tests.integration.running import until

DEPLOYMENT = Path(__file__).parents[2] / "examples" / "deployment"


class Certificate:
    """A certificate for 127.0.0.1, in files, and what trusts it.

    Args:
        folder: to which the files are written.
    """

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.chain, self.key, self.both = (folder / name for name in ("chain.pem", "key.pem", "both.pem"))
        self.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(self.key))
        issued.private_key_and_cert_chain_pem.write_to_path(str(self.both))
        self.trust = ssl.create_default_context()
        authority.configure_trust(self.trust)


def replaced(text: str, old: str, new: str, count: int = 1) -> str:
    """Replace what a file must hold exactly so many times; otherwise the test fails."""
    assert text.count(old) == count, f"{old!r} is there {text.count(old)} times"
    return text.replace(old, new)


class Proxy(ABC):
    """One proxy, from ``with`` to its end.

    Args:
        folder: where it may write.
        certificate: it serves with.
        servers: the ports of two Odac processes.
        patience: seconds of silence after which it cuts a connection, instead of the file's.
    """

    file: str

    def __init__(
        self, folder: Path, certificate: Certificate, servers: Sequence[int], patience: int | None = None
    ) -> None:
        self.folder = folder
        self.certificate = certificate
        self.http, self.https = free_port(), free_port()
        text = (DEPLOYMENT / self.file).read_text(encoding="utf-8")
        for number, server in enumerate(servers, 1):
            text = self.point_at(text, number, server)
        if patience is not None:
            text, found = re.subn(r"(_timeout|timeout \w+)( +)60s", rf"\g<1>\g<2>{patience}s", text)
            assert found >= 2
        self._command = self.configure(text)
        self._log = folder / f"{self.file}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def point_at(self, text: str, number: int, server: int) -> str:
        """Replace the address of one server."""
        return replaced(text, f"127.0.0.1:800{number}", f"127.0.0.1:{server}")

    @abstractmethod
    def configure(self, text: str) -> list[str]:
        """Write the configuration, and return the command that runs it."""

    @property
    def port(self) -> int:
        """Its port for TLS."""
        return self.https

    @property
    def log(self) -> str:
        """Its log."""
        return self._log.read_text(errors="replace")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.file}: {self.log}"
        try:
            socket.create_connection(("127.0.0.1", self.https), 1).close()
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self.folder)
        until(self._answers, f"{self.file} listens")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        sys.stderr.write(self.log)  # shown by pytest for a test that has failed


class Nginx(Proxy):
    """The site, in the smallest nginx.conf around it."""

    file = "nginx.conf"

    def configure(self, text: str) -> list[str]:
        text = replaced(text, "listen 80;", f"listen 127.0.0.1:{self.http};")
        text = replaced(text, "listen 443 ssl;", f"listen 127.0.0.1:{self.https} ssl;")
        text = replaced(text, "/etc/ssl/example.com/chain.pem", str(self.certificate.chain))
        text = replaced(text, "/etc/ssl/example.com/key.pem", str(self.certificate.key))
        (self.folder / "site.conf").write_text(text, encoding="utf-8")
        temporary = "".join(
            f"{name}_temp_path {self.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = self.folder / "main.conf"
        main.write_text(
            f"daemon off; worker_processes 2; pid {self.folder}/pid; error_log stderr info; events {{}}\n"
            f"http {{ access_log off; {temporary} include {self.folder}/site.conf; }}\n"
        )
        # -e: before it has read its configuration, it would open the system's own log.
        return [program("nginx"), "-e", "stderr", "-c", str(main), "-p", str(self.folder)]


class Haproxy(Proxy):
    """The file as it is."""

    file = "haproxy.cfg"

    def configure(self, text: str) -> list[str]:
        text = replaced(text, "bind :80\n", f"bind 127.0.0.1:{self.http}\n")
        text = replaced(text, "bind :443 ", f"bind 127.0.0.1:{self.https} ")
        text = replaced(text, "/etc/ssl/example.com/chain-and-key.pem", str(self.certificate.both))
        text = replaced(text, "maxconn 100000", "maxconn 1000")  # the machine that tests may not allow so many files
        configuration = self.folder / "haproxy.cfg"
        configuration.write_text(text, encoding="utf-8")
        return [program("haproxy"), "-db", "-f", str(configuration)]


PROXIES: dict[str, type[Proxy]] = {"nginx": Nginx, "haproxy": Haproxy}
