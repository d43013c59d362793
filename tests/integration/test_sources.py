"""Profiles out of real databases and stores, pulled in shards that leave one another's rows alone."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook
from openpyxl import Workbook

from airflow_provider.altcraft.extract.sources import FileProfiles, PlatformProfiles, SqlProfiles, _query
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import Scope, SqlTarget
from airflow_provider.altcraft.testing import Emulator
from tests.integration.databases import Database
from tests.integration.stores import S3

NOBODY: Any = None
CRM: dict[str, Any] = {"matching": "custom", "fixed": {"field_name": "CRM_ID"}, "columns": "crm"}
NUMBERS = (
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i AS crm{more} FROM n"
)
PLACEHOLDER = {"postgres": "%s", "mariadb": "%s", "sqlite": "?", "duckdb": "?"}


def sql(rows: int, more: str = "") -> str:
    return NUMBERS.format(last=rows - 1, more=more)


def values(source: Any) -> list[Any]:
    return [each["field_value"] for each in source.lookups(NOBODY, 1)]


def test_a_query(database: Database) -> None:
    many = _query.ROWS * 5 // 2
    numbers = NUMBERS.partition("SELECT i AS")[0].format(last=249)
    query = f"{numbers} SELECT a.i + 250 * b.i AS crm FROM n a CROSS JOIN n b WHERE a.i + 250 * b.i < {many} ORDER BY 1"
    assert values(SqlProfiles(query, database.conn_id, **CRM)) == list(range(many))
    assert values(SqlProfiles(sql(1) + " WHERE i < 0", database.conn_id, **CRM)) == []
    where = f" WHERE i > {PLACEHOLDER[database.kind]}"
    assert values(SqlProfiles(sql(250) + where, database.conn_id, parameters=[240], **CRM)) == list(range(241, 250))


def test_a_query_whose_rows_do_not_fit(database: Database) -> None:
    with pytest.raises(ValueError, match=f"query on {database.conn_id}, row 3, column 'crm': there is no value"):
        values(SqlProfiles("SELECT 1 AS crm UNION ALL SELECT 2 UNION ALL SELECT NULL", database.conn_id, **CRM))
    with pytest.raises(ValueError, match=r"row 1, column 'crm': field_value: .*, got a (floating-point|decimal)"):
        values(SqlProfiles("SELECT 1.5 AS crm", database.conn_id, **CRM))
    with pytest.raises(ValueError, match="no column 'crm', but 'a'"):
        values(SqlProfiles("SELECT 1 AS a", database.conn_id, **CRM))
    assert values(SqlProfiles("SELECT 7 AS CRM", database.conn_id, **CRM)) == [7]  # in whichever case it comes


TEXT, WHOLE = "select it as text", "select it as a whole number"
KINDS: dict[str, dict[str, tuple[str, str, str]]] = {
    # what is selected, what is said of it, and the advised selection of the databases that have it
    "postgres": {
        "char": ("'a'::char(5)", "as char\\(n\\) has them; select it as TRIM\\(crm\\)", "TRIM({})"),
        "bytes": ("'\\x61'::bytea", "got bytes; select them as text: encode\\(crm, 'hex'\\)", "encode({}, 'hex')"),
        "decimal": ("1.5::numeric", f"got a decimal number; {WHOLE}: CAST\\(crm AS bigint\\)", "CAST({} AS bigint)"),
        "infinite": ("'NaN'::numeric", "got a decimal number", "({}::text)"),
        "float": ("7::float8", f"got a floating-point number; {WHOLE}", "CAST({} AS bigint)"),
        "date": ("current_date", f"got a date or time; {TEXT}", "{}::text"),
        "time": ("now()", f"got a date or time; {TEXT}", "{}::text"),
        "bool": ("true", f"got a truth value; {TEXT}", "{}::text"),
        "json": ("'{{}}'::jsonb", f"got dict; {TEXT}", "{}::text"),
    },
    "mariadb": {
        "bytes": ("x'61'", "got bytes; select them as text: .*HEX\\(crm\\) elsewhere", "HEX({})"),
        "decimal": ("CAST(1.5 AS decimal(5, 2))", "on MariaDB CAST\\(crm AS signed\\)", "CAST({} AS signed)"),
        "large": ("9223372036854775808", "got a whole number; .* on MariaDB CAST\\(crm AS char\\)", "CAST({} AS char)"),
        "float": ("7e0", "got a floating-point number", "CAST({} AS signed)"),
        "date": ("current_date", "got a date or time", "CAST({} AS char)"),
        "time": ("CAST('10:00' AS time)", "got a date or time", "CAST({} AS char)"),
    },
    "sqlite": {
        "bytes": ("x'61'", "got bytes", "HEX({})"),
        "float": ("7.0", f"got a floating-point number; {WHOLE}", "CAST({} AS bigint)"),
        "char": ("'a '", "TRIM", "TRIM({})"),
    },
    "duckdb": {
        "uuid": ("uuid()", f"got a UUID; {TEXT}: crm::text", "{}::text"),
        "bytes": ("'a'::blob", "got bytes", "HEX({})"),
        "decimal": ("1.5::decimal(5, 2)", "got a decimal number", "CAST({} AS bigint)"),
        "large": ("170141183460469231731687303715884105727::hugeint", f"got a whole number; {TEXT}", "{}::text"),
        "float": ("'nan'::double", "got a floating-point number", "({}::text)"),
        "date": ("current_date", "got a date or time", "{}::text"),
        "list": ("[1]", "got list", "{}::text"),
    },
}


@pytest.mark.parametrize(
    ("kind", "given", "said", "advised"),
    [(kind, *each) for kind, found in KINDS.items() for each in found.values()],
    ids=[f"{kind}-{name}" for kind, found in KINDS.items() for name in found],
)
def test_kinds_of_columns_that_are_no_identifier(
    request: pytest.FixtureRequest, kind: str, given: str, said: str, advised: str
) -> None:
    """What the refusal says to select is a text or a whole number of this database."""
    conn_id = request.getfixturevalue(kind).conn_id
    with pytest.raises(ValueError, match=f"query on {conn_id}, row 1, column 'crm': field_value: expected .*{said}"):
        values(SqlProfiles(f"SELECT {given.format()} AS crm", conn_id, **CRM))
    (found,) = values(
        SqlProfiles(f"SELECT {advised.format('t.crm')} AS crm FROM (SELECT {given.format()} AS crm) t", conn_id, **CRM)
    )
    assert isinstance(found, str | int)


def test_a_uuid_of_postgresql(postgres: Database) -> None:
    """One driver gives an object, the other one text."""
    given = SqlProfiles("SELECT gen_random_uuid() AS crm", postgres.conn_id, **CRM)
    if type(BaseHook.get_hook(postgres.conn_id).get_conn()).__module__.startswith("psycopg2"):
        assert len(values(given)[0]) == 36
    else:
        with pytest.raises(ValueError, match=f"got a UUID; {TEXT}: crm::text"):
            values(given)
    assert len(values(SqlProfiles("SELECT gen_random_uuid()::text AS crm", postgres.conn_id, **CRM))[0]) == 36


def test_whole_numbers_and_phones_of_a_query(database: Database) -> None:
    """A database's whole numbers may come as decimals, and phones as numbers."""
    assert values(SqlProfiles("SELECT CAST(7 AS decimal(9, 0)) AS crm", database.conn_id, **CRM)) == [7]
    sql = "SELECT 79001234567 AS phone UNION ALL SELECT 79001234568"
    source = SqlProfiles(sql + " ORDER BY 1", database.conn_id, matching="phone", phone_region="RU")
    assert [each["phone"] for each in source.lookups(NOBODY, 1)] == ["+79001234567", "+79001234568"]


