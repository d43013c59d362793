"""The store behind a URI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider.altcraft._airflow.storage import reach
from airflow_provider.altcraft._redact import without_secrets
from airflow_provider.altcraft.targets.object_storage.stores import store_class
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import saying

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore


def reach_store(uri: str) -> FsspecStore:
    """Return the store, whose names are relative to the URI.

    Raises:
        ValueError: the connection or a package is not there.
        OSError: the place cannot be reached.
    """
    with without_secrets(), saying(uri):
        fs, path = reach(uri)
        return store_class(fs)(uri, fs, path)
