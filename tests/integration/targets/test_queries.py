"""The views of docs/queries.md, made in real databases over a real pull, give what its events say."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Database

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.testing import Emulator

PAGE = Path(__file__).parents[3] / "docs" / "queries.md"
PLAIN, _, OF_CLICKHOUSE = PAGE.read_text().partition("\n## ClickHouse\n")
VIEW = re.compile(r"```sql\n(CREATE VIEW (\w+) .*?;)\n```", re.DOTALL)
VIEWS = VIEW.findall(PLAIN)
MONDAY = dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob", "eve"):
        altcraft_api.add_profile(email=f"{name}@example.com")

    def event(name: str, action: str, days: float, **fields: Any) -> None:
        at = MONDAY + dt.timedelta(days=days)
        altcraft_api.add_event(f"{name}@example.com", action, at=at, **fields)

    spring = {"campaign_id": 7, "campaign_name": "Spring"}
    for name in ("ann", "bob", "eve"):
        event(name, "send", 0, **spring)
    event("ann", "deliv", 0.1, **spring)
    event("bob", "deliv", 0.1, **spring)
    for days in (0.2, 0.3):  # twice by one person
        event("ann", "open", days, **spring)
    event("ann", "click", 1, **spring)
    event("bob", "click", 8, **spring)
    event("eve", "send", 2)
    event("eve", "confirm", 2 + 1 / 48)
    return altcraft_api


@pytest.fixture(params=["postgres", "duckdb"])
def history(request: pytest.FixtureRequest, api: Emulator) -> Iterator[tuple[Database, str]]:
    database: Database = request.getfixturevalue(request.param)
    table = database.new_table()
    AltcraftDatabaseHistoryOperator(
        task_id="pull", date_from="2026-01-05", date_to="2026-01-31", target=f"sql://{database.conn_id}/{table}"
    ).execute({})
    for sql, name in VIEWS:
        database.execute(re.sub(rf"\b{name}\b", f"{name}_{table}", re.sub(r"\bhistory\b", table, sql)))
    yield database, table
    for _, name in VIEWS:
        database.execute(f"DROP VIEW {name}_{table}")


def test_every_view_of_the_page(history: tuple[Database, str]) -> None:
    database, table = history
    assert [name for _, name in VIEWS] == ["campaign_funnel", "weekly_cohort", "time_to_confirm"]
    funnel = database.execute(f"SELECT * FROM campaign_funnel_{table} WHERE campaign_id = 7")
    assert funnel == [(7, "Spring", 3, 2, 1, 2)]
    cohort = database.execute(
        f"SELECT cohort, weeks_later, clicked, of_people FROM weekly_cohort_{table} ORDER BY weeks_later"
    )
    week = MONDAY.replace(hour=0, tzinfo=None)
    assert [(_moment(first), *rest) for first, *rest in cohort] == [(week, 0, 1, 3), (week, 1, 1, 3)]
    ((minutes,),) = database.execute(f"SELECT minutes FROM time_to_confirm_{table}")
    assert float(minutes) == pytest.approx(30)
    ((median,),) = database.execute(
        f"SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes) FROM time_to_confirm_{table}"
    )
    assert float(median) == pytest.approx(30)


def _moment(value: Any) -> Any:
    return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())