@pytest.mark.parametrize("kind", ["postgres", "duckdb"])
def test_a_value_that_a_query_cannot_cast(request: pytest.FixtureRequest, kind: str) -> None:
    """The database shows it in its error; ours does not, and no retry helps."""
    database: Database = request.getfixturevalue(kind)
    query = "SELECT CAST(mail AS INTEGER) AS crm FROM (SELECT 'ann@' || 'example.com' AS mail) people"
    with pytest.raises(ValueError, match=f"^query on {database.conn_id}: ") as caught:
        values(SqlProfiles(query, database.conn_id, **CRM))
    shown = "".join(traceback.format_exception(caught.value))
    assert "ann@example" not in shown


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL's hook says it by a RuntimeError, which would be retried."""
    monkeypatch.setenv("AIRFLOW_CONN_WITHOUT_DRIVER", "mysql://root@127.0.0.1/test")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    needed = r"what 'mysql' needs is not installed.*pip install 'airflow-provider-altcraft\[mysql\]'"
    with pytest.raises(ValueError, match=needed):
        values(SqlProfiles("SELECT 1 AS crm", "without_driver", **CRM))
    with pytest.raises(ValueError, match=needed):
        SqlTarget("without_driver", "history").open(Scope(1, None))


def test_a_query_of_a_table_that_is_not_there(database: Database) -> None:
    with pytest.raises((ValueError, OSError), match=f"^query on {database.conn_id}: .*nobody"):
        values(SqlProfiles("SELECT crm FROM nobody", database.conn_id, **CRM))


