"""What dlt's target keeps besides the promise: staging of the dead goes, no host is called, the refused may retry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
import uuid
from pathlib import Path

import pytest

from airflow_provider.altcraft.targets import Scope, resolve_target

SCOPE = Scope(1, None)

HELD = """
import duckdb, sys
with duckdb.connect(sys.argv[1]):
    print("open", flush=True)
    sys.stdin.read()
"""

ALONE = """
import atexit, sys
reported = []
atexit.register(lambda: print("reported:", reported))  # the first to be registered is the last to run
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(lambda event, args: reported.append((event, str(args[1:]))) if event in NETWORK else None)
from airflow_provider.altcraft.targets import Scope, resolve_target
sys.path.insert(0, sys.argv[2])
from tests.batches import make_batch
writer = resolve_target(sys.argv[1]).open(Scope(1, None))
writer.write(make_batch(3))
print("rows:", writer.commit().rows)
"""


@pytest.fixture
def dataset(postgres):
    name = f"dlt_{uuid.uuid4().hex[:12]}"
    yield name
    for (each,) in postgres.execute(
        "SELECT schema_name FROM information_schema.schemata WHERE starts_with(schema_name, %s)", (name,)
    ):
        postgres.execute(f"DROP SCHEMA {each} CASCADE")


def fill(target, batch, rows):
    writer = resolve_target(target).open(SCOPE)
    writer.write(batch(rows))
    return writer.commit()


def test_the_next_removes_what_the_dead_staged_and_nothing_that_a_living_one_may_write(postgres, dataset, batch):
    now = int(time.time())
    dead = f"{dataset}_altcraft_{now - 86_500:x}_0123abcd"
    others = {
        f"{dataset}_altcraft_{now - 86_000:x}_0123abcd",
        f"{dataset}x_altcraft_{now - 86_500:x}_0123abcd",
        f"{dataset}_altcraft_{now - 86_500:x}_mine",
    }
    for name in {dead, *others}:
        postgres.execute(f"CREATE SCHEMA {name}")
        postgres.execute(f"CREATE TABLE {name}.history (a int)")
    fill(f"dlt://{postgres.conn_id}/{dataset}.history", batch, 3)
    found = postgres.execute("SELECT schema_name FROM information_schema.schemata")
    assert {name for (name,) in found if name.startswith(dataset)} == {dataset, *others}


def test_two_processes_at_once_leave_each_event_once(postgres, dataset, stepper, monkeypatch):
    """Also where a variable of another program would have dlt begin processes, which these two may not."""
    monkeypatch.setenv("WORKERS", "4")
    monkeypatch.setenv("NORMALIZE__WORKERS", "1")
    table = f"{dataset}.history"
    both = [stepper(f"dlt://{postgres.conn_id}/{table}", 2, 400) for _ in range(2)]
    for each in both:
        each.until("wrote 2")
    for each in both:
        each._pipe.send(None)  # both commit
    for each in both:
        assert each._pipe.recv() == "committed"
    assert len(postgres.rows(table)) == len({row["event_key"] for row in postgres.rows(table)}) == 800
    found = postgres.execute("SELECT schema_name FROM information_schema.schemata")
    assert [name for (name,) in found if name.startswith(dataset)] == [dataset]


def test_duckdb_refuses_a_second_process_and_a_retry_succeeds(duckdb, batch):
    target = f"dlt://{duckdb.conn_id}/dlt_{uuid.uuid4().hex[:12]}.history"
    command = [sys.executable, "-c", HELD, str(duckdb.arguments["path"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(OSError, match=rf"{target}: dlt could not load it: .*lock"):
            fill(target, batch, 3)
        holder.stdin.close()
    assert fill(target, batch, 3).rows == 3
    assert duckdb.count(target.rpartition("/")[2]) == 3


def test_an_error_has_no_password(postgres, monkeypatch, caplog):
    arguments = postgres.arguments
    for at in ({"login": "nobody_here", "port": arguments["port"]}, {"login": "postgres", "port": 1}):
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "password": "s3cr3t-of-dlt", "schema": "none", **at}
        monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_TEST_WRONG", json.dumps(connection))
        with caplog.at_level("DEBUG"), pytest.raises(OSError, match="dlt could not load it") as refused:
            resolve_target("dlt://altcraft_test_wrong/lake.history").open(SCOPE)
        assert "s3cr3t" not in "".join(traceback.format_exception(refused.value))
        assert "s3cr3t" not in caplog.text


def test_no_host_is_called_by_a_run(tmp_path):
    """No name is looked up and nothing connected to, in a process that imports and runs it all on a file."""
    connection = {"conn_type": "duckdb", "host": str(tmp_path / "warehouse.duckdb")}
    environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
    environment["AIRFLOW_CONN_LAKE"] = json.dumps(connection)
    command = [sys.executable, "-W", "ignore", "-c", ALONE, "dlt://lake/a.history", str(Path(__file__).parents[3])]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    lines = ran.stdout.splitlines()
    assert "rows: 3" in lines, ran.stdout + ran.stderr
    assert lines[-1] == "reported: []"  # of none of the names and addresses that Python's audit events tell of
