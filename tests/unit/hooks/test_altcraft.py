"""The hook against the emulator: what it asks, and what the connection test says."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.providers.common.compat.sdk import Connection
from airflow.secrets.local_filesystem import load_connections_dict

from airflow_provider.altcraft.client import TokenError
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.testing import Emulator, faults

Connect = Callable[..., str]
Define = Callable[..., None]


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
    events = list(AltcraftHook().iter_database_history(**window, fields=["CRM_ID"], page_size=1))
    assert sorted(event.action for event in events) == ["click", "open"]
    assert {"CRM_ID": "7"} in [event.model_extra["fields"] for event in events if event.model_extra]


def test_each_read_method_in_both_ways(api: Emulator) -> None:
    hook, window = AltcraftHook(), {"date_from": "2026-01-01", "date_to": "2026-01-03"}

    async def ask() -> Any:
        return (
            await hook.aget_history("ann@example.com", actions=["click"]),
            [event async for event in hook.aiter_database_history(**window, page_size=1)],
            [profile async for profile in hook.aiter_profiles(page_size=1)],
            await hook.alist_databases(),
        )

    history, database, profiles, databases = asyncio.run(ask())
    assert history == hook.get_history("ann@example.com", actions=["click"]) == []
    assert database == list(hook.iter_database_history(**window, page_size=1))
    assert profiles == list(hook.iter_profiles(page_size=1))
    assert databases == hook.list_databases()
    assert (len(database), len(profiles), len(databases)) == (3, 1, 1)


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
        ({"host": "https://example.com", "schema": "base"}, "https://example.com/base"),
        ({"host": "https://example.com", "schema": "/base/v2/", "port": 8443}, "https://example.com:8443/base/v2"),
        ({"host": "HTTPS://example.com/base", "schema": "https"}, "HTTPS://example.com/base"),
        ({"host": "example.com.", "port": 8443}, "https://example.com:8443"),
        ({"host": "https://example.com./a.b./"}, "https://example.com/a.b."),
    ],
)
def test_addresses(define: Define, connection: dict[str, Any], url: str) -> None:
    define(password="token", **connection)
    with AltcraftHook().get_conn() as client:
        assert client.settings.base_url == url


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("altcraft://:token@example.com", "https://example.com"),
        ("altcraft://:token@example.com:8443/http", "http://example.com:8443"),
        ("altcraft://https://:token@example.com:8443/base", "https://example.com:8443/base"),
        ("altcraft://http://:token@example.com/base/v2?list_id=3", "http://example.com/base/v2"),
        ("altcraft://:token@https%3A%2F%2Fexample.com%2Fbase", "https://example.com/base"),
    ],
)
def test_addresses_in_the_uri_form(monkeypatch: pytest.MonkeyPatch, uri: str, url: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", uri)
    with AltcraftHook().get_conn() as client:
        assert client.settings.base_url == url


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        ({"host": "example.com", "schema": "base"}, "schema: expected http or https, got 'base'"),
        ({"host": "https://example.com", "schema": "http"}, "schema: expected nothing where the host"),
        ({"host": "https://example.com/one", "schema": "two"}, "schema: expected nothing where the host"),
        ({"host": "https://example.com", "schema": "two?three"}, "only scheme, host, port and path belong there"),
        ({"host": "example.com", "extra": "list_id=20"}, "extra: expected a JSON object"),
        ({"host": "example.com", "extra": ["list_id"]}, "extra: expected a JSON object"),
    ],
)
def test_what_would_be_lost_of_a_connection_is_refused(define: Define, connection: dict[str, Any], said: str) -> None:
    define(password="token", **connection)
    with pytest.raises(ValueError, match=re.escape(said)):
        AltcraftHook().get_conn()


def test_no_port_is_read_out_of_an_address_without_brackets(define: Define, caplog: pytest.LogCaptureFixture) -> None:
    define(host="::1", port=8443, password="token")
    with pytest.raises(ValueError, match=re.escape("such as https://example.com or https://[::1], got 'https://::1'")):
        AltcraftHook().get_conn()
    assert "port" not in caplog.text


@pytest.mark.parametrize("extra", [None, "", "{}", " { } ", {"list_id": "", "timeout": None}])
def test_an_extra_with_nothing_in_it(define: Define, extra: Any) -> None:
    define(host="example.com", password="token", extra=extra)
    with AltcraftHook().get_conn() as client:
        assert client.settings.list_id is None


def test_what_a_connection_holds_without_effect_is_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    extra = {"listid": 20, "Timeout": 5, "max-connections": 3, "note": "ours", "list_id": 1}
    extra["extra__altcraft__list_id"] = "1"  # as the Test button of Airflow 2.11 sends it
    value = {"conn_type": "altcraft", "host": "example.com:1", "port": 2, "login": "ann", "password": "token"}
    monkeypatch.setenv("AIRFLOW_CONN_MISSPELT", json.dumps(value | {"extra": extra}))
    for _ in range(2):
        AltcraftHook("misspelt").get_conn().close()
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider.")]
    said = [record.getMessage() for record in ours if record.levelno >= logging.WARNING]
    unknown = "is not known and has no effect"
    assert sorted(said) == [
        f"Connection misspelt: the extra field 'Timeout' {unknown}; did you mean 'timeout'?",
        f"Connection misspelt: the extra field 'listid' {unknown}; did you mean 'list_id'?",
        f"Connection misspelt: the extra field 'max-connections' {unknown}; did you mean 'max_connections'?",
        f"Connection misspelt: the extra field 'note' {unknown}",
        "Connection misspelt: the field login has no effect; the token goes into the field password",
        "Connection misspelt: the field port, 2, has no effect, because the host names port '1'",
    ]


def test_the_uri_form_of_a_connection(altcraft_api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _, port = altcraft_api.url.removeprefix("http://").partition(":")
    uri = f"altcraft://:{altcraft_api.token}@{host}:{port}/http?list_id=1"
    monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", uri)
    assert AltcraftHook().test_connection()[0]


@pytest.mark.parametrize(("name", "whole"), [("a.env", True), ("a.json", True), ("a.yaml", True), ("json.env", False)])
def test_a_connection_moves_to_another_airflow(tmp_path: Path, name: str, whole: bool) -> None:
    """By the files of ``airflow connections export``, but for JSON within ``.env``."""
    extra = {"list_id": 20, "timezone": "Europe/Moscow"}
    fields = {"conn_type": "altcraft", "host": "https://example.com:8443/base", "password": "t/k+n"}
    connection = Connection(conn_id="crm", **fields, extra=json.dumps(extra))
    values = json.loads(connection.as_json())
    texts = {
        "a.env": f"crm={connection.get_uri()}\n",
        "a.json": json.dumps({"crm": values}),
        "a.yaml": yaml.safe_dump({"crm": values}),
        "json.env": f"crm={connection.as_json()}\n",
    }
    (tmp_path / name).write_text(texts[name])
    found = load_connections_dict(str(tmp_path / name))["crm"]
    assert ({field: getattr(found, field) for field in fields} == fields) is whole
    assert (found.extra_dejson == extra) is whole


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
        "timezone",
        "timeout",
        "max_connections",
        "requests_per_second",
        "outage_timeout",
        "auth",
        "verify",
        "proxy",
        "on_missing_profile",
        "profile_url",
        "campaign_url",
    ]
    assert made["Timeout (seconds)"] == "string"
    assert made["Connections"] == "integer"
    behaviour = AltcraftHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["login", "schema"]
    assert behaviour["relabeling"]["password"] == "API token *"
