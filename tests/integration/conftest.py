"""Servers that several integration tests use, each started once for the whole run."""

from __future__ import annotations

from tests.integration.databases import database, duckdb, duckdb_by_community, mariadb, postgres, sqlite
from tests.integration.stores import S3, Azure, Gcs, Store, azure, gcs, s3, start_s3

__all__ = [
    "S3",
    "Azure",
    "Gcs",
    "Store",
    "azure",
    "database",
    "duckdb",
    "duckdb_by_community",
    "gcs",
    "mariadb",
    "postgres",
    "s3",
    "sqlite",
    "start_s3",
]
