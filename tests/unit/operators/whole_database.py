"""Pulls of a whole database in tests: what is in it, and what they gave."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.targets import Scope, Written
from airflow_provider.altcraft.testing import Emulator, faults

Connect = Callable[..., str]
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def seed(api: Emulator, profiles: int = 20, events: int = 40, days: int = 20) -> None:
    """Events of profiles all over the space of ``xxh``; the first has two alike in everything but ``event_id``."""
    api.seed(profiles=profiles, events_per_profile=events, start=START, days=days)
    for number in range(profiles):
        profile = api.add_profile(email=f"more{number}@example.com")
        for event in range(events):
            at = START + dt.timedelta(days=days * event / events, seconds=number)
            api.add_event(profile, "open" if event % 3 else "click", at=at, message_id=event)


def run(tmp_path: Path, date_from: Any = "2026-01-05", date_to: Any = "2026-01-15", **arguments: Any) -> dict[str, Any]:
    arguments.setdefault("target", str(tmp_path / "all.parquet"))
    operator = AltcraftDatabaseHistoryOperator(task_id="pull", date_from=date_from, date_to=date_to, **arguments)
    result: dict[str, Any] = operator.execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def pulled(tmp_path: Path, **arguments: Any) -> list[dict[str, Any]]:
    run(tmp_path, **arguments)
    return rows(tmp_path / "all.parquet")


def simple(found: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter((row["xxh"], row["datetime"], row["action"], row["message_id"]) for row in found)


def held(api: Emulator, date_from: str = "2026-01-05", date_to: str = "2026-01-15") -> Counter[tuple[Any, ...]]:
    """What the emulator holds of these days in UTC."""
    return simple(
        row | {"datetime": dt.datetime.fromisoformat(row["datetime"])}
        for row in api.events()
        if date_from <= row["datetime"][:10] <= date_to
    )


def identified(found: Iterable[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(tuple(map(str, row.values())) for row in found)


def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> faults.Fault:
    return faults.Fault("changed", envelope=change)


class Target:
    """Counts and watches what it is given."""

    template_fields = ()

    def __init__(self, on_write: Callable[[pa.RecordBatch], None] = lambda batch: None) -> None:
        self.on_write = on_write
        self.batches: list[pa.RecordBatch] = []

    def open(self, scope: Scope) -> Target:
        self.scope = scope
        self.batches = []
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.on_write(batch)

    def commit(self) -> Written:
        return Written(("memory://",), sum(batch.num_rows for batch in self.batches))

    def abort(self) -> None:
        self.batches = []

    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.to_pylist()]
