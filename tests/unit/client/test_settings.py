"""What a client is given: addresses, tokens, limits, retries, a transport of the user's own."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.altcraft import client
from airflow_provider.altcraft.client import AltcraftClient, Retry


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "https://example.com:port"}, "base_url"),
        ({"base_url": "https://user:secret@example.com"}, "base_url"),
        ({"base_url": "https://example.com?token=secret"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"token": ""}, "token: missing"),
        ({"token": "sec ret"}, "token"),
        ({"token": "secrét"}, "token"),
        ({"token": "secret\n"}, "token"),
        ({"token": "***"}, "masked"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"max_connections": 0}, "max_connections"),
        ({"requests_per_second": 0}, "requests_per_second"),
        ({"requests_per_second": float("inf")}, "requests_per_second"),
        ({"auth": "url"}, "auth"),
        ({"verify": "/no/such/file"}, "verify"),
        ({"verify": __file__}, "verify"),
    ],
)
def test_settings_that_cannot_work(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        AltcraftClient(**{"base_url": "https://example.com", "token": "secret"} | arguments)
    assert "sec" not in str(caught.value).replace("seconds", "").replace("requests_per_second", "")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("example.com", "https://example.com"),
        (" https://example.com/ ", "https://example.com"),
        ("https://example.com/path/", "https://example.com/path"),
        ("https://example.com/api/v1.1", "https://example.com"),
    ],
)
def test_base_urls(given: str, used: str) -> None:
    with AltcraftClient(given, "secret") as asking:
        assert asking.settings.base_url == used
        assert repr(asking) == f"AltcraftClient({used!r})"
        assert "secret" not in repr(asking.settings)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"wait_initial": -1}, {"wait_max": -1}])
def test_retries_that_cannot_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retry(**wrong)


class Canned:
    """A transport of the user's own: keeps what was sent and gives one answer."""

    def __init__(self, body: bytes) -> None:
        self.body, self.sent = body, list[tuple[str, Any, bytes]]()

    def send(self, url: str, headers: Any, body: bytes) -> client.Response:
        self.sent.append((url, headers, body))
        return client.Response(200, {"content-type": "application/json"}, self.body)

    def close(self) -> None:
        self.sent.append(("closed", None, b""))


def test_a_transport_of_the_users_own() -> None:
    transport = Canned(b'{"error": 0, "data": [{"action": "x", "datetime": "2026-01-01T00:00:00Z"}]}')
    with AltcraftClient("https://example.com", "secret", list_id=1, transport=transport) as asking:
        assert [event.action for event in asking.get_history("ann@example.com")] == ["x"]
    (url, headers, body), closed = transport.sent
    assert url == "https://example.com/api/v1.1/subscribers/history_get"
    assert headers["Content-Type"] == "application/json"
    assert b'"token":"secret"' in body
    assert closed[0] == "closed"
