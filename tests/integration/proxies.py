"""Real nginx and HAProxy in front of an emulator in a process of its own, which can be away for a while."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.ports import free_port


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: nginx-light, haproxy)")
    return found


class Server:
    """A process that listens on a port; ``start`` and ``stop`` take turns."""

    port: int
    command: list[str]

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, f"{self.command[0]} ended"
                assert time.monotonic() < deadline, f"{self.command[0]} takes no connections"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(60)


class Platform(Server):
    """The emulator, with profiles ``user0@example.com`` and on, in a process of its own."""

    token = "emulator-token"

    def __init__(self, profiles: int, events: int, latency: float = 0.0) -> None:
        self.port = free_port()
        options = {"port": self.port, "profiles": profiles, "events": events, "latency": latency}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.command = [sys.executable, "-m", "airflow_provider.altcraft.testing", *arguments]


class ReverseProxy(Server):
    """What stands in front of the platform, and logs the status of each answer."""

    url: str
    log: Path

    def statuses(self) -> list[tuple[float, int]]:
        """When each request was answered (seconds since the epoch), and with which status."""
        lines = self.log.read_text().split("\n") if self.log.exists() else []
        return [(float(line.split()[0]), int(line.split()[1])) for line in lines if line]

    def summary(self) -> str:
        """How many answers had each status, for a report."""
        counts = Counter(status for _, status in self.statuses())
        return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))


class Nginx(ReverseProxy):
    """nginx in front of a port; ``http`` and ``location`` are directives of these blocks."""

    def __init__(self, folder: Path, upstream: int, *, http: str = "", location: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "access.log"
        temporary = " ".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""  # as whose the folder is
        (folder / "nginx.conf").write_text(
            f"""daemon off; worker_processes 1; pid {folder}/pid; {user}
            events {{ worker_connections 512; }}
            http {{
              log_format plain '$msec $status'; access_log {self.log} plain; {temporary} {http}
              upstream platform {{ server 127.0.0.1:{upstream}; keepalive 64; }}
              server {{
                listen 127.0.0.1:{self.port};
                location / {{
                  {location} proxy_pass http://platform; proxy_http_version 1.1; proxy_set_header Connection '';
                }}
              }}
            }}"""
        )
        self.command = [_program("nginx"), "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"]


class HAProxy(ReverseProxy):
    """HAProxy in front of a port; ``frontend`` are directives of that section. It has no log of answers."""

    def __init__(self, folder: Path, upstream: int, *, frontend: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "unused.log"
        (folder / "haproxy.cfg").write_text(
            f"""
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{self.port}
  {frontend}
  default_backend platform
backend platform
  server one 127.0.0.1:{upstream}
"""
        )
        self.command = [_program("haproxy"), "-db", "-f", f"{folder}/haproxy.cfg"]
