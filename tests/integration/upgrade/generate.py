"""Write what `written/` holds, by an earlier build: objects, parts, tables, arguments of triggers, state stores.

For each build whose output users may have::

    git archive 7f64096 | tar -x -C /tmp/build
    export AIRFLOW_HOME=/tmp/airflow-of-build PYTHONPATH=/tmp/build:/tmp/build/tests/integration
    .venv/bin/python tests/integration/upgrade/generate.py tests/integration/upgrade/written

It speaks to that build's own emulator, needs PostgreSQL and MariaDB where the tests have them, and uses the arguments
of that build. What is in `written/` already stays as it is: of a new kind, copy only what was not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from common import LOOKBACK, PEOPLE, SINCE, WINDOW, Store, context_of, fill

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.operators import events as operators_events
from airflow_provider.altcraft.operators.events import events_since_last_run
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, SqlTarget
from airflow_provider.altcraft.targets.dlt import DltTarget
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers import _keeper
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger
from airflow_provider.altcraft.window import Window

DATABASE = "altcraft_upgrade"
POSTGRES = ("--host=127.0.0.1", "--port=5432", "--username=postgres")
TABLES = {f"upgrade_{disposition}": disposition for disposition in ("merge", "replace", "append")}


def pull(target: Any) -> Any:
    return AltcraftHistoryOperator(task_id="pull", profiles=PEOPLE, target=target, **WINDOW).execute({})


def write_objects(folder: Path) -> None:
    for suffix in ("parquet", "jsonl", "csv"):
        pull(f"{folder}/history.{suffix}")
    days = AltcraftDatabaseHistoryOperator(task_id="days", target=f"{folder}/days/{{date}}.jsonl", **WINDOW)
    days.execute({})
    pull(ObjectStorageTarget(f"{folder}/parts/", part_rows=6))
    cut_off(folder / "cut")


def cut_off(folder: Path) -> None:
    """Leave what an attempt at a folder of parts leaves that is killed after some of them."""
    pull(ObjectStorageTarget(f"{folder}/", part_rows=6))
    if not os.fork():
        writer = ObjectStorageTarget(f"{folder}/", part_rows=2).open(
            Scope(1, [("email", email) for email in PEOPLE], Window.of(WINDOW["date_from"], WINDOW["date_to"]))
        )
        rows = pq.read_table(folder.parent / "history.parquet").cast(SCHEMA)
        for batch in rows.to_batches(max_chunksize=2)[:3]:
            writer.write(batch)
        os._exit(9)
    os.wait()


def write_sqlite(file: Path) -> None:
    path = f"{tempfile.mkdtemp()}/lite.db"
    os.environ["AIRFLOW_CONN_LITE"] = json.dumps({"conn_type": "sqlite", "host": path})
    for table, disposition in TABLES.items():
        pull(SqlTarget("lite", table, disposition))
    with sqlite3.connect(path) as connection:
        file.write_text("\n".join(connection.iterdump()) + "\n")


def write_duckdb(folder: Path) -> None:
    import duckdb

    path = f"{tempfile.mkdtemp()}/duck.duckdb"
    os.environ["AIRFLOW_CONN_DUCK"] = json.dumps({"conn_type": "duckdb", "host": path})
    for table, disposition in TABLES.items():
        pull(SqlTarget("duck", table, disposition))
    with duckdb.connect(path) as connection:
        connection.execute(f"EXPORT DATABASE '{folder}'")
    for file in folder.glob("*.sql"):
        file.write_text(file.read_text().replace(f"{folder}/", ""))


def write_mariadb(file: Path) -> None:
    server = ("--host=127.0.0.1", "--port=3306", "--user=root")
    subprocess.run(["mariadb", *server, "-e", f"CREATE OR REPLACE DATABASE {DATABASE}"], check=True)
    connection = {"conn_type": "mysql", "host": "127.0.0.1", "port": 3306, "login": "root", "schema": DATABASE}
    os.environ["AIRFLOW_CONN_MARIA"] = json.dumps(connection | {"extra": {"client": "mysql-connector-python"}})
    for table, disposition in TABLES.items():
        pull(SqlTarget("maria", table, disposition))
    command = ["mariadb-dump", *server, "--compact", "--skip-extended-insert", DATABASE]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Only statements: no settings of the session.
    file.write_text("".join(line for line in dump.splitlines(keepends=True) if not line.startswith("/*")))
    subprocess.run(["mariadb", *server, "-e", f"DROP DATABASE {DATABASE}"], check=True)


def write_postgres(file: Path) -> None:
    with postgres() as conn_id:
        for table, disposition in TABLES.items():
            pull(SqlTarget(conn_id, table, disposition))
        file.write_text(dump_of_postgres())


def write_dlt(file: Path) -> None:
    with postgres() as conn_id:
        pull(DltTarget("upgrade_dlt.history", conn_id=conn_id))
        file.write_text(dump_of_postgres())


@contextmanager
def postgres() -> Iterator[str]:
    """An empty database, by the id of its connection."""
    subprocess.run(["psql", *POSTGRES, "-qc", f"DROP DATABASE IF EXISTS {DATABASE}"], check=True)
    subprocess.run(["psql", *POSTGRES, "-qc", f"CREATE DATABASE {DATABASE}"], check=True)
    os.environ["AIRFLOW_CONN_PG"] = json.dumps(
        {"conn_type": "postgres", "host": "127.0.0.1", "port": 5432, "login": "postgres", "schema": DATABASE}
    )
    yield "pg"
    subprocess.run(["psql", *POSTGRES, "-qc", f"DROP DATABASE {DATABASE} WITH (FORCE)"], check=True)


def dump_of_postgres() -> str:
    command = ["pg_dump", *POSTGRES, "--inserts", "--no-owner", "--no-privileges", DATABASE]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Only statements: no comments, no settings of the session, no words of psql's own.
    lines = [line for line in dump.splitlines() if line and not re.match(r"--|SET |SELECT pg_catalog|\\", line)]
    return "\n".join(lines) + "\n"


def write_s3(folder: Path) -> None:
    """A file and parts in a store, by moto: the folder has what a client of it sees."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    connection = {"conn_type": "aws", "login": "key", "password": "secret"}
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    os.environ["AIRFLOW_CONN_S3"] = json.dumps(connection | {"extra": extra})
    client = boto3.client("s3", **extra, aws_access_key_id="key", aws_secret_access_key="secret")
    client.create_bucket(Bucket="lake")
    pull("s3://s3@lake/history.parquet")
    pull(ObjectStorageTarget("s3://s3@lake/parts/", part_rows=6))
    for each in client.list_objects_v2(Bucket="lake")["Contents"]:
        (folder / each["Key"]).parent.mkdir(parents=True, exist_ok=True)
        client.download_file("lake", each["Key"], str(folder / each["Key"]))
    server.stop()