def test_nothing_is_left_open_when_a_row_does_not_fit(postgres: Database) -> None:
    """During a result that the server still holds; and what the query wrote is rolled back."""
    source = SqlProfiles(sql(50_000, ", 1 AS n") + " ORDER BY CASE WHEN i = 0 THEN NULL ELSE i END", postgres.conn_id)
    source.columns = "crm"
    with pytest.raises(ValueError, match="row 1, column 'crm': email"):
        list(source.lookups(NOBODY, 1))
    name = postgres.arguments["dbname"]
    others = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND query LIKE '%altcraft_profiles%'"
    assert postgres.execute(others + " AND pid <> pg_backend_pid()") == [(0,)]


def test_connections_that_are_none(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="conn_id: there is no Airflow connection 'nowhere'"):
        values(SqlProfiles("SELECT 1 AS crm", "nowhere", **CRM))
    monkeypatch.setenv("AIRFLOW_CONN_PLATFORM", json.dumps({"conn_type": "altcraft", "host": "x", "password": "x"}))
    with pytest.raises(ValueError, match="a connection of AltcraftHook, not of a SQL database"):
        values(SqlProfiles("SELECT 1 AS crm", "platform", **CRM))


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.seed(profiles=30, events_per_profile=4)
    return altcraft_api


def pull(**arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = AltcraftHistoryOperator(task_id="pull", **arguments).execute({})
    return found


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_shards_into_one_table(api: Emulator, database: Database, disposition: str) -> None:
    """Each again, in another order: none removes what another has written."""
    target = database.target(database.new_table(), disposition)
    source = SqlProfiles(sql(30), database.conn_id, **CRM)
    results = [pull(profiles=source, shard=(number, 3), target=target) for number in (0, 1, 2, 1, 0)]
    assert sum(result["profiles"] for result in results[:3]) == 30
    assert all(result["rows"] for result in results)
    rows = database.rows(target.table)
    assert sorted(row["event_id"] for row in rows) == sorted(row["event_id"] for row in api.events())
    assert len(rows) == 120


@pytest.mark.parametrize("kind", ["csv.gz", "parquet", "xlsx"])
def test_an_object_in_a_store(api: Emulator, s3: S3, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"crm": range(30)}), buffer)
    book, workbook = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("Клиенты")
    for cell in ["crm", *range(30)]:
        sheet.append([cell])
    book.save(workbook)
    body = {
        "csv.gz": gzip.compress("Имя;crm\r\n".encode("cp1251") + b"\r\n".join(b";%d" % n for n in range(30))),
        "parquet": buffer.getvalue(),
        "xlsx": workbook.getvalue(),
    }
    s3.put(f"who/crm.{kind}", bytes(memoryview(body[kind])))
    source = FileProfiles(s3.uri(f"who/crm.{kind}"), delimiter=";", encoding="cp1251", **CRM)
    results = [
        pull(profiles=source, shard=[number, 2], target=s3.uri(f"{kind}/{{shard}}.parquet")) for number in range(2)
    ]
    assert s3.keys(f"{kind}/") == [f"{kind}/0000-of-0002.parquet", f"{kind}/0001-of-0002.parquet"]
    assert [result["rows"] for result in results] == [4 * result["profiles"] for result in results]
    assert sum(result["rows"] for result in results) == 120
    with pytest.raises(FileNotFoundError):
        pull(profiles=FileProfiles(s3.uri("who/nobody.csv")), target=s3.uri("nobody.parquet"))
    with pytest.raises(AirflowFailException, match="there is no Airflow connection 'nowhere'"):
        pull(profiles=FileProfiles("s3://nowhere@lake/who.csv"), target=s3.uri("nobody.parquet"))


