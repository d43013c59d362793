"""A table as a target: what is known of it without a database."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql, postgresql, sqlite

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets import Scope, SqlTarget, Target, resolve_target
from airflow_provider.altcraft.targets.sql import table as _sql_table
from airflow_provider.altcraft.targets.sql.dialects.duckdb import DuckDbRules
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherRules
from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlRules, _chunks, _literals
from airflow_provider.altcraft.targets.sql.dialects.sqlite import SqliteRules
from airflow_provider.altcraft.targets.sql.errors import message_of
from airflow_provider.altcraft.targets.sql.names import Name, parse
from airflow_provider.altcraft.targets.sql.rules import FoundColumn, Shape, TableRules

PARTS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="%?"), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("history", Name("history")),
        ("lake.history", Name("history", "lake")),
        ('"My lake"."odd.name"', Name("odd.name", "My lake")),
        ('lake."a ""b"" c"', Name('a "b" c', "lake")),
        ("История.Год_2026", Name("Год_2026", "История")),
    ],
)
def test_a_name_is_taken_as_it_is_written(text, name):
    assert parse(text) == name
    assert str(name) == text


@given(PARTS, st.none() | PARTS)
def test_any_name_is_read_as_it_is_written(table, schema):
    name = Name(table, schema)
    assert parse(str(name)) == name
    assert SqlTarget("db", str(name)).table == str(name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "got NoneType"),
        ("", "is not a table's name"),
        ("a b", "goes on after a part's end"),
        ("a; DROP TABLE b", "goes on after a part's end"),
        ("a.", "is not a table's name"),
        (".a", "is not a table's name"),
        ('"a', "is not a table's name"),
        ('"a"b', "goes on after a part's end"),
        ('""', "is not a table's name"),
        ("a.b.c", "more than two parts"),
        ('"a%b"', "percent or question mark"),
        ('"a?b"', "percent or question mark"),
        ('"a\nb"', "unprintable"),
        ('"a\0b"', "unprintable"),
        ('" a"', "white space at an end"),
    ],
)
def test_what_is_no_name_is_refused(text, says):
    with pytest.raises(ValueError, match=rf"^table: .*{says}"):
        SqlTarget("db", text)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"conn_id": "a b"}, "conn_id: expected the id of an Airflow connection, got 'a b'"),
        ({"conn_id": ""}, "conn_id: "),
        ({"conn_id": None}, "conn_id: "),
        ({"write_disposition": "upsert"}, "write_disposition: expected 'merge', 'replace' or 'append', got 'upsert'"),
        ({"nul_replacement": "\0"}, "nul_replacement: expected a text to write in place of"),
    ],
)
def test_other_arguments_are_checked(arguments, says):
    with pytest.raises(ValueError, match=f"^{says}"):
        SqlTarget(**{"conn_id": "db", "table": "t", **arguments})


def test_a_template_is_checked_once_it_is_rendered():
    target = SqlTarget("{{ conn }}", "{{ table }}", "{{ how }}")
    assert target.template_fields == ("conn_id", "table", "write_disposition", "nul_replacement")
    with pytest.raises(ValueError, match="conn_id: "):
        target.open(Scope(1, None))
    target.conn_id = "db"
    with pytest.raises(ValueError, match="write_disposition: "):
        target.open(Scope(1, None))
    target.write_disposition = "merge"
    with pytest.raises(ValueError, match="table: "):
        target.open(Scope(1, None))


def test_its_repr_makes_it_again():
    for target in (SqlTarget("db", 'a."b c"', "replace"), SqlTarget("db", "t", nul_replacement="␀")):
        assert eval(repr(target)) == target
    assert SqlTarget("db", "t") != SqlTarget("db", "t", "append")
    assert isinstance(SqlTarget("db", "t"), Target)


@pytest.mark.parametrize(
    ("uri", "target"),
    [
        ("sql://db/history", SqlTarget("db", "history")),
        ("sql://db@/lake.history", SqlTarget("db", "lake.history")),
        ("sql://db/lake.history?write_disposition=append", SqlTarget("db", "lake.history", "append")),
        ("sql://db/%22a%20b%22.c", SqlTarget("db", '"a b".c')),
    ],
)
def test_of_a_uri(uri, target):
    assert resolve_target(uri) == target


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("sql://db", "is not the URI of a table"),
        ("sql://db/", "is not the URI of a table"),
        ("sql://@/t", "names a server"),
        ("sql:///t", "is not the URI of a table"),
        ("sql://db/t#x", "is not the URI of a table"),
        ("sql://me:s3cr3t@host/t", "names a server; name an Airflow connection"),
        ("sql://host:5432/t", "names a server"),
        ("sql://db/t?mode=merge", "has an option other than"),
        ("sql://db/t?write_disposition=", "write_disposition: "),
        ("sql://db/a/b", "goes on after a part's end"),
    ],
)
def test_what_is_no_uri_is_refused(uri, says):
    with pytest.raises(ValueError, match=says) as refused:
        resolve_target(uri)
    assert "s3cr3t" not in str(refused.value)


def test_no_such_connection():
    with pytest.raises(ValueError, match=r"^sql://nowhere/t: there is no Airflow connection 'nowhere'"):
        SqlTarget("nowhere", "t").open(Scope(1, None))


def test_a_connection_of_another_kind(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "aws://")
    with pytest.raises(
        ValueError, match=r"^sql://lake/t: the connection is of type 'aws', which is not a SQL database"
    ):
        SqlTarget("lake", "t").open(Scope(1, None))


# The table


RULES = {
    "postgresql": TableRules(),
    "mysql": MySqlRules(),
    "sqlite": SqliteRules(),
    "duckdb": DuckDbRules(),
    "other": OtherRules(),
}


def dialect_of(kind):
    return {"mysql": mysql, "sqlite": sqlite}.get(kind, postgresql).dialect()


def fitting(table, **columns):
    """A table just as it would be made, but for some columns; those that are ``None`` are not there."""
    # SQLAlchemy 1.4 wraps a type that differs from dialect to dialect; one that is read from a database it does not.
    found = {each.name: FoundColumn(getattr(each.type, "impl", each.type), each.nullable) for each in table.columns}
    found |= columns
    key = [tuple(each.name for each in table.primary_key.columns)]
    return Shape({name: each for name, each in found.items() if each}, [each for each in key if each], [])


def hindrances(kind, disposition, shape=None, **columns):
    table = _sql_table.define(Name("history", "lake"), RULES[kind], disposition)
    shape = shape or fitting(table, **columns)
    return _sql_table.differences(table, shape, RULES[kind], disposition, dialect_of(kind))


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "sqlite", "duckdb", "other"])
@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
def test_the_table_that_is_made_fits(kind, disposition):
    table = _sql_table.define(
        Name("history"), RULES[kind], disposition, collation="utf8mb4_bin" if kind == "mysql" else None
    )
    assert [each.name for each in table.columns] == list(COLUMNS)
    assert [each.nullable for each in table.columns] == [each.nullable for each in SCHEMA]
    assert [each.name for each in table.primary_key.columns] == ["event_key"] * (disposition == "merge")
    first, index = _sql_table.create(table, dialect_of(kind))
    assert first.startswith("CREATE TABLE history (")
    assert index.startswith("CREATE INDEX ix_history_list_id_datetime ON history (list_id, ")
    assert hindrances(kind, disposition) == []


def test_a_missing_column():
    assert hindrances("postgresql", "append", smid=None, count=None) == [
        ("there is no column count", "ALTER TABLE lake.history ADD COLUMN count BIGINT"),
        ("there is no column smid", "ALTER TABLE lake.history ADD COLUMN smid TEXT"),
    ]


@pytest.mark.parametrize(
    ("kind", "column", "type_", "fixed"),
    [
        ("postgresql", "list_id", sa.Integer(), "ALTER COLUMN list_id TYPE BIGINT USING list_id::BIGINT"),
        ("postgresql", "lookup", sa.VARCHAR(40), "ALTER COLUMN lookup TYPE TEXT USING lookup::TEXT"),
        ("postgresql", "lookup", postgresql.CITEXT() if hasattr(postgresql, "CITEXT") else sa.CHAR(9), "TYPE TEXT"),
        ("postgresql", "extra", postgresql.JSONB(), "ALTER COLUMN extra TYPE JSON USING extra::JSON"),
        ("postgresql", "datetime", sa.TIMESTAMP(), "USING datetime AT TIME ZONE 'UTC'"),
        ("postgresql", "datetime", postgresql.TIMESTAMP(timezone=True, precision=0), "TYPE TIMESTAMP WITH TIME ZONE"),
        ("postgresql", "email", sa.types.NullType(), "TYPE TEXT"),
        ("mysql", "datetime", mysql.DATETIME(), "MODIFY COLUMN datetime DATETIME(6) NOT NULL"),
        ("mysql", "datetime", mysql.TIMESTAMP(fsp=6), "MODIFY COLUMN datetime DATETIME(6) NOT NULL"),
        ("mysql", "action", mysql.ENUM("open"), "MODIFY COLUMN action LONGTEXT NOT NULL"),
        ("mysql", "extra", mysql.JSON(), "MODIFY COLUMN extra LONGTEXT"),
        ("sqlite", "lookup", sa.Integer(), "RENAME TO history_before"),
        ("duckdb", "count", sa.Integer(), "ALTER COLUMN count TYPE BIGINT"),
    ],
)
def test_a_type_that_does_not_fit(kind, column, type_, fixed):
    ((what, ddl),) = hindrances(kind, "append", **{column: FoundColumn(type_, nullable=True)})
    assert what.startswith(f"column {column} is ")
    assert "; expected " in what
    assert fixed in ddl


@pytest.mark.parametrize(
    ("kind", "column", "type_"),
    [
        ("postgresql", "event_key", sa.CHAR(32)),
        ("postgresql", "extra", sa.Text()),
        ("postgresql", "lookup", sa.VARCHAR(320)),
        ("sqlite", "datetime", sa.Text()),
        ("sqlite", "list_id", sa.Integer()),
        ("mysql", "lookup", mysql.VARCHAR(500)),
        ("other", "list_id", sa.Numeric(19, 0)),
    ],
)
def test_a_type_that_fits_as_well(kind, column, type_):
    assert hindrances(kind, "append", **{column: FoundColumn(type_, nullable=True)}) == []


def test_columns_of_the_users_own():
    own = {"id": FoundColumn(sa.BigInteger(), False, True), "note": FoundColumn(sa.Text(), True)}
    assert hindrances("postgresql", "merge", **own) == []
    assert hindrances("postgresql", "merge", must=FoundColumn(sa.Text(), nullable=False)) == [
        (
            "column must is NOT NULL without a default, and events have none",
            "ALTER TABLE lake.history ALTER COLUMN must DROP NOT NULL",
        )
    ]
    ((what, _),) = hindrances("postgresql", "merge", email=FoundColumn(sa.Text(), nullable=False))
    assert what == "column email is NOT NULL, but events may lack it"


@pytest.mark.parametrize(
    ("disposition", "unique", "says"),
    [
        ("merge", [], "event_key is not the primary key"),
        ("merge", [("event_key",), ("event_id",)], "(event_id) is unique, but merge"),
        ("merge", [("event_key",), ("id",), ("event_key", "lookup")], None),
        ("replace", [("event_key",)], "(event_key) is unique, but replace"),
        ("replace", [("event_key", "matching", "lookup"), ("id", "datetime")], None),
        ("append", [("event_key", "matching", "lookup")], "is unique, but append"),
        ("append", [("id",)], None),
    ],
)
def test_keys(disposition, unique, says):
    table = _sql_table.define(Name("history"), TableRules(), disposition)
    shape = fitting(table, id=FoundColumn(sa.BigInteger(), False, True))
    shape.unique = unique
    found = _sql_table.differences(table, shape, TableRules(), disposition, postgresql.dialect())
    if says is None:
        assert found == []
    else:
        assert any(says in what for what, _ in found)


def test_a_long_name_has_an_index_of_its_own():
    one, two = (_sql_table.define(Name("t" * 62 + end), TableRules(), "append") for end in "ab")
    (first,), (second,) = one.indexes, two.indexes
    assert first.name != second.name
    assert len(first.name) <= 63


# Literals of MariaDB


def test_literals_and_packets(batch):
    found = batch(3, message_name="it's \\ \0 ж", extra=None)
    lines = _literals(found)
    assert lines[0].as_py().count("NULL") == sum(value is None for value in found.to_pylist()[0].values())
    assert "'it\\'s \\\\ \0 ж'" in lines[0].as_py()
    assert "'2024-01-01 00:00:00.000000'" in lines[0].as_py()
    assert b",".join(_chunks(lines, 1 << 20)).decode() == ",".join(lines.to_pylist())
    assert len(list(_chunks(lines, 10))) == 3


# Errors


class DriverError(Exception):
    """As psycopg has it: what is wrong, and apart from it the row."""

    class diag:  # noqa: N801
        message_primary = "value too long"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DriverError("value too long\nDETAIL: ann@example.com"), "DriverError: value too long"),
        (
            Exception("1062 (23000): Duplicate entry 'ann@example.com' for key"),
            "Exception: 1062 (23000): Duplicate entry …",
        ),
        (
            Exception('Constraint Error: Duplicate key "lookup: ann@example.com"'),
            "Exception: Constraint Error: Duplicate key …",
        ),
        (Exception("no such table\nann@example.com"), "Exception: no such table"),
        (
            Exception("1366: Incorrect string value: '\\xF0' for column 'email'"),
            "Exception: 1366: Incorrect string value: …",
        ),
        (
            Exception('invalid input syntax for type bigint: "ann"'),
            "Exception: invalid input syntax for type bigint: …",
        ),
        (Exception("The duplicate key value is (ann)."), "Exception: The duplicate key value is …"),
        (Exception("Numeric value 'ann' is not recognized"), "Exception: Numeric value …"),
        (
            Exception('duplicate key value violates unique constraint "history_pkey"'),
            'Exception: duplicate key value violates unique constraint "history_pkey"',
        ),
        (
            Exception("1264: Out of range value for column 'count'"),
            "Exception: 1264: Out of range value for column 'count'",
        ),
        (Exception("1048: Column 'email' cannot be null"), "Exception: 1048: Column 'email' cannot be null"),
        (Exception("UNIQUE constraint failed: t.event_key"), "Exception: UNIQUE constraint failed: t.event_key"),
    ],
)
def test_an_error_is_reported_without_the_row(error, says):
    assert message_of(error) == says


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("INSERT INTO t (k) VALUES ('hush')", "Duplicate key …"),
        ("BEGIN; INSERT INTO t (k) VALUES ('hush 2'), ('hush 2')", "key …"),
        ("INSERT INTO t (n) VALUES ('hush')", "Could not convert string …"),
        ("INSERT INTO t (n) VALUES (98989898989898989898)", "with value …"),
        ("INSERT INTO t (happened) VALUES ('hush')", "format: …"),
        ("INSERT INTO t (j) VALUES ('hush')", "nput: …"),
        ("INSERT INTO u VALUES ('hush 3')", "because key …"),
    ],
)
def test_what_duckdb_says_is_reported_without_the_row(sql, says):
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY DEFAULT '', n BIGINT, happened TIMESTAMPTZ, j JSON)")
        connection.execute("CREATE TABLE u (k TEXT REFERENCES t (k))")
        connection.execute("INSERT INTO t (k) VALUES ('hush')")
        with pytest.raises(duckdb.Error) as caught:
            connection.execute(sql)
    assert message_of(caught.value).endswith(says)
    assert "hush" not in message_of(caught.value)
    assert "9898" not in message_of(caught.value)
