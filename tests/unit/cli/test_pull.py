"""The command that pulls: what its operator is given, and what comes of it."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.testing import Emulator

Ask = Callable[..., str]
Fail = Callable[..., tuple[int, str]]
DAYS = ["--date-from", "2026-01-02", "--date-to", "2026-01-03"]


@pytest.fixture
def api(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Emulator:
    connect(altcraft_api)
    altcraft_api.seed(profiles=20, events_per_profile=30, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), days=5)
    monkeypatch.chdir(tmp_path)
    return altcraft_api


@pytest.mark.usefixtures("api")
def test_a_whole_database_is_pulled_as_by_the_operator(ask: Ask, tmp_path: Path) -> None:
    result = json.loads(ask("pull", "--target", "cli.parquet", *DAYS, "--timezone", "Europe/Moscow", "-o", "json"))
    operator = AltcraftDatabaseHistoryOperator(
        task_id="pull",
        target=f"{tmp_path}/operator.parquet",
        date_from="2026-01-02",
        date_to="2026-01-03",
        timezone="Europe/Moscow",
    )
    expected = operator.execute({})
    del expected["summary"]  # for the page in Airflow
    assert result == expected | {"uris": [f"file://{tmp_path}/cli.parquet"]}
    assert result["window"]["start"] == "2026-01-01T21:00:00+00:00"
    assert result["rows"] > 100
    assert pq.read_table(tmp_path / "cli.parquet").equals(pq.read_table(tmp_path / "operator.parquet"))


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize(
    ("arguments", "profiles"),
    [
        (["--profile", "user0@example.com", "--profile", "user1@example.com"], 2),
        (["--profile", "0" * 15 + "3", "--matching", "xxh"], 1),
        (["--profile", "+79000000004", "--matching", "phone"], 1),
        (["--profiles", "emails.csv"], 3),
        (["--profiles", "crm.csv", "--column", "mail"], 2),
        (["--profiles", "crm.csv", "--column", "phone", "--matching", "phone"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_profiles_are_pulled(arguments: list[str], profiles: int, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "emails.csv").write_text("email\nuser1@example.com\nuser2@example.com\nuser3@example.com\n")
    (tmp_path / "crm.csv").write_text("mail,phone\nuser1@example.com,+79000000001\nuser2@example.com,+79000000002\n")
    result = json.loads(ask("pull", "--target", "history.csv", *arguments, "-o", "json"))
    assert (result["profiles"], result["rows"], result["failed_profiles"]) == (profiles, 30 * profiles, [])
    with (tmp_path / "history.csv").open() as file:
        assert len({row["xxh"] for row in csv.DictReader(file)}) == profiles


def test_a_custom_field_is_compared(api: Emulator, ask: Ask, tmp_path: Path) -> None:
    api.add_profile(email="ann@example.com", custom={"CRM_ID": "7"})
    api.add_event("ann@example.com", "click")
    (tmp_path / "crm.csv").write_text("crm\n7\n")
    for arguments in (["--profile", "7"], ["--profiles", "crm.csv", "--column", "crm", "--matching", "custom"]):
        command = ["pull", "--target", "a.jsonl", "--field-name", "CRM_ID", *arguments, "-o", "json"]
        assert json.loads(ask(*command))["rows"] == 1


@pytest.mark.usefixtures("api")
def test_a_folder_of_parts_stays_one(ask: Ask, tmp_path: Path) -> None:
    said = ask("pull", "--target", "parts/", "--profile", "user0@example.com")
    assert (tmp_path / "parts" / "_manifest.json").exists()
    rows = dict(line.split(" | ") for line in said.splitlines() if " | " in line)
    table = {name.strip(): value.strip() for name, value in rows.items()}
    assert table.keys() == {"name", "uris", "rows", "bytes", "window", "profiles"}
    assert (table["rows"], table["profiles"]) == ("30", "1")


def test_profiles_that_fail_may_be_passed_over(api: Emulator, ask: Ask, fail: Fail) -> None:
    api.unknown_profile = "error"
    asked = ["pull", "--target", "a.csv", "--profile", "user0@example.com", "--profile", "bob@example.com"]
    assert json.loads(ask(*asked, "--on-profile-error", "skip", "-o", "json"))["profiles"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--date-from, --date-to: the history of a whole database needs both"),
        (
            [*DAYS, "--profiles", "a.csv", "--profile", "a@example.com"],
            "--profiles, --profile: expected one of the two",
        ),
        (["--profile", "ann"], "profiles[0]: email: expected an e-mail address, got another value (not shown)"),
        (["--profiles", "a.txt"], "--profiles: "),
        ([*DAYS, "--matching", "phone"], "--matching: expected --profiles or --profile with it"),
        ([*DAYS, "--on-profile-error", "skip"], "--on-profile-error: expected --profiles or --profile with it"),
        (["--profile", "a@example.com", "--column", "x"], "--column: expected --profiles with it"),
        (
            ["--profile", "7", "--matching", "push_sub"],
            "--profile: expected none with --matching push_sub, which takes",
        ),
        (["--date-from", "2026-01-03", "--date-to", "2026-01-02"], "--date-to (2026-01-02) is before --date-from"),
        ([*DAYS, "--target", "{{ ds }}.csv"], "--target: expected a path or URI, got a template"),
        ([*DAYS, "--target", "history"], "--target: "),
        ([*DAYS, "--target", "s3://u:secret@bucket/a.csv"], "--target: "),
        ([*DAYS, "--list-id", "0"], "--list-id: expected the integer id of a profile database, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: list[str], said: str, api: Emulator, fail: Fail) -> None:
    code, error = fail("pull", "--target", "a.csv", *arguments)
    assert (code, error.startswith(f"error: {said}")) == (2, True), error
    assert "secret" not in error
    assert not api.requests


def test_what_fails_is_one_line_and_leaves_nothing(
    api: Emulator, connect: Callable[..., str], fail: Fail, tmp_path: Path
) -> None:
    assert fail("pull", "--target", "a.csv", "--profiles", "missing.csv")[0] == 1
    connect(api, token="wrong-t0ken")
    code, error = fail("pull", "--target", "a.csv", *DAYS)
    assert (code, "wrong-t0ken" in error) == (1, False)
    assert list(tmp_path.iterdir()) == []
