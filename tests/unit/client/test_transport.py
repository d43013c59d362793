"""What the emulator cannot play: TLS, proxies, answers that are not HTTP, servers that never end."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, AsyncAltcraftClient, Retry
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.testing import Emulator, faults

TOKEN = "t0ken-t0ken"
ANN = "ann@example.com"
BODY = b'{"error": 0, "data": []}'
GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def each(base_url: str, **options: Any) -> Any:
    """What comes of it over httpx, sync and async, and over aiohttp: the number of events, or the error's class and
    words; it must be the same, in time, and leave nothing behind.
    """
    options = {"list_id": 1, "timeout": 0.4, "retry": Retry(attempts=1)} | options

    async def ask(kind: type[AsyncAltcraftClient]) -> Any:
        async with kind(base_url, TOKEN, **options) as asking:
            try:
                return len(await asking.get_history(ANN))
            except AltcraftError as error:
                return type(error).__name__, str(error)
            finally:
                assert len(asyncio.all_tasks()) == 1

    def ask_sync() -> Any:
        with AltcraftClient(base_url, TOKEN, **options) as asking:
            try:
                return len(asking.get_history(ANN))
            except AltcraftError as error:
                return type(error).__name__, str(error)

    found = []
    for run in (ask_sync, lambda: asyncio.run(ask(AsyncAltcraftClient)), lambda: asyncio.run(ask(BulkClient))):
        started = time.monotonic()
        found.append(run())
        assert time.monotonic() - started < options["timeout"] + 1
    assert found[0] == found[1] == found[2]
    return found[0]


class RawServer:
    """Plays a function on each connection, in a thread of its own, and keeps what was asked."""

    def __init__(self, play: Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.asked: list[bytes] = []
        self._play = play
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                one, _ = self.listener.accept()
                self._open.append(one)
                threading.Thread(target=self._one, args=(one,), daemon=True).start()

    def _one(self, one: socket.socket) -> None:
        with suppress(OSError):
            self._play(one)

    def read(self, one: socket.socket) -> bytes:
        """One request, whole."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += one.recv(65536) or b"\r\n\r\n"
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += one.recv(65536)
        self.asked.append(head + b"\r\n\r\n" + body)
        return self.asked[-1]

    def stop(self) -> None:
        for one in (self.listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


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


NOT_HTTP = {
    "another protocol": b"220 mail.example.com ready " + TOKEN.encode() + b"\r\n\r\n",
    "status line": b"HTTP/1.1 two-hundred " + TOKEN.encode() + b"\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\nbad header " + TOKEN.encode() + b"\r\n\r\n",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nx: a\0" + TOKEN.encode() + b"\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + TOKEN.encode() + b"\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\nx: " + TOKEN.encode() * 20_000,
}


@pytest.mark.parametrize("answer", NOT_HTTP.values(), ids=NOT_HTTP)
def test_not_http(serve: Any, answer: bytes) -> None:
    kind, words = each(f"http://127.0.0.1:{serve(answer).port}", timeout=3)
    assert kind == "NetworkError"
    assert words.endswith("the connection broke before the answer was whole: what came is not HTTP")


HTTP = {
    "to the end of the connection": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "after 100 Continue": b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD,
    "after 103 Early Hints": b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD,
    "a header in latin-1": GOOD.replace(b"\r\n\r\n", "\r\nx: né\r\n\r\n".encode("latin-1")),
    "many headers": GOOD.replace(b"\r\n\r\n", b"\r\nx: y" * 150 + b"\r\n\r\n"),
}


@pytest.mark.parametrize("answer", HTTP.values(), ids=HTTP)
def test_http_as_it_may_be(serve: Any, answer: bytes) -> None:
    assert each(f"http://127.0.0.1:{serve(answer).port}", timeout=3) == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_token_nowhere(serve: Any, status: int) -> None:
    elsewhere = serve(GOOD)
    location = f"HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:{elsewhere.port}/\r\ncontent-length: 0\r\n\r\n"
    for auth in ("body", "header"):
        kind, words = each(f"http://127.0.0.1:{serve(location.encode()).port}", auth=auth, timeout=3)
        assert (kind, "redirects" in words) == ("RequestError", True)
    assert elsewhere.asked == []


def test_a_redirect_that_talks_json(serve: Any) -> None:
    answer = b"HTTP/1.1 302 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    kind, words = each(f"http://127.0.0.1:{serve(answer).port}", timeout=3)
    assert (kind, "redirects" in words) == ("RequestError", True)


def test_no_way_there() -> None:
    kind, words = each("http://255.255.255.255:9")
    assert kind == "ConnectError"
    assert "nothing was sent: " in words
    assert "Error" not in words.rpartition(": ")[2]  # in the system's own words


def test_an_address_that_httpx_refuses() -> None:
    kind, words = each("http://" + "a" * 64 + "é.example.com")
    assert kind == "RequestError"
    assert "the request cannot be sent: InvalidURL" in words


class TestTime:
    """One time-out for the whole call."""

    def test_an_endless_body(self, serve: Any) -> None:
        """Each read succeeds at once, so no time-out of a read ever fires."""

        def flood(one: socket.socket) -> None:
            one.recv(65536)
            one.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                one.sendall(b"1\r\nx\r\n")
                time.sleep(0.001)

        assert each(f"http://127.0.0.1:{serve(flood).port}")[0] == "RequestTimeoutError"

    def test_nobody_accepts(self) -> None:
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        queued = [socket.socket() for _ in range(4)]
        for one in queued:  # they fill the queue, and the system drops who comes next
            one.setblocking(False)
            one.connect_ex(address)
        try:
            kind, words = each(f"http://127.0.0.1:{address[1]}")
        finally:
            for one in (*queued, listener):
                one.close()
        assert kind == "RequestTimeoutError"
        assert "no connection within 0.36 s; nothing was sent" in words

    def test_a_handshake_that_stalls(self, serve: Any) -> None:
        kind, _ = each(f"https://127.0.0.1:{serve(lambda one: time.sleep(2)).port}", verify=False)
        assert kind == "RequestTimeoutError"

    def test_also_on_a_connection_that_was_used_before(self, altcraft_api: Emulator) -> None:
        """A deadline of one call does not outlive it either."""
        options: dict[str, Any] = {"list_id": 1, "timeout": 0.4, "retry": Retry(attempts=1)}
        with AltcraftClient(altcraft_api.url, altcraft_api.token, **options) as asking:
            assert asking.get_history(ANN) == []
            altcraft_api.play(faults.drip_headers(20))
            started = time.monotonic()
            with pytest.raises(AltcraftError, match=r"within 0\.4 s"):
                asking.get_history(ANN)
            assert time.monotonic() - started < 1
            assert asking.get_history(ANN) == []
            time.sleep(0.5)
            assert asking.get_history(ANN) == []
        assert [request.connection for request in altcraft_api.requests] == [1, 1, 2, 2]


class TestProxy:
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


def test_refused_at_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (f"127.0.0.{last}", port)) for last in (1, 2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    kind, words = each(f"http://altcraft.invalid:{port}", timeout=3)
    assert kind == "ConnectError"
    assert words.endswith("could not connect, so nothing was sent: the connection was refused")


# TLS


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


LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


class TestCertificates:
    """Which certificates are trusted."""

    def test_of_an_own_authority(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        assert each(tls(authority.issue_cert("127.0.0.1")), verify=ca_file, timeout=3) == 0

    def test_the_deadline_holds_through_it(self, tls: Any, authority: trustme.CA, running: list[Emulator]) -> None:
        url = tls(authority.issue_cert("127.0.0.1"))
        running[0].play_forever(faults.drip_headers(20))
        assert each(url, verify=False)[0] == "RequestTimeoutError"

    def test_unchecked(self, tls: Any, authority: trustme.CA) -> None:
        assert each(tls(authority.issue_cert("elsewhere.example.com")), verify=False, timeout=3) == 0

    def test_of_an_unknown_authority(self, tls: Any, authority: trustme.CA) -> None:
        kind, words = each(tls(authority.issue_cert("127.0.0.1")), timeout=3)
        assert kind == "CertificateError"
        assert "unable to get local issuer certificate" in words

    def test_signed_by_itself(self, tls: Any) -> None:
        own = trustme.CA()
        leaf = trustme.LeafCert(own.private_key_pem.bytes(), own.cert_pem.bytes(), [])
        kind, words = each(tls(leaf), timeout=3)
        assert kind == "CertificateError"
        assert "'verify'" in words

    def test_of_another_host(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        kind, words = each(tls(authority.issue_cert("elsewhere.example.com")), verify=ca_file, timeout=3)
        assert kind == "CertificateError"
        assert "127.0.0.1" in words

    def test_expired(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        issued = authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + dt.timedelta(days=1))
        kind, words = each(tls(issued), verify=ca_file, timeout=3)
        assert kind == "CertificateError"
        assert "expired" in words

    def test_no_tls_at_all(self, altcraft_api: Emulator) -> None:
        kind, words = each(altcraft_api.url.replace("http:", "https:"), timeout=3)
        assert kind == "ConnectError"
        assert "nothing was sent: TLS failed" in words
        assert altcraft_api.requests == []

    def test_the_server_wants_one_too(self, serve: Any, authority: trustme.CA, ca_file: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

        def shake(one: socket.socket) -> None:
            with suppress(ssl.SSLError), context.wrap_socket(one, server_side=True) as wrapped:
                wrapped.recv(1)

        url, options = f"https://127.0.0.1:{serve(shake).port}", {"verify": ca_file, "retry": Retry(attempts=1)}

        async def ask() -> None:
            async with AsyncAltcraftClient(url, TOKEN, **options) as asking:
                await asking.get_history(ANN, list_id=1)

        # With TLS 1.3 the refusal may come before or after the request left: both are true to what happened.
        with pytest.raises(AltcraftError, match=r"broke|connect"):
            asyncio.run(ask())
        with AltcraftClient(url, TOKEN, **options) as asking, pytest.raises(AltcraftError, match=r"broke|connect"):
            asking.get_history(ANN, list_id=1)
