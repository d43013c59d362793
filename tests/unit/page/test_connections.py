"""What the page lists of connections, whatever Airflow's database holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow
import pytest

if airflow.__version__.startswith("2."):
    pytest.skip("left out: Airflow 2.11 has no pages of plugins of this kind", allow_module_level=True)

from airflow.models import crypto
from airflow.models.connection import Connection
from airflow.models.log import Log
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from cryptography.fernet import Fernet
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from airflow_provider.altcraft._airflow import connection_tests
from airflow_provider.altcraft._airflow.connection_tests import EVENT, keep_test, last_tests
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.page import _connections
from airflow_provider.altcraft.page._connections import connection_lines, run_test

ROOT = Path(__file__).parents[3]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    use_key(monkeypatch)
    engine = create_engine("sqlite://")
    for model in (Connection, Log):
        model.__table__.create(engine)  # type: ignore[attr-defined]
    with Session(engine) as made:
        yield made
    crypto.get_fernet.cache_clear()


def use_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    crypto.get_fernet.cache_clear()


def add(session: Session, *conn_ids: str, extra: str | None = '{"list_id": 7}', host: str | None = "https://h") -> None:
    for conn_id in conn_ids:
        session.add(Connection(conn_id=conn_id, conn_type="altcraft", host=host, password="secret", extra=extra))
    session.commit()
    session.expunge_all()


def listed(session: Session) -> list[tuple[str, str, str]]:
    lines = connection_lines(session, lambda *_: True).lines
    return [(each.conn_id, each.address, each.database) for each in lines]


@pytest.mark.parametrize("extra", ["[1]", "{nope", '"text"'])
def test_an_extra_that_is_no_object_hides_no_other_connection(session: Session, extra: str) -> None:
    add(session, "a", "b")
    broken = text("UPDATE connection SET extra = :extra, is_extra_encrypted = 0 WHERE conn_id = 'a'")
    session.execute(broken, {"extra": extra})
    assert listed(session) == [("a", "https://h", "cannot be read"), ("b", "https://h", "7")]


def test_connections_of_another_fernet_key_are_listed(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    add(session, "old")
    use_key(monkeypatch)
    add(session, "new")
    assert listed(session) == [("new", "https://h", "7"), ("old", "https://h", "cannot be read")]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("https://h:8443/path", "https://h:8443/path"),
        ("h.example.com", "h.example.com"),
        ("https://ann:secret@h", "https://***@h"),
        ("https://secret@h", "https://***@h"),
        ("ann:secret@h", "***@h"),
        ("https://ann:a secret@h", "https://***@h"),
        ("ann:secret//secret@h", "***@h"),
        ("h?token=secret", "h?…"),
        ("https://h/path#secret", "https://h/path#…"),
    ],
)
def test_an_address_is_listed_without_what_may_be_secret_in_it(session: Session, host: str, shown: str) -> None:
    """The client refuses such an address, so that this is what its owner looks for here."""
    add(session, "a", host=host)
    assert listed(session) == [("a", shown, "7")]


def test_without_host_or_database(session: Session) -> None:
    add(session, "a", extra=None, host=None)
    assert listed(session) == [("a", "", "")]


@pytest.mark.parametrize(
    "extra",
    [None, "", "nope", "[]", "{}", '{"conn_id": "a"}', '{"conn_id": ["a"], "status": true, "message": ""}'],
)
def test_what_is_no_test_in_the_audit_log_is_passed_over(session: Session, extra: str | None) -> None:
    keep_test(session, "a", status=True, message="well", owner="ann")
    session.add(Log(event=EVENT, owner="eve", extra=extra))
    session.commit()
    (found,) = last_tests(session).items()
    assert (found[0], found[1].owner, found[1].message) == ("a", "ann", "well")


def test_a_viewer_s_connections_are_found_behind_others(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connections, "_MOST", 2)
    add(session, "a", "b", "c", "m1", "m2", "m3")
    for seen, more in ((("m1", "m2", "m3"), True), (("m2", "m3"), False)):
        found = connection_lines(session, lambda method, conn_id, seen=seen: method == "GET" and conn_id in seen)
        assert ([each.conn_id for each in found.lines], found.more) == (list(seen[:2]), more)
        assert not any(each.testable for each in found.lines)


def test_what_airflow_cannot_read_fails_its_test(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise AirflowNotFoundException("The conn_id `a` isn't defined")

    monkeypatch.setattr(AltcraftHook, "client_arguments", refuse)
    add(session, "a")
    assert run_test(session, "a", "ann")
    test = last_tests(session)["a"]
    assert (test.status, test.owner) == (False, "ann")
    assert "cannot read this connection" in test.message
    assert not run_test(session, "b", "ann")
    assert list(last_tests(session)) == ["a"]


@pytest.mark.parametrize("path", ["airflow_provider/altcraft/page/templates/menu.html", "docs/page.md"])
def test_it_is_said_among_how_many_tests_the_last_ones_are_found(path: str) -> None:
    words = " ".join((ROOT / path).read_text().split())
    assert f"last {connection_tests._LOOKED_AT} tests" in words
