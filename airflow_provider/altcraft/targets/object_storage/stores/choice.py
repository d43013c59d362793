"""Connects to the store of a URI."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow_provider.altcraft._airflow.storage import reach
from airflow_provider.altcraft._redact import without_secrets
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore

_STORES = {
    "AzureBlobFileSystem": "azure.AzureStore",
    "GCSFileSystem": "gcs.GcsStore",
    "S3FileSystem": "s3.S3Store",
}
"""Stores with calls beyond fsspec's: the module and class, by the name of the file system's class or one of its bases.

By name, so that no other store's package is imported; not by scheme, because a store may have several.
"""


def store_class(fs: Any) -> type[FsspecStore]:
    """Return the class of the store for this file system."""
    for base in type(fs).__mro__:
        if base.__name__ in _STORES:
            module, name = _STORES[base.__name__].split(".")
            found: type[FsspecStore] = getattr(import_module(f"{__package__}.{module}"), name)
            return found
    return FsspecStore


def reach_store(uri: str) -> FsspecStore:
    """Return the store at the URI.

    Raises:
        ValueError: the connection or a package is missing.
        OSError: the place cannot be reached.
    """
    with without_secrets(), FsspecStore.translated_errors(uri):
        fs, path = reach(uri)
        return store_class(fs)(uri, fs, path)
