"""The files below ``examples/deployment``: they parse, the programs that read them accept them, and they agree."""

from __future__ import annotations

import http.server
import ipaddress
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from odac.brokers.registry import make_broker
from odac.cli import main
from odac.config import Limits
from odac.serving.uvicorn_server import grace_of
from odac.serving.worker_handle import PATIENCE

DEPLOYMENT = Path(__file__).parents[3] / "examples" / "deployment"
STOPPING = Limits().drain_timeout + Limits().close_timeout
"""Seconds that a process with default limits may take to stop."""


def read(name: str) -> str:
    return (DEPLOYMENT / name).read_text(encoding="utf-8")


def program(name: str) -> str:
    """The path of a program, without which a test is skipped; in CI it fails, for nobody would notice."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        assert os.environ.get("CI") != "true", f"{name} is missing, and CI leaves nothing out"
        pytest.skip(f"{name} is not installed")
    return found


def resources() -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all(read("kubernetes.yaml")) if each]


def check_command(words: list[str]) -> None:
    """It is an ``odac`` command that exists, with options that exist."""
    assert words[:2] == ["odac", "run"]
    options = {option for parameter in main.commands["run"].params for option in parameter.opts}
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert used
    assert used <= options


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    executable = tmp_path / "odac"
    executable.write_text("#!/bin/sh\n")
    executable.chmod(0o755)
    text = read("odac.service")
    assert text.count("/srv/chat/.venv/bin/odac") == 1
    unit = tmp_path / "odac-example.service"
    unit.write_text(text.replace("/srv/chat/.venv/bin/odac", str(executable)))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    about_it = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, about_it) == (0, [])


def test_the_unit_says_what_odac_understands_and_waits_long_enough() -> None:
    text = read("odac.service")
    command = re.search(r"^ExecStart=/srv/chat/.venv/bin/(.+)$", text, re.MULTILINE)
    timeout = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    files = re.search(r"^LimitNOFILE=(\d+)$", text, re.MULTILINE)
    assert command is not None
    assert timeout is not None
    assert files is not None
    check_command(command[1].split())
    assert int(timeout[1]) > STOPPING
    assert int(files[1]) > Limits().max_connections
    # The supervisor gives its workers their limits and 20 s more, and must be done before systemd loses patience.
    assert int(timeout[1]) > grace_of([]) + PATIENCE
    assert "KillMode=mixed" in text, "SIGTERM is the supervisor's to pass on"
    broker = re.search(r"^Environment=ODAC_BROKER=(\S+)$", text, re.MULTILINE)
    folder = re.search(r"^RuntimeDirectory=(\S+)$", text, re.MULTILINE)
    assert broker is not None
    assert folder is not None
    assert make_broker(broker[1]).address == f"local:///run/{folder[1]}"


def test_compose() -> None:
    file = yaml.safe_load(read("compose.yaml"))
    app = file["services"]["app"]
    check_command(app["command"].split())
    assert int(app["stop_grace_period"].removesuffix("s")) > STOPPING
    assert app["environment"]["ODAC_BROKER"] == "redis://broker"
    assert app["environment"]["ODAC_SECRET"].startswith("${ODAC_SECRET:?"), "from the environment, and not without"
    assert file["services"]["proxy"]["ulimits"]["nofile"] >= 2 * 100_000
    proxy = file["configs"]["haproxy"]["content"]
    assert "maxconn 100000" in proxy
    tunnel = re.search(r"timeout tunnel (\d+)s", proxy)
    assert tunnel is not None
    assert int(tunnel[1]) > Limits().ping_interval
    assert "ports" not in app, "whoever reaches the app's port is believed"
    mounted = [config["source"] for config in file["services"]["proxy"]["configs"]]
    assert mounted == list(file["configs"])


def test_the_health_check_within_compose_tells_health(tmp_path: Path) -> None:
    """It needs nothing that the image of Python has not got."""
    app = yaml.safe_load(read("compose.yaml"))["services"]["app"]
    kind, command, *arguments = app["healthcheck"]["test"]
    assert (kind, command) == ("CMD", "python")
    port = re.search(r"--port (\d+)", app["command"])
    assert port is not None
    address = f"http://127.0.0.1:{port[1]}/odac/health"
    assert address in arguments[-1]

    for status in (200, 503):

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self, status: int = status) -> None:
                self.send_response(status)
                self.end_headers()

            def log_message(self, *words: object) -> None: ...

        with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            code = arguments[-1].replace(f":{port[1]}/", f":{server.server_port}/")
            done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, timeout=60, check=False)
            thread.join()
        assert (done.returncode == 0) == (status == 200)


def test_haproxy_accepts_the_configuration_within_compose(tmp_path: Path) -> None:
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(yaml.safe_load(read("compose.yaml"))["configs"]["haproxy"]["content"])
    done = subprocess.run(
        [program("haproxy"), "-c", "-f", str(configuration)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_the_kubernetes_file_holds_together() -> None:
    found = {(each["kind"], each["metadata"]["name"]): each for each in resources()}
    pod = found["Deployment", "chat"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    check_command(container["command"])
    environment = {each["name"]: each.get("value") for each in container["env"]}
    assert ("Service", environment["ODAC_BROKER"].removeprefix("redis://")) in found
    names = {each["name"] for each in container["ports"]}
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in names
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["spec"]["terminationGracePeriodSeconds"] > waits + STOPPING
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert found[kind, "chat"]["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert found["Service", "chat"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert "sessionAffinity" not in found["Service", "chat"]["spec"]
    [secret] = [each for each in container["env"] if each["name"] == "ODAC_SECRET"]
    assert "secretKeyRef" in secret["valueFrom"]
    ipaddress.ip_network(environment["FORWARDED_ALLOW_IPS"])
    [allowed] = found["NetworkPolicy", "broker"]["spec"]["ingress"]
    assert allowed["from"] == [{"podSelector": {"matchLabels": pod["metadata"]["labels"]}}]
    policy = found["NetworkPolicy", "broker"]["spec"]["podSelector"]
    assert policy == found["Deployment", "broker"]["spec"]["selector"]
    timeouts = found["Ingress", "chat"]["metadata"]["annotations"]
    assert all(
        int(timeouts[f"nginx.ingress.kubernetes.io/proxy-{way}-timeout"]) > Limits().ping_interval
        for way in ("read", "send")
    )
    [rule] = found["Ingress", "chat"]["spec"]["rules"]
    assert ("Service", rule["http"]["paths"][0]["backend"]["service"]["name"]) in found


def test_the_probes_ask_for_what_is_there() -> None:
    from odac.http.files import FILES

    pod = next(each for each in resources() if each["kind"] == "Deployment" and each["metadata"]["name"] == "chat")
    [container] = pod["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/odac/health"
    assert container["livenessProbe"]["httpGet"]["path"].removeprefix("/odac/") in FILES
