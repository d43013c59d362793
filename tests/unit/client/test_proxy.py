"""Proxies: the environment's, and the connection's own, which is a real one here."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import trustme

from airflow_provider.altcraft.client import AltcraftClient
from airflow_provider.altcraft.client._core import ClientSettings
from airflow_provider.altcraft.testing import Emulator
from tests.unit.client.wire import GOOD, TOKEN, Proxy, each


@pytest.fixture(autouse=True)
def no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class TestEnvironment:
    """Proxies of the environment."""

    def test_asked_for_the_whole_address(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = serve(GOOD)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert each("http://altcraft.invalid/path") == 0
        first_lines = {asked.partition(b"\r\n")[0] for asked in proxy.asked}
        assert first_lines == {b"POST http://altcraft.invalid/path/api/v1.1/subscribers/history_get HTTP/1.1"}

    def test_not_for_hosts_without_one(
        self, serve: Any, altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proxy = serve(GOOD)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        altcraft_api.token = TOKEN
        assert each(altcraft_api.url) == 0
        assert proxy.asked == []

    def test_one_that_refuses_the_tunnel_sees_no_token(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = serve(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        kind, words = each("https://altcraft.invalid", auth="header")
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
                time.sleep(0.2)

        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{serve(drip).port}")
        assert each("http://altcraft.invalid", timeout=2)[0] == "RequestTimeoutError"


LOGIN = "us er:pä@ss/w%rd:1"
SPELLED = ":".join(quote(part, safe="") for part in LOGIN.split(":", 1))
SECRETS = ("ss/w%rd", quote("pä@ss/w%rd:1", safe=""), b64encode(LOGIN.encode()).decode())


@pytest.fixture
def proxies() -> Iterator[Callable[..., Proxy]]:
    """Starts proxies before a port."""
    started: list[Proxy] = []

    def start(*arguments: Any, **options: Any) -> Proxy:
        started.append(Proxy(*arguments, **options))
        return started[-1]

    yield start
    for proxy in started:
        proxy.stop()


class TestConnection:
    """The connection's own."""

    @pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "with a login"])
    def test_forwards(self, proxies: Any, altcraft_api: Emulator, login: str | None) -> None:
        altcraft_api.token = TOKEN
        proxy = proxies(urlsplit(altcraft_api.url).port, login)
        url = f"http://{SPELLED}@127.0.0.1:{proxy.port}" if login else f"127.0.0.1:{proxy.port}"
        assert each("http://altcraft.invalid/", proxy=url) == 0
        assert [asked.partition(b" HTTP")[0] for asked in proxy.asked] == [
            b"POST http://altcraft.invalid/api/v1.1/subscribers/history_get"
        ] * 3
        assert len(altcraft_api.requests) == 3
        assert "proxy-authorization" not in altcraft_api.requests[-1].headers

    @pytest.mark.parametrize("by_tls", [False, True], ids=["plain", "by TLS"])
    def test_tunnels(self, proxies: Any, tls: Any, authority: trustme.CA, ca_file: str, by_tls: bool) -> None:
        """What goes through is the platform's alone: the proxy sees no token."""
        context = None
        if by_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
        proxy = proxies(urlsplit(tls(authority.issue_cert("altcraft.invalid"))).port, LOGIN, context)
        url = f"{'https' if by_tls else 'http'}://{SPELLED}@127.0.0.1:{proxy.port}/"
        assert each("https://altcraft.invalid", proxy=url, verify=ca_file, auth="header") == 0
        assert {asked.partition(b" HTTP")[0] for asked in proxy.asked} == {b"CONNECT altcraft.invalid:443"}
        assert len(proxy.asked) == 3
        assert TOKEN.encode() not in b"".join(proxy.asked)

    def test_before_the_environments(
        self, proxies: Any, altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        altcraft_api.token = TOKEN
        proxy = proxies(urlsplit(altcraft_api.url).port)
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "*")
        assert each("http://altcraft.invalid", proxy=f"http://127.0.0.1:{proxy.port}") == 0
        assert len(proxy.asked) == 3

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @pytest.mark.parametrize("login", ["", f"other:{quote('pä@ss/w%rd:1', safe='')}@"], ids=["none", "another"])
    def test_wants_another_login(self, proxies: Any, scheme: str, login: str) -> None:
        """Which is not tried again: it would lock the user."""
        proxy = proxies(1, LOGIN)
        kind, words = each(f"{scheme}://altcraft.invalid", proxy=f"http://{login}127.0.0.1:{proxy.port}")
        assert kind == "BadRequestError"
        assert "check the connection's proxy (HTTP 407)" in words
        assert len(proxy.asked) == 3

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_nobody_there(self, scheme: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        kind, words = each(f"{scheme}://altcraft.invalid", proxy=f"http://u:hush-hush@127.0.0.1:{port}")
        assert kind == "ConnectError"
        assert words.endswith("nothing was sent: the connection was refused")

    def test_the_platforms_certificate_is_checked_through_it(
        self, proxies: Any, tls: Any, authority: trustme.CA, ca_file: str
    ) -> None:
        proxy = proxies(urlsplit(tls(authority.issue_cert("elsewhere.example.com"))).port)
        url = f"http://127.0.0.1:{proxy.port}"
        assert each("https://altcraft.invalid", proxy=url, verify=ca_file)[0] == "CertificateError"

    @pytest.mark.parametrize("scheme", ["http", "https"])
    def test_its_password_is_in_no_error_and_no_log(
        self, serve: Any, scheme: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Even where it says it back."""
        caplog.set_level(logging.DEBUG)
        page = f"<html><title>no {LOGIN.partition(':')[2]} {' '.join(SECRETS[1:])}</title></html>".encode()
        said = b"HTTP/1.1 503 no\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%b"
        proxy = serve(said % (len(page), page))
        _, words = each(f"{scheme}://altcraft.invalid", proxy=f"http://{SPELLED}@127.0.0.1:{proxy.port}")
        assert ("***" in words) == (scheme == "http")  # nobody reads what a proxy says of a tunnel
        for text in (words, *(record.getMessage() for record in caplog.records)):
            assert not any(secret in text for secret in SECRETS), text


MALFORMED = [
    "http://",
    "ftp://u:hush-hush@example.com",
    "socks5://u:hush-hush@example.com",
    "http://u:hush-hush@example.com:port",
    "http://u:hush-hush@example.com:99999",
    "http://u:hush-hush@example.com:0",
    "http://u:hush-hush@example.com:",
    "http://u:hush-hush/2@example.com",
    "http://u:hush-hush#2@example.com",
    "http://u:hush-hush?2@example.com",
    "http://u:hush-hush@example.com/path",
    "http://u:hush-hush@exa mple.com",
    "http://u:hush-hush@exa\nmple.com",
    "http://u:hush-hush@.example.com",
    "http://u:hush-hush@example..com",
    "http://u:hush-hush@" + "x" * 64,
    "http://u:hush-hush@exämple.com",
    "http://u:hush-hush@[::1",
    "http://u:hush-hush@[::1::]",
    "http://u:hush-hush@℀.com",
    "http://u%3Av:hush-hush@example.com",
    "***",
    "   ",
    3128,
]


@pytest.mark.parametrize("proxy", MALFORMED)
def test_malformed_is_refused_by_name_and_not_shown(proxy: Any) -> None:
    with pytest.raises(ValueError, match=r"^proxy: ") as caught:
        AltcraftClient("https://example.com", TOKEN, proxy=proxy)
    error: BaseException | None = caught.value
    while error:
        assert "hush" not in f"{error!r}"
        error = error.__context__


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, None),
        ("", None),
        ("proxy.example.com:3128", "http://proxy.example.com:3128"),
        (" HTTPS://Proxy.Example.com/ ", "https://proxy.example.com"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://u@h", "http://u:@h"),
        ("http://u:a@b:c@h:1", "http://u:a%40b%3Ac@h:1"),
        ("http://u:%70%25@h", "http://u:p%25@h"),
    ],
)
def test_spelled_in_one_way(given: str | None, used: str | None) -> None:
    settings = ClientSettings("https://example.com", TOKEN, proxy=given)
    assert settings.proxy == used
    assert "proxy" not in repr(settings)
