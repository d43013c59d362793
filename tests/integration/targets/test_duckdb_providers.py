"""DuckDB behind a connection that either of its two providers serves."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys

import duckdb
import pytest

from airflow_provider.altcraft._airflow.duckdb import database_of, database_of_connection
from airflow_provider.altcraft.targets import Scope, resolve_target
from tests.integration.databases import serve_duckdb_by

SCOPE = Scope(1, None)
BOTH = pytest.mark.parametrize("scheme", ["sql", "dlt"])


@pytest.fixture(params=["official", "community"])
def provider(request):
    serve_duckdb_by(request.param)
    yield request.param
    serve_duckdb_by("official")


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "events.duckdb")


@pytest.fixture
def connection(monkeypatch):
    def define(**fields):
        monkeypatch.setenv("AIRFLOW_CONN_DUCK", json.dumps({"conn_type": "duckdb"} | fields))

    return define


def put(scheme, batch):
    writer = resolve_target(f"{scheme}://duck/{'lake' if scheme == 'dlt' else 'main'}.history").open(SCOPE)
    writer.write(batch(3))
    return writer.commit()


def count(scheme, file):
    with duckdb.connect(file) as connection:
        return connection.execute(f"SELECT count(*) FROM {'lake' if scheme == 'dlt' else 'main'}.history").fetchone()[0]


def places(file):
    return {"host": {"host": file}, "extra": {"extra": {"database": file}}}


@BOTH
@pytest.mark.parametrize("place", ["host", "extra"])
def test_the_path_where_the_provider_keeps_it(provider, scheme, place, connection, file, batch):
    connection(**places(file)[place])
    if (provider, place) == ("community", "extra"):
        with pytest.raises(ValueError, match="airflow-provider-duckdb, which serves it, reads no 'database'"):
            put(scheme, batch)
        return
    assert put(scheme, batch).rows == 3
    assert put(scheme, batch).rows == 3
    assert count(scheme, file) == 3


def test_the_path_as_an_argument_of_the_hook(connection, file):
    from airflow.providers.duckdb.hooks.duckdb import DuckDBHook

    connection(host="/elsewhere.duckdb")
    assert database_of(DuckDBHook(duckdb_conn_id="duck", database=file)) == file


@BOTH
@pytest.mark.parametrize("name", ["", ":memory:", ":memory:named", ":default:"])
def test_a_database_in_memory_is_refused(provider, scheme, name, connection, batch):
    with duckdb.connect(name) as opened:
        assert opened.execute("SELECT path FROM duckdb_databases() WHERE database_name = 'memory'").fetchall() in (
            [(None,)],
            [],  # it has a name of its own
        )
    connection(host=name)
    with pytest.raises(ValueError, match=r"://duck/.* in memory and end with the task; write the file's path into"):
        put(scheme, batch)


@BOTH
def test_the_log_says_which_serves(provider, scheme, connection, file, batch, caplog):
    connection(host=file)
    names = ["apache-airflow-providers-duckdb", "airflow-provider-duckdb"]
    serving, other = names if provider == "official" else reversed(names)
    with caplog.at_level("INFO"):
        put(scheme, batch)
    assert f"{serving} serves the connection type 'duckdb', not {other}, which is installed too" in caplog.messages


def test_motherduck(provider, connection):
    """No account is there to open one."""
    from airflow.providers.common.compat.sdk import BaseHook

    connection(schema="crm", password="s3cr3t")
    hook = BaseHook.get_hook("duck")
    assert database_of(hook) == database_of_connection(BaseHook.get_connection("duck")) == "md:crm"
    with pytest.raises(ValueError, match="give destination='motherduck'") as refused:
        resolve_target("dlt://duck/lake.history").open(SCOPE)
    assert "s3cr3t" not in str(refused.value)


@BOTH
def test_a_file_of_a_newer_duckdb(provider, scheme, connection, file, batch):
    duckdb.connect(file).close()
    made_by_newer(file)
    connection(host=file)
    with pytest.raises(
        ValueError, match=r"made by a newer DuckDB: its version number is 4321, .* reads those between 64 and \d\d; "
    ):
        put(scheme, batch)


def made_by_newer(file):
    """Write a version number to come into the file's header, and its checksum."""
    with open(file, "r+b") as opened:  # noqa: PTH123
        header = bytearray(opened.read(4096))
        struct.pack_into("<Q", header, 12, 4321)
        checksum = 5381
        for (word,) in struct.iter_unpack("<Q", header[8:]):
            checksum ^= (word * 0xBF58476D1CE4E5B9) % 2**64
        struct.pack_into("<Q", header, 0, checksum)
        opened.seek(0)
        opened.write(header)


def test_read_only_is_refused(connection, file, batch):
    """Before any request."""
    serve_duckdb_by("official")
    duckdb.connect(file).close()
    connection(host=file, extra={"read_only": True})
    with pytest.raises(ValueError, match="read-only"):
        resolve_target("sql://duck/history").open(SCOPE)


ALONE = """
import importlib.metadata, importlib_metadata, sys
def hide(metadata):
    discover = metadata.Distribution.discover
    def found(cls, *args, **kwargs):
        return (each for each in discover(*args, **kwargs) if each.metadata["Name"] != sys.argv[1])
    metadata.Distribution.discover = classmethod(found)
for each in (importlib.metadata, importlib_metadata):
    hide(each)
from airflow.providers.common.compat.sdk import BaseHook
from airflow_provider.altcraft.targets import Scope, resolve_target
resolve_target("sql://duck/history").open(Scope(1, None)).commit()
print("served:", type(BaseHook.get_hook("duck")).__module__)
"""


@pytest.mark.parametrize(
    ("hidden", "serving"),
    [("airflow-provider-duckdb", "airflow.providers.duckdb"), ("none", "duckdb_provider")],
    ids=["official alone", "both"],
)
def test_as_airflow_finds_them(hidden, serving, connection, file):
    connection(host=file)
    command = [sys.executable, "-W", "ignore", "-c", ALONE, hidden]
    ran = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=120, check=False)
    assert f"served: {serving}" in ran.stdout, ran.stderr
    assert count("sql", file) == 0
