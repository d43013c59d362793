"""What the emulator cannot play: TLS, answers that are not HTTP, servers that never end."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

import pytest
import trustme

from airflow_provider.altcraft.client import AltcraftClient, AltcraftError, AsyncAltcraftClient, Retry
from airflow_provider.altcraft.client.transport import _httpx
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.client.wire import ANN, BODY, GOOD, SLACK, TOKEN, each

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
    kind, words = each(f"http://127.0.0.1:{serve(answer).port}")
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
    assert each(f"http://127.0.0.1:{serve(answer).port}") == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_token_nowhere(serve: Any, status: int) -> None:
    elsewhere = serve(GOOD)
    location = f"HTTP/1.1 {status} x\r\nlocation: http://127.0.0.1:{elsewhere.port}/\r\ncontent-length: 0\r\n\r\n"
    for auth in ("body", "header"):
        kind, words = each(f"http://127.0.0.1:{serve(location.encode()).port}", auth=auth)
        assert (kind, "redirects" in words) == ("BadRequestError", True)
    assert elsewhere.asked == []


def test_a_redirect_that_talks_json(serve: Any) -> None:
    answer = b"HTTP/1.1 302 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
    kind, words = each(f"http://127.0.0.1:{serve(answer).port}")
    assert (kind, "redirects" in words) == ("BadRequestError", True)


def test_no_way_there() -> None:
    kind, words = each("http://255.255.255.255:9")
    assert kind == "ConnectError"
    assert "nothing was sent: " in words
    assert "Error" not in words.rpartition(": ")[2]  # in the system's own words


def test_an_address_that_httpx_refuses() -> None:
    kind, words = each("http://" + "a" * 64 + "é.example.com")
    assert kind == "BadRequestError"
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

        assert each(f"http://127.0.0.1:{serve(flood).port}", timeout=2)[0] == "RequestTimeoutError"

    def test_nobody_accepts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_httpx, "CONNECT_TIMEOUT", 0.4)  # long before the other one
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
        assert "no connection within 0.4 s; nothing was sent" in words

    def test_a_handshake_that_stalls(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_httpx, "CONNECT_TIMEOUT", 0.4)  # long before the other one
        kind, words = each(f"https://127.0.0.1:{serve(lambda one: None).port}", verify=False)
        assert kind == "RequestTimeoutError"
        assert "no connection within 0.4 s; nothing was sent" in words

    def test_also_on_a_connection_that_was_used_before(self, altcraft_api: Emulator) -> None:
        """A deadline of one call does not outlive it either."""
        options: dict[str, Any] = {"list_id": 1, "timeout": 1.0, "outage_timeout": 0, "retry": Retry(attempts=1)}
        with AltcraftClient(altcraft_api.url, altcraft_api.token, **options) as asking:
            assert asking.get_history(ANN) == []
            altcraft_api.play(faults.drip_headers(5))  # for far longer than SLACK
            started = time.monotonic()
            with pytest.raises(AltcraftError, match=r"within 1 s"):
                asking.get_history(ANN)
            assert time.monotonic() - started < SLACK
            assert asking.get_history(ANN) == []
            time.sleep(1.1)
            assert asking.get_history(ANN) == []
        assert [request.connection for request in altcraft_api.requests] == [1, 1, 2, 2]


def test_refused_at_every_address_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [("127.0.0.1", 1), ("127.0.0.2", 1)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", end) for end in ends]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    kind, words = each("http://altcraft.invalid:1")
    assert kind == "ConnectError"
    assert words.endswith("could not connect, so nothing was sent: the connection was refused")


# TLS


LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)


class TestCertificates:
    """Which certificates are trusted."""

    def test_of_an_own_authority(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        assert each(tls(authority.issue_cert("127.0.0.1")), verify=ca_file) == 0

    def test_a_name_with_its_final_dot(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        url = tls(authority.issue_cert("localhost")).replace("127.0.0.1", "localhost.")
        assert each(url, verify=ca_file) == 0

    def test_the_deadline_holds_through_it(self, tls: Any, authority: trustme.CA, running: list[Emulator]) -> None:
        url = tls(authority.issue_cert("127.0.0.1"))
        running[0].play_forever(faults.drip_headers(20))
        assert each(url, verify=False, timeout=2)[0] == "RequestTimeoutError"

    def test_unchecked(self, tls: Any, authority: trustme.CA) -> None:
        assert each(tls(authority.issue_cert("elsewhere.example.com")), verify=False) == 0

    def test_of_an_unknown_authority(self, tls: Any, authority: trustme.CA) -> None:
        kind, words = each(tls(authority.issue_cert("127.0.0.1")))
        assert kind == "CertificateError"
        assert "unable to get local issuer certificate" in words

    def test_signed_by_itself(self, tls: Any) -> None:
        own = trustme.CA()
        leaf = trustme.LeafCert(own.private_key_pem.bytes(), own.cert_pem.bytes(), [])
        kind, words = each(tls(leaf))
        assert kind == "CertificateError"
        assert "'verify'" in words

    def test_of_another_host(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        kind, words = each(tls(authority.issue_cert("elsewhere.example.com")), verify=ca_file)
        assert kind == "CertificateError"
        assert "127.0.0.1" in words

    def test_expired(self, tls: Any, authority: trustme.CA, ca_file: str) -> None:
        issued = authority.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO + dt.timedelta(days=1))
        kind, words = each(tls(issued), verify=ca_file)
        assert kind == "CertificateError"
        assert "expired" in words

    def test_no_tls_at_all(self, altcraft_api: Emulator) -> None:
        kind, words = each(altcraft_api.url.replace("http:", "https:"))
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

        url, options = (
            f"https://127.0.0.1:{serve(shake).port}",
            {"verify": ca_file, "outage_timeout": 0, "retry": Retry(attempts=1)},
        )

        async def ask() -> None:
            async with AsyncAltcraftClient(url, TOKEN, **options) as asking:
                await asking.get_history(ANN, list_id=1)

        # With TLS 1.3 the refusal may come before or after the request left: both are true to what happened.
        with pytest.raises(AltcraftError, match=r"broke|connect"):
            asyncio.run(ask())
        with AltcraftClient(url, TOKEN, **options) as asking, pytest.raises(AltcraftError, match=r"broke|connect"):
            asking.get_history(ANN, list_id=1)
