"""What targets and sources say in a process that has none of the extras; prints it as JSON.

The packages are hidden rather than left out, since an environment without them takes a minute to make.
"""

from __future__ import annotations

import importlib.abc
import importlib.metadata
import json
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import importlib_metadata

PROVIDERS = ("amazon", "google", "microsoft-azure", "postgres", "mysql", "duckdb", "clickhousedb", "apache-iceberg")
MODULES = (
    "s3fs",
    "aiobotocore",
    "gcsfs",
    "adlfs",
    "psycopg2",
    "psycopg",
    "MySQLdb",
    "mysql",
    "duckdb",
    "duckdb_provider",
    "clickhouse_connect",
    "deltalake",
    "pyiceberg",
)
CONNECTIONS = {"aws": "a", "google_cloud_platform": "g", "wasb": "w", "postgres": "p", "mysql": "m", "duckdb": "d"}
CONNECTIONS["clickhouse"] = "c"
TARGETS = (
    *("s3://a@b/k.parquet", "s3a://b/k.parquet", "gs://g@b/k.parquet", "gcs://b/k.parquet", "abfs://w@b/k.parquet"),
    *("abfss://b/k.parquet", "az://b/k.parquet", "adl://b/k.parquet", "sql://p/t", "sql://m/t", "sql://d/t"),
    "sql://c/t",
    *("delta+file:///a", "iceberg://i/a.b"),
    "unheard://b/k.parquet",
)


class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        hidden = (*MODULES, *(f"airflow.providers.{each.replace('-', '.')}" for each in PROVIDERS))
        if any(f"{name}.".startswith(f"{each}.") for each in hidden):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def hide(metadata: Any) -> None:
    discover = metadata.Distribution.discover
    names = {"airflow-provider-duckdb", *(f"apache-airflow-providers-{each}" for each in PROVIDERS)}

    def found(cls: Any, *args: Any, **kwargs: Any) -> Any:
        for each in discover(*args, **kwargs):
            if each.metadata["Name"].lower().replace("_", "-") not in names:
                yield each

    metadata.Distribution.discover = classmethod(found)


sys.meta_path.insert(0, Hidden())
for each in (importlib.metadata, importlib_metadata):
    hide(each)
os.environ |= {f"AIRFLOW_CONN_{id_.upper()}": json.dumps({"conn_type": kind}) for kind, id_ in CONNECTIONS.items()}

from airflow_provider.altcraft.extract.sources import FileProfiles, SqlProfiles  # noqa: E402
from airflow_provider.altcraft.targets import Scope, resolve_target  # noqa: E402

said: dict[str, str] = {}
for uri in TARGETS:
    try:
        resolve_target(uri).open(Scope(1, None))
    except ValueError as error:
        said[uri] = str(error)
for name, source in {"file": FileProfiles("gs://b/k.csv"), "query": SqlProfiles("SELECT 1", "p")}.items():
    try:
        list(source.lookups(None, 1))  # type: ignore[arg-type] # neither asks the platform
    except ValueError as error:
        said[name] = str(error)
print("\n" + json.dumps(said))
