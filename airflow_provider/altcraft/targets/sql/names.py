"""Names of tables as a user writes them: ``table``, ``schema.table``, a part in double quotes where it is unusual.

And which databases are refused by their names.

Apart from what talks to databases so that a DAG file pays nothing for the check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from airflow_provider.altcraft._redact import without_user

Disposition: TypeAlias = Literal["merge", "replace", "append"]
DISPOSITIONS: tuple[str, ...] = get_args(Disposition)

ACCEPTED = "'table', 'schema.table' or '\"odd schema\".\"odd table\"'"
ACCEPTED_URI = "'sql://conn_id/schema.table'"

_PLAIN = re.compile(r"[\w$#@-]+")
_PART = re.compile(r'"((?:[^"]|"")+)"|([\w$#@-]+)')


# By the type of the Airflow connection or the name of SQLAlchemy's dialect.
_WITHOUT_TRANSACTIONS = {
    "athena": "Amazon Athena",
    "awsathena": "Amazon Athena",
    "bigquery": "BigQuery",
    "clickhouse": "ClickHouse",
    "clickhousedb": "ClickHouse",
    "databend": "Databend",
    "databricks": "Databricks SQL",
    "doris": "Apache Doris",
    "drill": "Apache Drill",
    "druid": "Apache Druid",
    "elasticsearch": "Elasticsearch",
    "gcpbigquery": "BigQuery",
    "hive": "Apache Hive",
    "hive_cli": "Apache Hive",
    "hiveserver2": "Apache Hive",
    "impala": "Apache Impala",
    "kylin": "Apache Kylin",
    "pinot": "Apache Pinot",
    "presto": "Presto",
    "spark": "Apache Spark",
    "starrocks": "StarRocks",
    "trino": "Trino",
}


@dataclass(frozen=True, slots=True)
class Name:
    """A table's name as the database has it, without quotes."""

    table: str
    schema: str | None = None

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return ".".join(map(_written, filter(None, (self.schema, self.table))))


def parse(table: object) -> Name:
    """Return a name as the database has it; nothing in it is ever taken for SQL.

    Raises:
        ValueError: not the name of a table.
    """
    if not isinstance(table, str):
        raise ValueError(f"table: expected a name such as {ACCEPTED}, got {type(table).__name__}")
    parts, at = [], 0
    while True:
        match = _PART.match(table, at)
        if match is None:
            raise ValueError(
                f"table: {table!r} is not a table's name such as {ACCEPTED}; a part with other characters than "
                f"letters, digits and _ $ # @ - stands in double quotes"
            )
        parts.append(match[2] or match[1].replace('""', '"'))
        at = match.end()
        if at == len(table):
            break
        if table[at] != ".":
            raise ValueError(f"table: {table!r} goes on after a part's end; write it as {ACCEPTED}")
        at += 1
    if len(parts) > 2:
        raise ValueError(f"table: {table!r} has more than two parts; the connection names the database")
    for part in parts:
        if set(part) & {"%", "?"} or not part.isprintable() or part != part.strip():
            raise ValueError(
                f"table: {table!r} has a percent or question mark, unprintable characters or white space at an end, "
                f"which databases and their drivers do not take alike"
            )
    return Name(*reversed(parts))


def check_disposition(value: object) -> None:
    """Refuse what is no write disposition."""
    if value not in DISPOSITIONS:
        raise ValueError(f"write_disposition: expected 'merge', 'replace' or 'append', got {value!r}")


def check_connection(conn_id: object) -> None:
    """Refuse what cannot be the id of a connection."""
    if not isinstance(conn_id, str) or not re.fullmatch(r"[\w.-]+", conn_id):
        raise ValueError(f"conn_id: expected the id of an Airflow connection, got {conn_id!r}")


def refuse_without_transactions(name: str) -> None:
    """Refuse a database that cannot keep the promise, by its connection's type or its dialect's name.

    Raises:
        ValueError: it is one without transactions.
    """
    if database := _WITHOUT_TRANSACTIONS.get(name):
        raise ValueError(
            f"{database} has no transaction in which a pull could be written whole or not at all, so a reader could "
            f"see half of it and a retry double it; write to object storage, and load it from there"
        )


def to_uri(conn_id: str, name: Name) -> str:
    """Return ``sql://conn_id/schema.table``."""
    return f"sql://{conn_id}/{quote(str(name), safe='.$@-')}"


def from_uri(uri: str) -> dict[str, str]:
    """Return the arguments of a target that ``sql://conn_id/table`` or ``sql://conn_id@/table`` stands for.

    Raises:
        ValueError: not such a URI.
    """
    shown = without_user(uri)
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme != "sql" or not parts.netloc or len(parts.path) < 2 or parts.fragment:
        raise ValueError(f"target: {shown!r} is not the URI of a table; write it as {ACCEPTED_URI}")
    conn_id = parts.netloc.removesuffix("@")  # as the addresses of stores have it: s3://conn_id@bucket/…
    if not conn_id or "@" in conn_id or ":" in conn_id:
        raise ValueError(f"target: {shown!r} names a server; name an Airflow connection instead: {ACCEPTED_URI}")
    if set(options) - {"write_disposition"}:
        raise ValueError(f"target: {shown!r} has an option other than write_disposition=merge, replace or append")
    return {"conn_id": conn_id, "table": unquote(parts.path[1:]), **options}


def _written(part: str) -> str:
    if _PLAIN.fullmatch(part):
        return part
    escaped = part.replace('"', '""')
    return f'"{escaped}"'
