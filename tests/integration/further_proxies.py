"""Apache, Caddy, lighttpd, Varnish and stunnel in their own processes, with the files below ``examples/deployment``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.brokers.servers import free_port, program
from tests.integration.proxies import DEPLOYMENT, Certificate, Proxy, replaced

APACHE = Path("/usr/lib/apache2/modules")
LIGHTTPD_TLS = Path("/usr/lib/lighttpd/mod_openssl.so")
MODULES = ("mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "headers", "rewrite")


def needs(path: Path) -> None:
    """Skip the test where a part of a program is not where Debian has it; in CI, starting the program fails then."""
    if not path.exists() and os.environ.get("CI") != "true":
        pytest.skip(f"{path} is not there")


class Apache(Proxy):
    """The site, in the smallest httpd.conf around it."""

    file = "apache.conf"
    servers = 1

    def configure(self, text: str) -> list[str]:
        text = replaced(text, "<VirtualHost *:443>", f"<VirtualHost 127.0.0.1:{self.https}>")
        text = replaced(text, "/etc/ssl/example.com/chain.pem", str(self.certificate.chain))
        text = replaced(text, "/etc/ssl/example.com/key.pem", str(self.certificate.key))
        needs(APACHE)
        modules = "".join(f"LoadModule {name}_module {APACHE}/mod_{name}.so\n" for name in MODULES)
        main = self.folder / "httpd.conf"
        main.write_text(
            f"ServerRoot {self.folder}\nServerName localhost\nListen 127.0.0.1:{self.https}\nPidFile {self.folder}/pid\n"
            f"Mutex posixsem\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\n{modules}{text}",
            encoding="utf-8",
        )
        return [program("apache2"), "-D", "FOREGROUND", "-f", str(main)]


class Caddy(Proxy):
    """The file with a certificate that is there already."""

    file = "Caddyfile"
    servers = 2

    def configure(self, text: str) -> list[str]:
        site = f"https://127.0.0.1:{self.https} {{\n\ttls {self.certificate.chain} {self.certificate.key}"
        text = replaced(text, "example.com {", site)
        options = (
            f"{{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n"
            f"\thttp_port {self.http}\n\tstorage file_system {self.folder}/caddy\n}}\n"
        )
        main = self.folder / "Caddyfile"
        main.write_text(options + text, encoding="utf-8")
        return [program("caddy"), "run", "--config", str(main), "--adapter", "caddyfile"]


class Lighttpd(Proxy):
    """The file as it is."""

    file = "lighttpd.conf"
    servers = 2

    def point_at(self, text: str, number: int, server: int) -> str:
        return replaced(text, f'"port" => 800{number}', f'"port" => {server}')

    def configure(self, text: str) -> list[str]:
        needs(LIGHTTPD_TLS)
        text = replaced(text, "server.port = 443", f'server.port = {self.https}\nserver.bind = "127.0.0.1"')
        text = replaced(text, "/var/www/html", str(self.folder))
        text = replaced(text, "/etc/ssl/example.com/chain.pem", str(self.certificate.chain))
        text = replaced(text, "/etc/ssl/example.com/key.pem", str(self.certificate.key))
        main = self.folder / "lighttpd.conf"
        main.write_text(text, encoding="utf-8")
        return [program("lighttpd"), "-D", "-f", str(main)]


class Stunnel(Proxy):
    """The file as it is."""

    file = "stunnel.conf"
    servers = 1

    def configure(self, text: str) -> list[str]:
        text = replaced(text, "accept  = 443", f"accept  = 127.0.0.1:{self.https}")
        text = replaced(text, "/etc/ssl/example.com/chain.pem", str(self.certificate.chain))
        text = replaced(text, "/etc/ssl/example.com/key.pem", str(self.certificate.key))
        main = self.folder / "stunnel.conf"
        main.write_text(text, encoding="utf-8")
        return [program("stunnel"), str(main)]


class Varnish(Proxy):
    """The file as it is, behind stunnel, which ends TLS."""

    file = "varnish.vcl"
    servers = 1

    def __init__(
        self, folder: Path, certificate: Certificate, servers: Sequence[int], patience: int | None = None
    ) -> None:
        self._inner = free_port()
        self._tls = Stunnel(folder, certificate, [self._inner])
        super().__init__(folder, certificate, servers, patience)
        self.https = self._inner  # to see whether it listens

    def point_at(self, text: str, number: int, server: int) -> str:
        return replaced(text, f'.port = "800{number}";', f'.port = "{server}";')

    def configure(self, text: str) -> list[str]:
        main = self.folder / "varnish.vcl"
        main.write_text(text, encoding="utf-8")
        listen = ["-a", f"127.0.0.1:{self._inner},PROXY", "-a", f"127.0.0.1:{self.http}"]
        where = ["-n", str(self.folder / "varnish"), "-s", "malloc,10M", "-f", str(main)]
        return [program("varnishd"), "-F", "-j", "none", *listen, *where]

    @property
    def port(self) -> int:
        return self._tls.port

    def __enter__(self) -> Varnish:
        super().__enter__()
        self._tls.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._tls.__exit__(None, None, None)
        super().__exit__(None, None, None)


FURTHER: dict[str, type[Apache | Caddy | Lighttpd | Stunnel | Varnish]] = {
    "apache": Apache,
    "caddy": Caddy,
    "lighttpd": Lighttpd,
    "stunnel": Stunnel,
    "varnish": Varnish,
}

__all__ = ["DEPLOYMENT", "FURTHER", "Apache", "Caddy", "Lighttpd", "Stunnel", "Varnish"]
