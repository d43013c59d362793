"""Pulls into a table in tests: each event says who pulled it, and what is held is seen by day."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now

from airflow_provider.altcraft.targets import Scope, SqlTarget, TargetWriter
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch
from tests.integration.databases import Database

DAYS = [dt.date(2026, 1, number) for number in range(1, 6)]

ANN, BOB = [("email", "ann@example.com")], [("email", "bob@example.com")]


def begin(target: SqlTarget, first: int, last: int, lookups: Any = ANN, list_id: int = 1) -> TargetWriter:
    return target.open(Scope(list_id, lookups, Window.of(DAYS[first], DAYS[last])))


def write(writer: TargetWriter, who: str, *days: int, lookups: Any = ANN, list_id: int = 1, at: int = 12) -> None:
    """Write one event of each of some days, which is the same for each pull, marked by who pulled it."""
    matching, lookup = lookups[0] if lookups else (None, None)
    for day in days:
        instant = dt.datetime.combine(DAYS[day], dt.time(at), dt.UTC)
        columns = {"matching": matching, "lookup": lookup, "list_id": list_id, "datetime": instant, "email": who}
        number = 1000 * list_id + 100 * at + 10 * day + (lookups == BOB)
        writer.write(make_batch(1, start=number, **columns))


def end(writer: TargetWriter, who: str, *days: int, **how: Any) -> int:
    write(writer, who, *days, **how)
    return writer.commit().rows


def held(database: Database, target: SqlTarget, **only: Any) -> list[tuple[int, str]]:
    """Of each row the day and who pulled it."""
    rows = [row for row in database.rows(target.table) if only.items() <= row.items()]
    return sorted((DAYS.index(row["datetime"].date()), row["email"]) for row in rows)


def notes(database: Database, target: SqlTarget) -> list[tuple[Any, ...]]:
    return sorted(database.execute(f"SELECT window_start, window_end, began FROM {target.table}_pulls"))
