"""The counts in an operator's result: of all that was pulled, also where an earlier attempt pulled a part of it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.operators.whole_database import START, Connect

EMAILS = [f"user{number}@example.com" for number in range(40)]
HISTORY = "subscribers/history_get"


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.seed(profiles=40, events_per_profile=30, start=START, days=10)
    return altcraft_api


def profiles_pull(folder: Path, **how: Any) -> AltcraftHistoryOperator:
    target = ObjectStorageTarget(f"{folder}/", part_rows=100)
    operator = AltcraftHistoryOperator(task_id="pull", profiles=EMAILS, target=target, concurrency=1, **how)
    operator.pull_sizes = PullSizes(kept_profiles=5, batch_rows=100)  # type: ignore[misc]
    return operator


def database_pull(folder: Path) -> AltcraftDatabaseHistoryOperator:
    target = ObjectStorageTarget(f"{folder}/", part_rows=100)
    operator = AltcraftDatabaseHistoryOperator(
        task_id="pull", target=target, date_from="2026-01-01", date_to="2026-01-10", page_size=50, parallel_ranges=2
    )
    operator.pull_sizes = PullSizes(batch_rows=100)  # type: ignore[misc]
    return operator


def test_of_profiles(api: Emulator, tmp_path: Path) -> None:
    result = profiles_pull(tmp_path, timezone="Asia/Vladivostok").execute({})
    summary = result["summary"]
    assert summary["events"] == result["rows"] == 1200
    assert summary["timezone"] == "Asia/Vladivostok"
    assert Counter({each["action"]: each["events"] for each in summary["by_action"]}) == Counter(
        row["action"] for row in api.events()
    )
    assert "@" not in json.dumps(summary)


@pytest.mark.parametrize("died_after", [1, 12, 39])
def test_of_profiles_that_an_earlier_attempt_has_begun(api: Emulator, tmp_path: Path, died_after: int) -> None:
    whole = profiles_pull(tmp_path / "whole").execute({})
    api.play_forever(faults.error(400, "no"), lookup=EMAILS[died_after])
    with pytest.raises(AirflowFailException):
        profiles_pull(tmp_path / "again").execute({})
    api.reset()
    again = profiles_pull(tmp_path / "again").execute({})
    assert (api.request_count < 40) is (died_after > 5)
    assert again["summary"] == whole["summary"]


def test_of_a_database_that_an_earlier_attempt_has_begun(api: Emulator, tmp_path: Path) -> None:
    whole = database_pull(tmp_path / "whole").execute({})
    needed = api.request_count
    assert whole["summary"]["events"] == whole["rows"] == 1200
    api.reset()
    api.play(*[faults.ok()] * (needed // 2), faults.error(401, "no"))
    with pytest.raises(AirflowFailException):
        database_pull(tmp_path / "again").execute({})
    api.reset()
    again = database_pull(tmp_path / "again").execute({})
    assert api.request_count < needed
    assert again["summary"] == whole["summary"]


def test_of_one_that_a_version_without_counts_has_begun(api: Emulator, tmp_path: Path) -> None:
    """What it pulled is not counted, and the numbers say so."""
    api.play_forever(faults.error(400, "no"), lookup=EMAILS[20])
    with pytest.raises(AirflowFailException):
        profiles_pull(tmp_path).execute({})
    for path in tmp_path.glob("_part-*.json"):
        note = json.loads(path.read_text())
        del note["state"]["summary"]
        path.write_text(json.dumps(note))
    api.reset()
    result = profiles_pull(tmp_path).execute({})
    assert result["rows"] == 1200
    assert 0 < result["summary"]["events"] < 1200


def test_a_second_walk_is_counted_by_itself(api: Emulator, tmp_path: Path) -> None:
    """A database whose order proves to be another one is walked again from its beginning."""
    api.add_event(api.add_profile(), "open", at=dt.datetime(2026, 1, 5, tzinfo=dt.UTC))
    result = database_pull(tmp_path)
    result.parallel_ranges, result.parallel_partitions = None, 3
    found = result.execute({})
    assert found["summary"]["events"] == found["rows"] == 1201
