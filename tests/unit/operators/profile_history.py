"""Pulls of profiles in tests: what they gave and wrote."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator

Connect = Callable[..., str]

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def run(**arguments: Any) -> dict[str, Any]:
    operator = AltcraftHistoryOperator(task_id="pull", **arguments)
    result: dict[str, Any] = operator.execute({})
    assert json.loads(json.dumps(result)) == result
    return result


def rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


def keys(found: Iterable[dict[str, Any]]) -> list[str]:
    return [row["event_key"] for row in found]
