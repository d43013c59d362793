"""What an earlier build has written is read and continued: objects, parts, tables, waits and what their states hold.

`upgrade/written/` was made once by `upgrade/generate.py` and is never changed; docs/upgrade.md says the same in words.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.operators.events import events_since_last_run
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, read_manifest
from airflow_provider.altcraft.testing import Emulator
from tests.integration.databases import Database
from tests.integration.stores import Store as ObjectStore
from tests.integration.upgrade.common import LOOKBACK, PEOPLE, SINCE, WINDOW, Store, add_late, context_of, fill
from tests.unit.triggers.watching import fired, keys

WRITTEN = Path(__file__).parent / "upgrade" / "written"
STATES = json.loads((WRITTEN / "states.json").read_text())
TRIGGERS = json.loads((WRITTEN / "triggers.json").read_text())


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    fill(altcraft_api)
    return altcraft_api


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN / "objects", tmp_path / "objects"))


def pull(target: Any) -> None:
    """Pull as the earlier build did."""
    AltcraftHistoryOperator(task_id="pull", profiles=PEOPLE, target=target, **WINDOW).execute({})
    return []


def counted(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row[name] for name in COLUMNS) for row in rows)


def read(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).cast(SCHEMA).to_pylist()


def parts(folder: Path) -> list[dict[str, Any]]:
    return [row for part in read_manifest(folder).parts for row in read(folder / part.name)]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_object_is_the_same_again(api: Emulator, objects: Path, suffix: str) -> None:
    path = objects / f"history.{suffix}"
    before = path.read_bytes()
    pull(str(path))
    assert path.read_bytes() == before


def test_parquet_is_read(api: Emulator, objects: Path) -> None:
    """Its bytes are another matter: they name the library that wrote them."""
    before = read(objects / "history.parquet")
    pull(str(objects / "history.parquet"))
    assert counted(read(objects / "history.parquet")) == counted(before)


def test_objects_of_days_are_replaced(api: Emulator, objects: Path) -> None:
    before = {path.name: path.read_bytes() for path in (objects / "days").iterdir()}
    add_late(api)
    target = f"{objects}/days/{{date}}.jsonl"
    AltcraftDatabaseHistoryOperator(task_id="days", target=target, **WINDOW).execute({})
    after = {path.name: path.read_bytes() for path in (objects / "days").iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"2026-01-02.jsonl"}
    assert set(before["2026-01-02.jsonl"].splitlines()) < set(after["2026-01-02.jsonl"].splitlines())


@pytest.mark.parametrize("folder", ["parts", "cut"])
def test_a_folder_of_parts_is_read_and_replaced(api: Emulator, objects: Path, folder: str) -> None:
    """Also where an attempt was killed in it: nothing of it stays."""
    before = parts(objects / folder)
    assert counted(before) == counted(read(objects / "history.parquet"))
    add_late(api)
    pull(ObjectStorageTarget(f"{objects}/{folder}/", part_rows=6))
    after = parts(objects / folder)
    assert counted(after) > counted(before)
    assert len(after) == len(before) + 1
    named = {part.name for part in read_manifest(objects / folder).parts}
    assert {path.name for path in (objects / folder).iterdir() if path.name.startswith(("part-", "_part-"))} == named


@pytest.fixture
def restored(request: pytest.FixtureRequest) -> tuple[Database, str]:
    """A database with the tables that the earlier build made, and what their names begin with."""

    def restore(kind: str) -> tuple[Database, str]:
        database: Database = request.getfixturevalue(kind)
        prefix = f"u{uuid.uuid4().hex[:10]}_"
        if kind == "duckdb":  # as EXPORT DATABASE leaves it
            folder = WRITTEN / kind
            script = (folder / "schema.sql").read_text() + (folder / "load.sql").read_text()
            script = script.replace("FROM '", f"FROM '{folder}/")
        else:
            script = (WRITTEN / f"{kind}.sql").read_text()
        script = re.sub(r"(?<!/)upgrade_", prefix, script)
        with database.connect() as connection:
            if kind == "sqlite":
                connection.executescript(script)
            elif kind == "duckdb":
                connection.execute(script)
            elif kind == "mariadb":
                cursor = connection.cursor()
                for statement in script.split(";\n"):
                    cursor.execute(statement)
            else:
                cursor = connection.cursor()
                cursor.execute("SELECT current_schema()")
                cursor.execute(script.replace("public.", f"{cursor.fetchone()[0]}."))
        return database, prefix

    return restore(request.param)


TABLES = pytest.mark.parametrize("restored", ["sqlite", "duckdb", "mariadb", "postgres"], indirect=True)


@TABLES
@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
def test_tables_are_continued(api: Emulator, restored: tuple[Database, str], disposition: str) -> None:
    database, prefix = restored
    target = database.target(prefix + disposition, disposition)
    before = database.rows(target.table)
    assert len(before) == 20
    pull(target)
    twice = counted(before) + counted(before) if disposition == "append" else counted(before)
    assert counted(database.rows(target.table)) == twice
    add_late(api)
    pull(target)
    again = counted(database.rows(target.table))
    assert again > twice
    assert again.total() == (61 if disposition == "append" else 21)


@TABLES
def test_a_table_gets_its_notes(api: Emulator, restored: tuple[Database, str]) -> None:
    """By which an earlier pull does not replace what a later one wrote."""
    database, prefix = restored
    pull(database.target(prefix + "merge"))
    assert database.exists(f"{prefix}merge_pulls")


def test_a_table_of_dlt_is_continued(api: Emulator, postgres: Database) -> None:
    dataset = f"u{uuid.uuid4().hex[:10]}"
    postgres.execute((WRITTEN / "dlt.sql").read_text().replace("upgrade_dlt", dataset))
    before = counted(postgres.rows(f"{dataset}.history"))
    assert before.total() == 20
    add_late(api)
    pull(f"dlt://{postgres.conn_id}/{dataset}.history")
    after = counted(postgres.rows(f"{dataset}.history"))
    assert after > before
    assert after.total() == 21


@pytest.mark.parametrize("kind", ["s3", "azure", "gcs"])
@pytest.mark.parametrize("name", ["history.parquet", "parts/"])
def test_objects_in_a_store_are_replaced(api: Emulator, request: pytest.FixtureRequest, kind: str, name: str) -> None:
    store: ObjectStore = request.getfixturevalue(kind)
    prefix = f"u{uuid.uuid4().hex[:10]}/"
    for path in (WRITTEN / kind).rglob("*.*"):
        store.put(prefix + path.relative_to(WRITTEN / kind).as_posix(), path.read_bytes())
    before = rows_in(store, prefix + name)
    assert before.total() == 20
    add_late(api)
    uri = store.uri(prefix + name)
    pull(ObjectStorageTarget(uri, part_rows=6) if name == "parts/" else uri)
    after = rows_in(store, prefix + name)
    assert after > before
    assert after.total() == 21
    if name == "parts/":  # what the earlier build had is gone
        assert set(store.keys(prefix + name)) == {
            prefix + name + each for each in ["_manifest.json", *names_in(store, prefix)]
        }


def names_in(store: ObjectStore, prefix: str) -> list[str]:
    return [part["name"] for part in json.loads(store.read(f"{prefix}parts/_manifest.json"))["parts"]]


def rows_in(store: ObjectStore, key: str) -> Counter[tuple[Any, ...]]:
    keys = [key + name for name in names_in(store, key.removesuffix("parts/"))] if key.endswith("/") else [key]
    tables = [pq.read_table(BytesIO(store.read(each))).cast(SCHEMA) for each in keys]
    return counted([row for table in tables for row in table.to_pylist()])


def trigger_of(stored: list[Any]) -> Any:
    module, _, name = stored[0].rpartition(".")
    return getattr(import_module(module), name)(**stored[1])


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_a_deferred_wait_goes_on(api: Emulator, name: str) -> None:
    """By the arguments in Airflow's database, to the outcome that the earlier build had."""

    async def outcome() -> Any:
        return [event.payload async for event in trigger_of(TRIGGERS[name]["trigger"]).run()]

    (found,) = asyncio.run(outcome())
    assert found | TRIGGERS[name]["event"] == found


