"""300,000 rows put into a lakehouse's table of 1,000,000 on 30 days: time and memory, as docs/lakehouse.md has them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import DeltaTarget, IcebergTarget, Scope, Target
from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.killing import Forked, peak, reset_peak
from airflow_provider.altcraft.window import Window
from tests.integration.targets.places import Catalog, Folder

BATCH = 10_000
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def drawn() -> pa.RecordBatch:
    (base,) = (
        pa.Table.from_batches(pull_of(draw_events(BATCH, days=1), Scope(1, None)).batches).combine_chunks().to_batches()
    )
    return base


def batches(base: pa.RecordBatch, rows: int, first: int, days: int) -> Iterator[pa.RecordBatch]:
    """Rows with a key for each number, spread over the days."""
    for at in range(first, first + rows, BATCH):
        numbers = range(at, at + BATCH)
        replaced: dict[str, list[Any]] = {
            "event_key": [f"r{number:031x}" for number in numbers],
            "datetime": [START + dt.timedelta(days=number % days, milliseconds=number) for number in numbers],
        }
        columns = [
            pa.array(replaced[field.name], field.type) if field.name in replaced else base.column(field.name)
            for field in SCHEMA
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def put(target: Target, rows: int, first: int, days: int) -> tuple[float, int]:
    """Seconds of the commit, and by how many bytes the process grew."""
    base: pa.RecordBatch = Forked(drawn).value  # apart, for what it takes to draw them is none of the target's

    def work() -> tuple[float, int]:
        reset_peak()
        before = peak()
        writer = target.open(Scope(1, None, Window.of(START.date(), START.date() + dt.timedelta(days=days - 1))))
        for batch in batches(base, rows, first, days):
            writer.write(batch)
        began = time.monotonic()
        writer.commit()
        return time.monotonic() - began, peak() - before

    found: tuple[float, int] = Forked(work).value
    return found


@pytest.fixture
def delta(tmp_path):
    import airflow_provider.altcraft.targets.delta.table  # noqa: F401 - loaded once, not in each fork

    return DeltaTarget(str(tmp_path / "table"))


@pytest.fixture
def iceberg(tmp_path):
    import airflow_provider.altcraft.targets.iceberg.table  # noqa: F401 - the same

    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "lake"))
    catalog.connect().create_namespace("lake")
    return IcebergTarget(catalog.conn_id, "lake.history")


@pytest.mark.soak
@pytest.mark.parametrize(("kind", "of_three", "of_all"), [("delta", 286, 500), ("iceberg", 381, 477)])
def test_growth(request, kind, of_three, of_all):
    target = request.getfixturevalue(kind)
    put(target, 1_000_000, 0, 30)
    for days, most in ((3, of_three), (30, of_all)):
        seconds, grown = put(target, 300_000, 900_000, days)
        print(f"{kind}: 300,000 rows of {days} days committed in {seconds:.1f} s, grew by {grown >> 20} MiB")
        assert grown >> 20 < most
