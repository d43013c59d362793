"""The commands that look: what they print, in each format, and how they fail."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from airflow.utils.session import create_session

from airflow_provider.altcraft.__main__ import main
from airflow_provider.altcraft._airflow.connection_tests import last_tests
from airflow_provider.altcraft.cli import look
from airflow_provider.altcraft.testing import Emulator, faults

ANN = "ann@example.com"
NIGHT = dt.datetime(2026, 11, 1, 22, 30, tzinfo=dt.UTC)  # the 2nd in Moscow


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email=ANN, phone="+79000000000", custom={"CRM_ID": "7"})
    altcraft_api.add_event(ANN, "click", at=NIGHT, message_id=5, message_name="Привет, [red]мир")
    altcraft_api.add_event(ANN, "open", at=NIGHT - dt.timedelta(hours=2))
    altcraft_api.add_event(ANN, "confirm", at=NIGHT + dt.timedelta(days=2))
    return altcraft_api


Ask = Callable[..., str]
Fail = Callable[..., tuple[int, str]]


@pytest.mark.usefixtures("api")
def test_a_history_is_a_timeline(ask: Ask) -> None:
    header, _, *rows = ask("history", ANN, "--timezone", "Europe/Moscow").splitlines()
    assert [name.strip() for name in header.split("|")][:3] == ["datetime", "action", "channel"]
    cells = [[cell.strip() for cell in row.split("|")] for row in rows if row.strip()]
    assert [row[:2] for row in cells] == [
        ["2026-11-01T23:30:00+03:00", "open"],
        ["2026-11-02T01:30:00+03:00", "click"],
        ["2026-11-04T01:30:00+03:00", "confirm"],
    ]
    assert cells[1][4] == "Привет, [red]мир"


@pytest.mark.usefixtures("api")
def test_actions_and_days_of_a_zone_narrow_it_down(ask: Ask) -> None:
    def actions(*arguments: str) -> list[str]:
        return [row["action"] for row in json.loads(ask("history", ANN, "-o", "json", *arguments))]

    assert actions("--actions", "click,open") == ["open", "click"]
    assert actions("--since", "2026-11-02") == ["confirm"]
    assert actions("--since", "2026-11-02", "--timezone", "Europe/Moscow") == ["click", "confirm"]
    assert actions("--until", "2026-11-01") == ["open", "click"]
    assert actions("--since", "2026-11-01T22:30:00Z", "--until", "2026-11-03T22:30:00Z") == ["click"]


@pytest.mark.parametrize(
    "arguments",
    [
        [ANN],
        ["--email", ANN],
        [ANN, "--matching", "email_profile"],
        ["--phone", "+79000000000"],
        ["+79000000000", "--matching", "phone"],
        ["--field-name", "CRM_ID", "--field-value", "7"],
        ["--matching", "custom", "--field-name", "CRM_ID", "--field-value", "7"],
        [ANN, "--phone", "+79000000000"],
    ],
    ids=" ".join,
)
def test_a_person_is_found_by_each_kind_of_lookup(arguments: list[str], api: Emulator, ask: Ask) -> None:
    assert len(json.loads(ask("history", *arguments, "--output", "json"))) == 3
    assert len(api.requests) == 1


@pytest.mark.parametrize("key", ["xxh", "profile_id"])
def test_and_by_what_its_rows_name(key: str, ask: Ask, api: Emulator) -> None:
    rows = json.loads(ask("history", ANN, "-o", "json"))
    assert json.loads(ask("history", f"--{key.replace('_', '-')}", rows[0][key], "-o", "json")) == rows
    assert json.loads(ask("history", rows[0][key], "--matching", key, "-o", "json")) == rows
    assert len(api.requests) == 3


@pytest.mark.usefixtures("api")
def test_json_yaml_and_csv_hold_the_same(ask: Ask) -> None:
    printed = ask("history", ANN, "-o", "json")
    rows: list[dict[str, Any]] = json.loads(printed)
    assert yaml.safe_load(ask("history", ANN, "-o", "yaml")) == rows
    assert "Привет" in printed
    assert "Привет" in ask("history", ANN, "-o", "yaml")
    table = list(csv.DictReader(io.StringIO(ask("history", ANN, "-o", "csv"))))
    for flat, row in zip(table, rows, strict=True):
        assert flat.keys() == row.keys()
        assert (flat["datetime"], flat["action"], flat["message_name"]) == (
            row["datetime"],
            row["action"],
            row["message_name"] or "",
        )
        assert json.loads(flat["extra"]) == row["extra"]


def test_what_the_platform_may_send_moves_no_cursor(api: Emulator, ask: Ask) -> None:
    api.add_event(ANN, "open", at=NIGHT, message_name="a\x1b[2Jb\nc")
    assert "a [2Jb c" in ask("history", ANN)


@pytest.mark.usefixtures("api")
def test_of_nobody_there_is_nothing(ask: Ask) -> None:
    assert json.loads(ask("history", "bob@example.com", "-o", "json")) == []
    assert ask("history", "bob@example.com") == "No data found\n"
    assert ask("history", "bob@example.com", "-o", "csv").startswith("datetime,action,")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "PROFILE: missing; expected an e-mail, or fields of a lookup such as --phone"),
        (["ann"], "email: expected an e-mail address, got another value (not shown)"),
        ([ANN, "--email", ANN], "--email: given twice, by PROFILE too"),
        (["7", "--matching", "custom"], "PROFILE: expected none with --matching custom, which takes --field-name and"),
        (["--phone", "+79000000000", "--xxh", "0" * 16], "phone: a profile is looked up by xxh or by matching"),
        ([ANN, "--since", "yesterday"], "--since: 'yesterday' is neither a date"),
        ([ANN, "--since", "2026-11-02", "--until", "2026-11-01"], "--until (2026-11-01) is before --since"),
        ([ANN, "--timezone", "Moscow"], "--timezone: expected the IANA name"),
        ([ANN, "--list-id", "x"], "--list-id: expected the integer id of a profile database, got 'x'"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_request(
    arguments: list[str], said: str, api: Emulator, fail: Fail
) -> None:
    code, error = fail("history", *arguments)
    assert (code, error.startswith(f"error: {said}")) == (2, True), error
    assert ANN not in error
    assert not api.requests


def test_an_action_that_is_none_is_warned_of(api: Emulator, capsys: pytest.CaptureFixture[str], caplog: Any) -> None:
    main(["history", ANN, "--actions", "clik", "-o", "json"])
    assert json.loads(capsys.readouterr().out) == []
    assert "'clik' is not a documented action; did you mean 'click'?" in caplog.text
    assert len(api.requests) == 1


def test_databases(api: Emulator, ask: Ask) -> None:
    api.add_database(20)
    rows = json.loads(ask("databases", "-o", "json"))
    assert [row["id"] for row in rows] == [1, 20]
    assert ask("databases", "-o", "csv").splitlines()[0] == "id,name,description"
    assert f"20 | {rows[1]['name']}" in ask("databases")


@pytest.fixture
def dense(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    """Of an account in Moscow, with events in each quarter of an hour."""
    connect(altcraft_api)
    altcraft_api.timezone = "Europe/Moscow"
    midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    altcraft_api.seed(profiles=5, events_per_profile=400, start=midnight - dt.timedelta(days=4), days=4)
    return altcraft_api


@pytest.mark.usefixtures("dense")
def test_the_time_zone_is_found_by_events(ask: Ask) -> None:
    said = ask("timezone")
    assert said.startswith("Days are counted in UTC+03:00, by ")
    assert said.endswith("such as Europe/Moscow.\n")
    found = json.loads(ask("timezone", "-o", "json"))
    assert (found["least_offset_minutes"], found["most_offset_minutes"]) == (180, 180)
    assert found["message"] == said.rstrip()
    assert said.rstrip() in ask("test")  # the same text


def test_where_there_are_no_events_there_is_none_to_find(dense: Emulator, fail: Fail) -> None:
    dense.add_database(20)
    expected = "error: database 20: expected events of recent days that show the time zone; it has none"
    assert fail("timezone", "--list-id", "20") == (1, expected)


@pytest.mark.usefixtures("api")
def test_a_connection_is_tested_as_by_its_page(ask: Ask) -> None:
    assert ask("test").startswith("The platform answers; the token sees 1 database: 1 ")
    assert json.loads(ask("test", "altcraft_default", "-o", "json"))["status"] is True


@pytest.mark.usefixtures("api", "airflow_db")
@pytest.mark.parametrize("error", [KeyError, OSError])
def test_a_connection_is_tested_by_a_user_without_a_name(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """As in a container that runs as any number; before Python 3.13 the error is another."""

    def refuse() -> str:
        raise error("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(look, "getuser", refuse)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert ask("test").startswith("The platform answers")
    with create_session() as session:
        assert last_tests(session)["altcraft_default"].owner == "12345"


def test_and_where_it_fails_so_does_the_command(
    api: Emulator, connect: Callable[..., str], fail: Fail, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(api, "other", token="wrong-t0ken")
    code, error = fail("test", "other")
    assert code == 1
    assert "token" in error
    assert "wrong-t0ken" not in error
    with pytest.raises(SystemExit) as ended:
        main(["test", "other", "-o", "json"])
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["status"], f"error: {said['message']}") == (False, error)


@pytest.mark.usefixtures("airflow_db")
def test_a_connection_that_is_not_there(fail: Fail) -> None:
    for command in ("databases", "timezone"):
        code, error = fail(command, "--conn-id", "nope")
        assert (code, "nope" in error) == (1, True)


def test_what_the_platform_answers_wrongly_is_one_line(api: Emulator, fail: Fail) -> None:
    api.play(*[faults.status(500)] * 5)
    code, error = fail("history", ANN)
    assert (code, "500" in error, ANN in error) == (1, True, False)
