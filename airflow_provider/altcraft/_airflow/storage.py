"""Object stores behind Airflow's connections, for sources and targets."""

from __future__ import annotations

import importlib
import logging
import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import RedactingFilter

_S3 = "airflow.providers.amazon.aws.fs.s3"
_GCS = "airflow.providers.google.cloud.fs.gcs"
_ADLS = "airflow.providers.microsoft.azure.fs.adls"
_MODULES = {"s3": _S3, "s3a": _S3, "gs": _GCS, "gcs": _GCS, "abfs": _ADLS, "abfss": _ADLS, "adl": _ADLS}
_OF_AIRFLOW = {*_MODULES.values(), "airflow.providers.microsoft.azure.fs.msgraph"}


def reach(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI, and the path in it."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    _require_connection(uri)
    _redact_logs()
    scheme, _, rest = uri.partition("://")
    authority, _, key = rest.partition("/")
    try:
        _attach(scheme, authority.rpartition("@")[0] or None)
        # Without the key, which need not look like a URL's.
        fs = ObjectStoragePath(f"{scheme}://{authority}/").fs
    except ImportError as error:
        raise ValueError(f"{uri}: {not_installed(scheme, error)}") from error
    except ValueError as error:
        if re.search(r"No filesystem registered|Unsupported filesystem|protocol", str(error), re.IGNORECASE):
            raise ValueError(f"{uri}: {not_installed(scheme)}") from error
        raise
    return fs, f"{authority.rpartition('@')[2]}/{key}"


def _attach(scheme: str, conn_id: str | None) -> None:
    """Register the file system of a store that only Airflow's own providers serve.

    Airflow itself would import the packages of all stores to find it, Google's and Azure's for S3 too: 0.6 s and 60 MB
    in every task.
    """
    module = _MODULES.get(scheme)
    store = None if module is None else _store_of(scheme, conn_id)
    if store is None or "fs" in store.__dict__:  # reached before
        return
    names = _filesystem_modules()
    if module not in names or names - _OF_AIRFLOW:  # any of the others may know the scheme too
        return
    kind = importlib.import_module(module)
    if scheme in kind.schemes:
        store.fs = kind.get_fs(conn_id, {})


def _store_of(scheme: str, conn_id: str | None) -> Any:
    try:
        io = importlib.import_module("airflow.sdk.io.store")
    except ImportError:  # Airflow 2
        io = importlib.import_module("airflow.io.store")
    return io.attach(protocol=scheme, conn_id=conn_id)


def _filesystem_modules() -> set[str]:
    """Return the modules of all installed providers that bring file systems."""
    try:
        manager = importlib.import_module("airflow.sdk.providers_manager_runtime").ProvidersManagerTaskRuntime()
    except ImportError:  # Airflow before 3.2
        manager = importlib.import_module("airflow.providers_manager").ProvidersManager()
    # Its own list of them would import each.
    return {module for provider in manager.providers.values() for module in provider.data.get("filesystems", [])}


@lru_cache(maxsize=1)
def _redact_logs() -> None:
    """Redact the log of gcsfs, which logs its errors with the address of the upload."""
    logging.getLogger("gcsfs").addFilter(RedactingFilter())


def _require_connection(uri: str) -> None:
    """Refuse a missing connection; Airflow's S3 would use any credentials that it finds."""
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    conn_id = urlsplit(uri).netloc.rpartition("@")[0]
    if not conn_id:
        return
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ValueError(
            f"{uri}: there is no Airflow connection {conn_id!r}; make it, or leave '{conn_id}@' out to use the "
            f"credentials of the worker's surroundings"
        ) from error
