"""What the hook's ``test_connection`` says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.testing import Emulator, faults

Connect = Callable[..., str]
Define = Callable[..., None]


class TestConnectionTest:
    """What ``test_connection`` says."""

    def test_fine(self, api: Emulator) -> None:
        api.add_database(7, name="Loyalty")
        assert AltcraftHook().test_connection() == (
            True,
            "The platform answers; the token sees 2 databases: 1 Database #1, 7 Loyalty.",
        )
        api.revoke(7)
        assert AltcraftHook().test_connection()[1].endswith("sees 1 database: 1 Database #1.")

    def test_many_databases(self, api: Emulator) -> None:
        for list_id in range(2, 14):
            api.add_database(list_id, name="Other")
        message = AltcraftHook().test_connection()[1]
        assert "sees 13 databases: 1 Database #1, 2 Other, " in message
        assert message.endswith("10 Other, and 3 more.")

    def test_a_database_that_the_token_does_not_see(self, api: Emulator, connect: Connect) -> None:
        connect(api, list_id=20)
        said = "list_id: expected a database that the token sees, got 20; it sees 1 database: 1 Database #1"
        assert AltcraftHook().test_connection() == (False, said)

    def test_nothing_filled_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", '{"conn_type": "altcraft"}')
        well, message = AltcraftHook().test_connection()
        assert not well
        assert message.startswith("host, password: missing; expected the address of the installation")

    @pytest.mark.parametrize(
        ("zone", "set_to", "said"),
        [
            (
                "Europe/Moscow",
                None,
                "UTC+03:00, by 96 events of {}; set timezone to the name of the account's time zone",
            ),
            ("Europe/Moscow", None, "such as Europe/Moscow."),
            ("Europe/Moscow", "Europe/Moscow", "UTC+03:00, by 96 events of {}, as timezone says."),
            (
                "Asia/Kathmandu",
                None,
                "UTC+05:45, by 96 events of {}; set timezone to the name of the account's time zone.",
            ),
            ("Etc/GMT+12", None, "UTC-12:00, by"),
            (
                "Pacific/Kiritimati",
                "UTC",
                "UTC+14:00, by 96 events of {}, but timezone, UTC, is UTC+00:00:",
            ),
        ],
    )
    def test_the_zone_by_real_events(self, api: Emulator, connect: Connect, zone: str, set_to: Any, said: str) -> None:
        api.timezone = zone
        connect(api, **({"timezone": set_to} if set_to else {}))
        ann, now = api.add_profile(), dt.datetime.now(dt.UTC).replace(minute=1, second=0, microsecond=0)
        for quarter in range(-5 * 96, 0):
            api.add_event(ann, "open", at=now + quarter * dt.timedelta(minutes=15), message_id=1 - quarter)
        well, message = AltcraftHook().test_connection()
        assert well
        assert message.startswith(
            "The platform answers; the token sees 1 database: 1 Database #1. Days are counted in UTC"
        )
        assert said.format(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=2)) in message
        assert len(api.requests) == 3  # two list the databases

    def test_the_zone_by_few_events(self, api: Emulator, connect: Connect) -> None:
        day = dt.datetime.now(dt.UTC).replace(hour=3, minute=0, second=0, microsecond=0) - dt.timedelta(days=2)
        for hours in (0, 16):
            api.add_event(api.add_profile(), "open", at=day + dt.timedelta(hours=hours))
        said = f" Days are counted in a zone from UTC-03:00 to UTC+04:45, by 2 events of {day.date()}"
        advice = "; set timezone to the name of the account's time zone."
        assert AltcraftHook().test_connection()[1].endswith(said + advice)
        connect(api, timezone="Europe/Moscow")
        assert AltcraftHook().test_connection()[1].endswith(f"{said}; timezone, Europe/Moscow, is one.")
        connect(api, timezone="Asia/Tokyo")
        assert "but timezone, Asia/Tokyo, is UTC+09:00: correct it." in AltcraftHook().test_connection()[1]

    def test_a_refused_look_at_the_zone_is_no_failure(self, api: Emulator) -> None:
        api.play_forever(faults.error(403, "No access"), method="subscribers/history_get_all")
        assert AltcraftHook().test_connection() == (
            True,
            "The platform answers; the token sees 1 database: 1 Database #1.",
        )

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            ("http://no-such-host.invalid", "no such host"),
            ("", "host: missing"),
            ("ftp://example.com", "expected an address"),
        ],
    )
    def test_wrong_host(self, define: Define, host: str, said: str) -> None:
        define(host=host, password="token")
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message

    def test_refused(self, define: Define) -> None:
        define(host="http://127.0.0.1:1", password="token")
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
            (faults.stall(), "no whole answer within 2 s"),
            (faults.html(200), "is the connection's host right?"),
            (faults.html(404), "is the connection's host right?"),
            (faults.error(401, "Token required"), "does not accept the token"),
            (faults.error(403, "No access"), "has no right to this"),
            (faults.error(402, "Tariff"), "tariff"),
            (faults.status(503), "the server failed"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_distinguished_after_one_try(self, api: Emulator, connect: Connect, fault: Any, said: str) -> None:
        connect(api, timeout=2 if "2 s" in said else 20)
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
            ({"list_id": "main"}, "list_id: expected the integer id of a profile database, got 'main'"),
            ({"list_id": 20.7}, "list_id: expected the integer id of a profile database, got 20.7"),
            ({"list_id": "20.7"}, "list_id: expected the integer id of a profile database, got '20.7'"),
            ({"list_id": "2_0"}, "list_id: expected the integer id of a profile database, got '2_0'"),
            ({"list_id": True}, "list_id: expected the integer id of a profile database, got True"),
            ({"list_id": [20]}, "list_id: expected the integer id of a profile database, got [20]"),
            ({"list_id": 0}, "list_id: expected the integer id of a profile database, got 0"),
            ({"timeout": "soon"}, "timeout: expected a number of seconds above 0, a day's at most, got 'soon'"),
            ({"timeout": -1}, "timeout: expected a number of seconds above 0, a day's at most, got -1"),
            ({"timeout": True}, "timeout: expected a number of seconds above 0, a day's at most, got True"),
            ({"timeout": {}}, "timeout: expected a number of seconds above 0, a day's at most, got {}"),
            ({"max_connections": 0}, "max_connections: expected a whole number from 1 on, got 0"),
            ({"max_connections": 2.9}, "max_connections: expected a whole number from 1 on, got 2.9"),
            ({"max_connections": True}, "max_connections: expected a whole number from 1 on, got True"),
            ({"requests_per_second": 0}, "requests_per_second: expected a number above 0, or nothing, got 0"),
            ({"requests_per_second": True}, "requests_per_second: expected a number above 0, or nothing, got True"),
            ({"auth": "url"}, "auth: expected 'body' or 'header', got 'url'"),
            ({"auth": ["body"]}, "auth: expected 'body' or 'header', got ['body']"),
            ({"on_missing_profile": {}}, "on_missing_profile: expected 'empty' or 'error', got {}"),
            ({"verify": "/no/such/file.pem"}, "no CA file"),
            ({"proxy": "ftp://proxy.example.com"}, "proxy: expected an address such as"),
            ({"proxy": 3128}, "proxy: expected an address such as"),
        ],
    )
    def test_fields_that_do_not_fit(self, api: Emulator, connect: Connect, extra: dict[str, Any], said: str) -> None:
        connect(api, **extra)
        well, message = AltcraftHook().test_connection()
        assert not well
        assert said in message
        assert api.requests == []