WRITTEN = ("79{:09}", "+7 (9{:09}", "8 9{:09}", "9{:09}")


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_phones_of_excel_in_shards(api: Emulator, s3: S3, kind: str) -> None:
    """Written in every way, in the platform's form they find whom they are of; each is in one shard however written."""
    written = [WRITTEN[number % 4].format(number) for number in range(30)]
    book, body = Workbook(write_only=True), io.BytesIO()
    sheet = book.create_sheet("Клиенты")
    for cell in ["Телефон", *(int(each) if each.isdigit() else each for each in written)]:
        sheet.append([cell])
    book.save(body)
    text = "\r\n".join(["Телефон;Имя", *(f"{each};Анна" for each in written)])
    s3.put(f"phones/a.{kind}", body.getvalue() if kind == "xlsx" else text.encode("cp1251"))
    results = []
    for number in range(3):
        source = FileProfiles(
            s3.uri("phones/{{ name }}"),
            matching="phone",
            columns="Телефон",
            phone_region="RU",
            delimiter=";",
            encoding="cp1251",
            sheet="{{ sheet }}",
        )
        task = AltcraftHistoryOperator(
            task_id="pull", profiles=source, shard=[number, 3], target=s3.uri(f"phones/{kind}/{{shard}}.jsonl")
        )
        task.render_template_fields({"name": f"a.{kind}", "sheet": "Клиенты"})  # type: ignore[arg-type]
        results.append(task.execute({}))
        again = [json.loads(line) for line in s3.read(f"phones/{kind}/000{number}-of-0003.jsonl").splitlines()]
        assert {row["lookup"] for row in again} <= {f"+79{each:09}" for each in range(30)}
    assert sum(result["profiles"] for result in results) == 30
    assert sum(result["rows"] for result in results) == 120


def test_the_platforms_own_list(api: Emulator, tmp_path: Any) -> None:
    results = [
        pull(profiles=PlatformProfiles(page_size=7), shard=(number, 2), target=f"{tmp_path}/{{shard}}.jsonl")
        for number in range(2)
    ]
    assert [sum(result[what] for result in results) for what in ("profiles", "rows")] == [30, 120]


MEASURE = """
import os, sys
from airflow_provider.altcraft.extract.profiles.lookups import Lookups
from airflow_provider.altcraft.extract.sources import *
from airflow_provider.altcraft.testing.conformance.killing import peak
def run(source):
    lookups = Lookups(each for each in source.lookups(None, 1) if shard_of(each, 4) == 1)
    return len(lookups), peak() >> 20
small, large = eval(sys.stdin.read())
_, before = run(small)
began = os.times()
found, after = run(large)
ended = os.times()
print(found, before, after, ended.user + ended.system - began.user - began.system)
"""


def measured(small: Any, large: Any) -> tuple[int, int, int, float]:
    """Lookups of a shard; MiB before and after; seconds of the processor, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE]
    done = subprocess.run(command, input=repr((small, large)), capture_output=True, text=True, check=True)
    *counts, seconds = done.stdout.split("\n")[-2].split()
    return *map(int, counts), float(seconds)  # type: ignore[return-value]


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_million_rows_of_a_query_in_flat_memory(database: Database) -> None:
    wide = "printf('%200s', 'x')" if database.kind == "sqlite" else "repeat('x', 200)"
    far = "SET STATEMENT max_recursive_iterations = 1000000 FOR " if database.kind == "mariadb" else ""
    of = [SqlProfiles(far + sql(rows, f", {wide} AS wide"), database.conn_id, **CRM) for rows in (50_000, 1_000_000)]
    found, before, after, seconds = measured(*of)
    print(
        f"\n{database.kind}: a shard of 4 of 1,000,000 rows, {before} -> {after} MiB, {seconds:.1f} s of the processor"
    )
    assert abs(found - 250_000) < 3_000
    assert after - before < 40  # the rows themselves are 200 MiB


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl.zst", "parquet", "xlsx"])
def test_a_million_rows_of_a_file_in_flat_memory(tmp_path: Any, kind: str) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    def write(rows: int) -> FileProfiles:
        path = str(tmp_path / f"{rows}.{kind}")
        if kind == "xlsx":
            book = Workbook(write_only=True)
            sheet = book.create_sheet("a")
            sheet.append(["crm", "wide"])
            for number in range(rows):
                sheet.append([number, "x" * 100])
            book.save(path)
            return FileProfiles(path, **CRM)
        table = pa.table({"crm": [str(number) for number in range(rows)], "wide": ["x" * 100] * rows})
        if kind == "parquet":
            pq.write_table(table, path)
        elif kind == "jsonl.zst":
            with pa.CompressedOutputStream(path, "zstd") as out:
                for number in range(rows):
                    out.write(b'{"crm": %d, "wide": "%s"}\n' % (number, b"x" * 100))
        else:
            with pa.output_stream(path) as out:
                pyarrow.csv.write_csv(table, out)
        return FileProfiles(path, **CRM)

    found, before, after, seconds = measured(write(50_000), write(1_000_000))
    print(f"\n{kind}: a shard of 4 of 1,000,000 rows, {before} -> {after} MiB, {seconds:.1f} s of the processor")
    assert abs(found - 250_000) < 3_000
    assert after - before < (120 if kind == "xlsx" else 40)  # some 100 bytes a row, as docs/history.md says
