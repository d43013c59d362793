"""The way of databases that have none of their own, on two that do."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets.sql import target as sql
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sql, "_session_class", lambda hook: OtherSession)
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("disposition", "rows"), [("merge", 120), ("replace", 120), ("append", 220)], ids=["merge", "replace", "append"]
)
def test_written_twice(place: Any, batch: Any, disposition: str, rows: int) -> None:
    table = place.new_table()
    for count in (100, 120):
        writer = place.target(table, disposition).open(Scope(1, None))
        writer.write(batch(count))
        assert writer.commit().rows == count
    assert place.count(table) == rows


def test_a_failed_commit_leaves_it_as_it_was(place: Any, batch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    table = place.new_table()
    writer = place.target(table, "merge").open(Scope(1, None))
    writer.write(batch(10))
    writer.commit()

    def fail(self: Any) -> None:
        raise OSError("the commit failed")

    writer = place.target(table, "merge").open(Scope(1, None))
    writer.write(batch(50))
    monkeypatch.setattr(OtherSession, "commit", fail)
    with pytest.raises(OSError, match="the commit failed"):
        writer.commit()
    assert place.count(table) == 10
