"""Servers of bytes, and emulators behind TLS."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from airflow_provider.altcraft.testing import Emulator
from tests.unit.client.wire import TOKEN, RawServer


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Starts a server that gives each request these bytes, or does what a function says."""
    servers: list[RawServer] = []

    def start(answer: bytes | Callable[[socket.socket], None]) -> RawServer:
        def play(one: socket.socket) -> None:
            if callable(answer):
                answer(one)
                return
            server.read(one)
            one.sendall(answer)
            one.shutdown(socket.SHUT_WR)

        server = RawServer(play)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def running() -> Iterator[list[Emulator]]:
    """Emulators to stop in the end."""
    started: list[Emulator] = []
    yield started
    for api in started:
        api.stop()


@pytest.fixture
def tls(tmp_path: Path, running: list[Emulator]) -> Callable[..., str]:
    """Starts an emulator with a certificate; gives its URL."""

    def start(issued: trustme.LeafCert) -> str:
        certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        api = Emulator(token=TOKEN, tls=(str(certificate), str(key)))
        api.start()
        running.append(api)
        return api.url

    return start


@pytest.fixture
def ca_file(tmp_path: Path, authority: trustme.CA) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)
