"""What the target of Apache Iceberg says of its arguments."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import pyarrow as pa
import pytest

from airflow_provider.altcraft.targets import IcebergTarget, Scope, resolve_target
from airflow_provider.altcraft.targets._writer import InTheWayError
from airflow_provider.altcraft.targets.iceberg import table
from airflow_provider.altcraft.targets.iceberg.errors import translated_errors
from airflow_provider.altcraft.window import Window


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("iceberg://lake/marketing.history", IcebergTarget("lake", "marketing.history")),
        ("iceberg://lake@/marketing.history", IcebergTarget("lake", "marketing.history")),
        ("iceberg://lake/a.b.c?write_disposition=replace", IcebergTarget("lake", "a.b.c", "replace")),
        ("iceberg://lake/a.b?catalog=prod", IcebergTarget("lake", "a.b", catalog="prod")),
    ],
)
def test_a_uri(uri: str, target: IcebergTarget) -> None:
    found = resolve_target(uri)
    assert found == target
    assert eval(repr(found), {"IcebergTarget": IcebergTarget}) == found


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("iceberg://lake/history", "table: expected 'namespace.table'"),
        ("iceberg://lake/marketing.{date}", "table: expected 'namespace.table'"),
        ("iceberg://lake", "table: expected 'namespace.table'"),
        ("iceberg:///a.b", "conn_id: expected the id of an Airflow connection, got ''"),
        ("iceberg://me:s3cr3t@lake/a.b", "has a password or a port in it"),
        ("iceberg://lake/a.b?mode=append", "option other than write_disposition and catalog"),
        ("iceberg://lake/a.b?write_disposition=append", "write_disposition: expected 'merge' or 'replace'"),
        ("iceberg://lake/a.b?catalog=", "catalog: expected the name of a catalog or None, got ''"),
    ],
)
def test_no_uri(uri: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        resolve_target(uri)
    assert "s3cr3t" not in str(refused.value)


def test_templates_are_checked_once_rendered() -> None:
    target = IcebergTarget(
        "{{ var.value.lake }}", "{{ params.table }}", "{{ params.how }}", catalog="{{ params.name }}"
    )
    target.conn_id, target.table, target.write_disposition, target.catalog = "lake", "history", "merge", None
    with pytest.raises(ValueError, match=r"table: expected 'namespace\.table'"):
        target.open(Scope(1, None))


def test_the_condition_of_days() -> None:
    days = [dt.date(2026, 1, 1), dt.date(2026, 1, 2), dt.date(2026, 1, 4)]
    assert table._on(days) == (
        "(datetime is not null and datetime >= '2026-01-01T00:00:00+00:00' and datetime < '2026-01-03T00:00:00+00:00')"
        " or (datetime is not null and datetime >= '2026-01-04T00:00:00+00:00'"
        " and datetime < '2026-01-05T00:00:00+00:00')"
    )


def test_the_days_of_a_window() -> None:
    """Whole ones, also where the window begins or ends within one."""
    window = Window.of(dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC), dt.datetime(2026, 1, 3, tzinfo=dt.UTC))
    assert table._in_window(Scope(1, None, window)) == (
        "datetime is not null and datetime >= '2026-01-01T00:00:00+00:00' and datetime < '2026-01-03T00:00:00+00:00'"
    )


def test_errors_without_statements_and_passwords() -> None:
    from pyiceberg.exceptions import CommitStateUnknownException
    from sqlalchemy.exc import OperationalError

    uri = "iceberg://lake/a.b"
    with pytest.raises(OSError, match=rf"^{uri}: .*: OperationalError: away$"), translated_errors(uri, "a"):
        raise OperationalError("UPDATE iceberg_tables SET x = :y", {"y": 1}, Exception("away"))
    with pytest.raises(InTheWayError, match="CommitStateUnknownException: no answer"), translated_errors(uri, "a"):
        raise CommitStateUnknownException("no answer")
    with pytest.raises(OSError, match=r"http://me:\*\*\*@"), translated_errors(uri, "a"):
        raise OSError("http://me:s3cr3t@lake/v1 is away")


def test_errors_of_arrow_show_no_value() -> None:
    with (
        pytest.raises(ValueError, match="do not fit the table: ArrowInvalid") as caught,
        translated_errors("iceberg://c/a.b", "a"),
    ):
        pa.array(["ann@example.com"]).cast(pa.int64())
    assert "ann" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([50_000], [50_000]),
        ([60_000, 40_000, 0], [50_000, 50_000]),
        ([50_001], [50_000, 1]),
        ([], []),
    ],
)
def test_a_file_has_so_many_rows(sizes: list[int], expected: list[int], batch: Callable[..., pa.RecordBatch]) -> None:
    one = batch(1).take(pa.array([0] * max([1, *sizes])))
    assert [each.num_rows for each in table._tables(one.slice(0, size) for size in sizes)] == expected


def test_a_file_of_large_rows_has_fewer(batch: Callable[..., pa.RecordBatch]) -> None:
    """They are in memory at once; 50,000 of them would be 5 GB."""
    large = batch(100, extra=json.dumps("x" * 100_000))
    found = list(table._tables(iter([large] * 20)))
    assert sum(each.num_rows for each in found) == 2000
    assert max(each.nbytes for each in found) < 100 << 20
    assert len(found) == 3