@pytest.mark.parametrize("name", sorted(TRIGGERS))
def test_the_outcome_that_an_earlier_triggerer_gave_is_taken(name: str) -> None:
    who: dict[str, Any] = {"profiles": PEOPLE, "quorum": 2} if name == "cohort" else {"profile": PEOPLE[0]}
    sensor = AltcraftActionSensor(task_id="wait", actions="form_post", **who)
    result = sensor.execute_complete({"ti": SimpleNamespace()}, TRIGGERS[name]["event"])  # type: ignore[typeddict-item]
    assert result


def test_a_watcher_fires_for_no_event_again(api: Emulator) -> None:
    stored, store = STATES["watcher"], Store()
    store.rows = dict(stored["rows"])
    trigger = trigger_of(stored["trigger"])
    trigger.asset_state_store = store
    found = asyncio.run(fired(trigger, api, requests=6, then=lambda: add_late(api)))
    assert len(keys(found)) == 1
    assert keys(found)[0] not in stored["payload"]["keys"]
    fresh = trigger_of(stored["trigger"])
    assert set(keys(asyncio.run(fired(fresh, api, requests=4)))) == {*stored["payload"]["keys"], *keys(found)}


def given(store: Store, run: str) -> list[str]:
    arguments: dict[str, Any] = {"actions": "form_post", "asset": "asset", "since": SINCE, "lookback": LOOKBACK}
    with events_since_last_run(context_of(run, store), **arguments) as events:
        return [event["event_key"] for event in events]


def test_runs_are_given_what_no_run_was_given_before(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, store, variables = STATES["events"], Store(), Store()
    monkeypatch.setattr("airflow_provider.altcraft.operators.events.Variables", lambda: variables)
    store.rows = dict(stored["rows"])
    add_late(api)
    (new,) = given(store, "run2")
    assert new not in stored["keys"]
    assert given(store, stored["run"]) == stored["keys"]  # cleared, it gets the same
    assert given(store, "run3") == []
