"""Which extra of this package brings what a scheme or a type of connection needs."""

from __future__ import annotations

from typing import Final

_EXTRAS: Final = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
    "adl": "azure",
    "postgres": "postgres",
    "mysql": "mysql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
    "clickhouse": "clickhouse",
    "dlt": "dlt",
    "delta": "delta",
    "iceberg": "iceberg",
}


def not_installed(kind: str, error: BaseException | None = None) -> str:
    """Return a sentence that names the missing package and how to install it.

    Args:
        kind: a scheme, or a type of connection.
        error: of the import that failed, where one did.
    """
    why = f" ({error})" if error else ""
    if kind not in _EXTRAS:
        return f"no installed package knows {kind!r}{why}; install the Airflow provider that brings it"
    return f"what {kind!r} needs is not installed{why}: pip install 'airflow-provider-altcraft[{_EXTRAS[kind]}]'"