def write_azure_and_gcs(written: Path) -> None:
    """The same in that build's own servers of Azure's and Google's storage."""
    from stores import serve_azure, serve_gcs

    for name, serve in {"azure": serve_azure, "gcs": serve_gcs}.items():
        with serve(f"upgrade_{name}") as store:
            pull(store.uri("history.parquet"))
            pull(ObjectStorageTarget(store.uri("parts/"), part_rows=6))
            keys = store.keys()
            for key in keys:
                (written / name / key).parent.mkdir(parents=True, exist_ok=True)
                (written / name / key).write_bytes(store.read(key))


def watcher(store: Store) -> AltcraftActionEventTrigger:
    trigger = AltcraftActionEventTrigger(
        actions=["form_post"], since=SINCE, lookback=LOOKBACK.total_seconds(), poll_interval=0.1
    )
    trigger.asset_state_store = store
    return trigger


async def first_event(trigger: Any) -> Any:
    async with aclosing(trigger.run()) as events:
        payload = (await anext(events)).payload
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)  # what was fired for is noted
        following.cancel()
        await asyncio.wait({following})
        return payload


def write_states(file: Path) -> None:
    _keeper.SETTLED = 0.0
    operators_events.Variables = Store
    watched, given = Store(), Store()
    trigger = watcher(watched)
    payload = asyncio.run(first_event(trigger))
    lookback = LOOKBACK.total_seconds()
    with events_since_last_run(
        context_of("run1", given), actions="form_post", asset="asset", since=SINCE, lookback=lookback
    ) as events:
        keys = [event["event_key"] for event in events]
    file.write_text(
        to_json(
            {
                "watcher": {"trigger": trigger.serialize(), "payload": payload, "rows": watched.rows},
                "events": {"run": "run1", "keys": keys, "rows": given.rows},
            }
        )
    )


def write_triggers(file: Path) -> None:
    """What is stored of deferred sensors, and with what the trigger of each wakes its task."""
    stored = {}
    crm = ProfileLookup(matching="custom", field_name="CRM_ID", field_value="bob")
    waits: dict[str, dict[str, Any]] = {
        "one": {"profile": PEOPLE[0], "actions": ["form_post"], "fail_on": ["complain"]},
        "cohort": {"profiles": [PEOPLE[0], crm], "actions": "form_post", "quorum": 2, "min_count": 3},
    }
    for name, arguments in waits.items():
        sensor = AltcraftActionSensor(task_id="wait", since=SINCE, deferrable=True, timeout=10**9, **arguments)
        triggers: list[Any] = []
        sensor.defer = lambda trigger, into=triggers, **_: into.append(trigger)
        sensor._defer(sensor._wait({}), 0.1)
        stored[name] = {"trigger": triggers[0].serialize(), "event": asyncio.run(outcome(triggers[0]))}
    file.write_text(to_json(stored))


async def outcome(trigger: Any) -> Any:
    async with aclosing(trigger.run()) as events:
        return (await anext(events)).payload


def to_json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(written: Path) -> None:
    shutil.rmtree(written, ignore_errors=True)
    (written / "objects").mkdir(parents=True)
    with Emulator() as api:
        fill(api)
        os.environ["AIRFLOW_CONN_ALTCRAFT_DEFAULT"] = json.dumps(
            {"conn_type": "altcraft", "host": api.url, "password": api.token, "extra": {"list_id": 1}}
        )
        write_objects((written / "objects").resolve())
        write_sqlite(written / "sqlite.sql")
        write_duckdb((written / "duckdb").resolve())
        write_mariadb(written / "mariadb.sql")
        write_postgres(written / "postgres.sql")
        write_dlt(written / "dlt.sql")
        write_s3(written / "s3")
        write_azure_and_gcs(written)
        write_states(written / "states.json")
        write_triggers(written / "triggers.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
