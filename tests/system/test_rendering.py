"""Arguments that earlier tasks, callables and native templates give, in a run of a real Airflow."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.system.test_examples import load

ANN = "ann@example.com"
UPSTREAM = {
    *("sql_target", "storage_target", "own_target", "sql_source", "parameters", "file_source", "platform_source"),
    *("mapped_target", "expanded_target", "events", "cohort", "database"),
    *("several_in_query", "mapped_in_query", "mapped_shard"),
    *("refused_alike", "refused_product", "apart", "one_of_each", "refused_group.pull", "group.pull"),
    *("refused_output", "refused_parameter", "refused_mapped", "refused_list"),
}
SEVERAL = ("refused_alike", "refused_product", "refused_group.pull")
"""Of which instances share an object."""

pytestmark = pytest.mark.usefixtures("airflow_db")


def test_what_earlier_tasks_and_callables_give_is_pulled_and_nothing_is_refused(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(altcraft_api)
    altcraft_api.add_profile(email=ANN)
    altcraft_api.add_event(ANN, "open", at=dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC))
    lite = tmp_path / "lite.db"
    with closing(sqlite3.connect(lite)) as database, database:
        database.execute("create table people (mail text)")
        database.execute("insert into people values (?)", [ANN])
    monkeypatch.setenv("AIRFLOW_CONN_RENDERING_LITE", json.dumps({"conn_type": "sqlite", "host": str(lite)}))
    monkeypatch.setenv("RENDERING_OUT", str(tmp_path))
    dag = load("rendering", Path(__file__).parent / "dags")
    assert {name for name in dag.task_ids if dag.get_task(name).upstream_task_ids} == UPSTREAM

    states = defaultdict(set)
    for instance in dag.test().get_task_instances():
        states[str(instance.state)].add((instance.task_id, instance.map_index))
    alone = ("output", "parameter", "template", "text", "name", "attribute")
    both = {(name, instance) for name in SEVERAL for instance in (0, 1)}
    failed = both | {("refused_mapped", 0), ("refused_list", 0), *((f"refused_{name}", -1) for name in alone)}
    assert states.pop("failed") == failed  # not up for a retry
    assert set(states) == {"success"}

    files = ("storage_target", "own_target", "sql_source", "parameters", "file_source", "platform_source")
    written = {
        *files,
        "several_in_query",
        "mapped_in_query",
        "0000-of-0001",
        "function",
        "generator",
        "expanded",
        "open",
        "open_too",
        *("apart", "apart_too", "one", "one_too", "group", "group_too"),
        "refused-1",
        "2026-01-01",
    }
    found = {path.stem: path.read_text().count("\n") for path in tmp_path.glob("*.jsonl")}
    assert {name for name, rows in found.items() if rows} - {"0000-of-0002", "0001-of-0002"} == written
    assert found["0000-of-0002"] + found["0001-of-0002"] == 1
    with closing(sqlite3.connect(lite)) as database:
        for table in ("history", "mapped", "expanded"):
            assert database.execute(f"select count(*) from {table}").fetchone() == (1,)
