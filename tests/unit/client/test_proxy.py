"""Proxies: the environment's, and the connection's own, which is a real one here."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.unit.client.wire import GOOD, TOKEN, each


class TestEnvironment:
    """Proxies of the environment."""

    @pytest.fixture(autouse=True)
    def env(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)

    def test_asked_for_the_whole_address(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = serve(GOOD)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert each("http://altcraft.invalid/path", timeout=3) == 0
        first_lines = {asked.partition(b"\r\n")[0] for asked in proxy.asked}
        assert first_lines == {b"POST http://altcraft.invalid/path/api/v1.1/subscribers/history_get HTTP/1.1"}

    def test_not_for_hosts_without_one(
        self, serve: Any, altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = serve(GOOD)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        altcraft_api.token = TOKEN
        assert each(altcraft_api.url, timeout=3) == 0
        assert proxy.asked == []

    def test_one_that_refuses_the_tunnel_sees_no_token(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = serve(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        kind, words = each("https://altcraft.invalid", auth="header", timeout=3)
        assert kind == "ConnectError"
        assert "nothing was sent: the proxy refused" in words
        assert len(proxy.asked) == 3
        assert all(asked.startswith(b"CONNECT altcraft.invalid:443 ") for asked in proxy.asked)
        assert TOKEN.encode() not in b"".join(proxy.asked)

    def test_the_deadline_holds_through_one(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def drip(one: socket.socket) -> None:
            one.recv(65536)
            for byte in GOOD:
                one.sendall(bytes([byte]))
                time.sleep(0.05)

        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{serve(drip).port}")
        assert each("http://altcraft.invalid")[0] == "RequestTimeoutError"
