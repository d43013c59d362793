"""Parses and checks paths and URIs: a store and a key in it, or a path on the disk. Does no I/O."""

from __future__ import annotations

import posixpath
import re
from typing import Final
from urllib.parse import parse_qsl

from airflow_provider.altcraft._redact import without_password

ACCEPTED: Final = "'/folder/file.parquet', 'file:///folder/file.parquet' or 's3://conn_id@bucket/key.parquet'"

_DATABASES: Final = frozenset(
    {
        *("postgres", "postgresql", "redshift", "mysql", "mariadb", "sqlite", "duckdb", "mssql", "oracle"),
        *("snowflake", "bigquery", "clickhouse", "trino"),
    }
)

# What is surely no store of objects. Whether any other is one, and a safe one, shows when it is opened.
NO_STORES: Final = ("sql", "dlt", "http", "https", "ftp", "jdbc", "memory")

_URI: Final = re.compile(r"(?:jdbc:)?(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)


def is_database(scheme: str) -> bool:
    """Return whether a scheme is of SQLAlchemy or JDBC."""
    return scheme.partition("+")[0] in _DATABASES


def options_of(uri: str, known: tuple[str, str], accepted: str) -> dict[str, str]:
    """Return the options in the query of a target's URI.

    Raises:
        ValueError: one is not known.
    """
    options = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    if set(options) - set(known):
        raise ValueError(
            f"target: {without_password(uri)!r} has an option other than {' and '.join(known)}; write it as {accepted}"
        )
    return options


def locate(path: object) -> tuple[str, str | None]:
    """Return the URI of a place and, for a local one, its path; a last ``/`` stays.

    Raises:
        ValueError: neither an absolute path nor the URI of a store.
    """
    if not isinstance(path, str):
        raise ValueError(f"path: expected a string such as {ACCEPTED}, got {type(path).__name__}")
    shown = repr(without_password(path))
    if path != path.strip() or not path.isprintable():
        raise ValueError(f"path: {shown} has white space at an end or unprintable characters within")
    match = _URI.match(path)
    if match is None or match["scheme"].lower() == "file":
        return _locate_local(path if match is None else match["rest"], match is not None, shown)
    scheme, rest = match["scheme"].lower(), match["rest"]
    if is_database(scheme):
        raise ValueError(
            f"path: {shown} is the address of a database; write its table as 'sql://conn_id/schema.table', where "
            f"conn_id is an Airflow connection"
        )
    if scheme in NO_STORES:
        raise ValueError(f"path: {scheme}:// is not supported as a target; supported are: {ACCEPTED}")
    authority, _, key = rest.partition("/")
    conn_id, _, bucket = authority.rpartition("@")
    if ":" in conn_id:
        raise ValueError(
            f"path: {shown} has a password in it; name an Airflow connection instead: '{scheme}://conn_id@bucket/key'"
        )
    if bucket.endswith((".core.windows.net", ".storage.azure.net")):
        raise ValueError(
            f"path: {shown} names an account; that is the connection's: '{scheme}://conn_id@container/key.parquet'"
        )
    if not bucket or not key:
        raise ValueError(f"path: {shown} lacks a bucket or a key; write it as '{scheme}://conn_id@bucket/key.parquet'")
    if any(part in {"", ".", ".."} for part in key.removesuffix("/").split("/")):
        raise ValueError(
            f"path: {shown} has an empty part, '.' or '..' in its key, which stores and readers take apart"
        )
    return f"{scheme}://{rest}", None


def _locate_local(path: str, is_uri: bool, shown: str) -> tuple[str, str]:
    if not path.startswith("/"):
        raise ValueError(
            f"path: {shown} is not absolute; a file's URI has three slashes: 'file:///folder/file'"
            if is_uri
            else f"path: {shown} is neither absolute nor a URI; write it as {ACCEPTED}"
        )
    local = posixpath.normpath("/" + path.lstrip("/"))
    if local == "/":
        raise ValueError(f"path: {shown} is the root folder; name a folder or a file in it")
    if path.endswith("/"):
        local += "/"
    return f"file://{local}", local
