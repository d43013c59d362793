"""The hook against the emulator: what it asks, and what the connection test says."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from airflow_provider.altcraft.client import TokenError
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.testing import Emulator, faults

Connect = Callable[..., str]


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    for day in (1, 2, 3):
        altcraft_api.add_event(
            "ann@example.com", "open", at=dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC), message_id=day
        )
    return altcraft_api


def test_get_history_and_its_twin(api: Emulator) -> None:
    hook = AltcraftHook()
    events = hook.get_history("ann@example.com", date_from="2026-01-02", date_to=dt.date(2026, 1, 2))
    assert [event.message_id for event in events] == [2]
    twin = asyncio.run(hook.aget_history({"email": "ann@example.com"}, date_from="2026-01-02", date_to="2026-01-02"))
    assert twin == events
    assert hook.get_history("ann@example.com", list_id=1) == hook.get_history("ann@example.com")


def test_whole_database(api: Emulator) -> None:
    api.add_profile(email="bob@example.com", custom={"CRM_ID": "7"})
    api.add_event("bob@example.com", "click", at=dt.datetime(2026, 1, 2, 23, 59, 59, tzinfo=dt.UTC))
    window = {"date_from": "2026-01-02", "date_to": "2026-01-02"}
    events = list(AltcraftHook().iter_database_history(**window, fields=["CRM_ID"]))
    assert sorted(event.action for event in events) == ["click", "open"]
    assert {"CRM_ID": "7"} in [event.model_extra["fields"] for event in events if event.model_extra]


def test_another_connection(api: Emulator, connect: Connect) -> None:
    api.add_database(2)
    connect(api, "altcraft_second", list_id=2)
    hook = AltcraftHook("altcraft_second")
    assert hook.get_history("ann@example.com") == []
    assert api.requests[-1].body["list_id"] == 2


def test_the_hook_reads_no_connection_before_it_must() -> None:
    AltcraftHook("there_is_no_such_connection")


def test_the_fields_of_the_connection_reach_the_client(altcraft_api: Emulator, connect: Connect) -> None:
    extra = {"list_id": "66", "timeout": "2.5", "max_connections": "3", "requests_per_second": 4}
    connect(altcraft_api, **extra, auth="header", verify="no", proxy="http://u:hush@proxy.example.com:3128/")
    with AltcraftHook().get_conn() as client:
        settings = client.settings
    assert (settings.list_id, settings.timeout, settings.max_connections) == (66, 2.5, 3)
    assert (settings.requests_per_second, settings.auth, settings.verify) == (4.0, "header", False)
    assert settings.proxy == "http://u:hush@proxy.example.com:3128"
    assert "hush" not in f"{settings!r}{client!r}"


class TestConnectionTest:
    """What ``test_connection`` says."""

    def test_fine(self, api: Emulator) -> None:
        api.add_database(2)
        assert AltcraftHook().test_connection() == (True, "The platform answers; the token sees 2 databases.")
        api.revoke(2)
        assert AltcraftHook().test_connection()[1].endswith("sees 1 database.")

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            ("http://no-such-host.invalid", "no such host"),
            ("", "host: missing"),
            ("ftp://example.com", "not an address"),
        ],
    )
    def test_wrong_host(self, monkeypatch: pytest.MonkeyPatch, host: str, said: str) -> None:
        _define(monkeypatch, host=host, password="token")
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message

    def test_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        _define(monkeypatch, host=f"http://127.0.0.1:{port}", password="token")
        assert "refused" in AltcraftHook().test_connection()[1]

    @pytest.fixture
    def tls(self, tmp_path: Any) -> Iterator[tuple[Emulator, str]]:
        ca = trustme.CA()
        certificate = ca.issue_cert("127.0.0.1")
        pem, ca_file = str(tmp_path / "server.pem"), str(tmp_path / "ca.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(pem)
        ca.cert_pem.write_to_path(ca_file)
        with Emulator(tls=(pem, pem)) as api:
            yield api, ca_file

    def test_tls(self, tls: tuple[Emulator, str], connect: Connect) -> None:
        api, ca_file = tls
        connect(api)
        well, message = AltcraftHook().test_connection()
        assert not well
        assert "certificate cannot be trusted" in message
        connect(api, verify=ca_file)
        assert AltcraftHook().test_connection()[0]
        connect(api, verify=False)
        assert AltcraftHook().test_connection()[0]

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            (faults.stall(), "no whole answer within 0.2 s"),
            (faults.html(200), "is the connection's host right?"),
            (faults.html(404), "is the connection's host right?"),
            (faults.error(401, "Token required"), "does not accept the token"),
            (faults.error(403, "No access"), "has no right to this"),
            (faults.error(402, "Tariff"), "tariff"),
            (faults.status(503), "the server failed"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_told_apart_after_one_try(self, api: Emulator, connect: Connect, fault: Any, said: str) -> None:
        connect(api, timeout=0.2)
        api.play(fault)
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message
        assert len(api.requests) == 1

    def test_wrong_token(self, api: Emulator, connect: Connect) -> None:
        connect(api, token="wrong")
        well, message = AltcraftHook().test_connection()
        assert not well
        assert "does not accept the token" in message

    @pytest.mark.parametrize(("token", "said"), [("***", "masked"), ("", "missing")])
    def test_no_token_at_all(self, api: Emulator, connect: Connect, token: str, said: str) -> None:
        connect(api, token=token)
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message
        assert api.requests == []

    @pytest.mark.parametrize(
        ("extra", "said"),
        [
            ({"list_id": "main"}, "list_id: a whole number"),
            ({"timeout": "soon"}, "timeout: a number"),
            ({"timeout": -1}, "timeout: seconds above 0"),
            ({"max_connections": 0}, "max_connections"),
            ({"requests_per_second": 0}, "requests_per_second"),
            ({"auth": "url"}, "auth"),
            ({"verify": "/no/such/file.pem"}, "no CA file"),
            ({"proxy": "ftp://proxy.example.com"}, "proxy: an address is wanted"),
            ({"proxy": 3128}, "proxy: an address is wanted"),
        ],
    )
    def test_fields_that_do_not_fit(self, api: Emulator, connect: Connect, extra: dict[str, Any], said: str) -> None:
        connect(api, **extra)
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message
        assert api.requests == []


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({"host": "https://example.com"}, "https://example.com"),
        ({"host": "example.com"}, "https://example.com"),
        ({"host": "example.com/"}, "https://example.com"),
        ({"host": "http://example.com:8080/path"}, "http://example.com:8080/path"),
        ({"host": "example.com", "port": 8443}, "https://example.com:8443"),
        ({"host": "example.com/path", "port": 8443}, "https://example.com:8443/path"),
        ({"host": "example.com:1", "port": 8443}, "https://example.com:1"),
        ({"host": "example.com", "schema": "http", "port": 80}, "http://example.com:80"),
        ({"host": "https://example.com/api/v1.1/"}, "https://example.com"),
        ({"host": "[::1]", "port": 8080, "schema": "http"}, "http://[::1]:8080"),
        ({"host": "http://[::1]:9", "port": 8080}, "http://[::1]:9"),
    ],
)
def test_addresses(monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], url: str) -> None:
    _define(monkeypatch, password="token", **connection)
    with AltcraftHook().get_conn() as client:
        assert client.settings.base_url == url


def test_the_uri_form_of_a_connection(altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _, port = altcraft_api.url.removeprefix("http://").partition(":")
    uri = f"altcraft://:{altcraft_api.token}@{host}:{port}/http?list_id=1"
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", uri)
    assert AltcraftHook().test_connection()[0]


def test_a_failure_says_where_it_comes_from_and_not_of_whom(api: Emulator, connect: Connect) -> None:
    connect(api, token="wrong")
    with pytest.raises(TokenError) as caught:
        AltcraftHook().get_history("ann@example.com")
    assert "subscribers/history_get" in str(caught.value)
    assert "ann@" not in str(caught.value)


def test_nothing_personal_above_debug(api: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    api.play(faults.status(503))
    AltcraftHook().get_history("ann@example.com")
    assert "Try 1 of 5 failed" in caplog.text
    assert "ann@" not in caplog.text


def test_the_form_of_airflow_2(mocker: Any) -> None:
    """Where the 2.11 form's libraries are not installed, stand-ins show what would be made of them."""
    made: dict[str, str] = {}

    def kind(name: str) -> Callable[..., str]:
        return lambda label, description, widget, validators: made.setdefault(label, name)

    wtforms = mocker.Mock(IntegerField=kind("integer"), StringField=kind("string"))
    modules = {"wtforms": wtforms, "wtforms.validators": mocker.Mock(), "flask_appbuilder": mocker.Mock()}
    mocker.patch.dict(sys.modules, modules | {"flask_appbuilder.fieldwidgets": mocker.Mock()})
    assert list(AltcraftHook.get_connection_form_widgets()) == [
        "list_id",
        "timeout",
        "max_connections",
        "requests_per_second",
        "auth",
        "verify",
        "proxy",
    ]
    assert made["Timeout (seconds)"] == "string"
    assert made["Connections"] == "integer"
    behaviour = AltcraftHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["login", "port", "schema", "extra"]
    assert behaviour["relabeling"]["password"] == "API token"


def _define(monkeypatch: pytest.MonkeyPatch, **connection: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps({"conn_type": "altcraft"} | connection))
