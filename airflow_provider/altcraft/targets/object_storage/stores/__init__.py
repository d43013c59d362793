"""Where objects are written: the local disk, and one class for each store behind Airflow's connections."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore

_STORES = {
    "AzureBlobFileSystem": "azure.AzureStore",
    "GCSFileSystem": "gcs.GcsStore",
    "S3FileSystem": "s3.S3Store",
}
"""By the name of the file system's class or of one of its bases: the module and class of those with calls of their own.

By name, so that no store's package is imported to recognize another's; not by scheme, of which one store has several.
"""


def store_class(fs: Any) -> type[FsspecStore]:
    """The class for what this file system reaches."""
    named = (_STORES[base.__name__] for base in type(fs).__mro__ if base.__name__ in _STORES)
    module, name = next(named, "fsspec.FsspecStore").split(".")
    found: type[FsspecStore] = getattr(import_module(f"{__name__}.{module}"), name)
    return found
