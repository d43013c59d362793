"""Object stores behind Airflow's connections, for what is read and for what is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


def reach(uri: str) -> tuple[Any, str]:
    """Return the file system of a URI, and the path in it."""
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    _require_connection(uri)
    scheme, _, rest = uri.partition("://")
    authority, _, key = rest.partition("/")
    try:
        # Without the key, which need not look like a URL's.
        fs = ObjectStoragePath(f"{scheme}://{authority}/").fs
    except (ImportError, OSError):
        raise
    except Exception as error:
        if "No filesystem registered" in str(error) or "protocol" in str(error).lower():
            raise ValueError(
                f"{uri}: Airflow knows no storage {scheme}://; a provider package brings it, as "
                f"apache-airflow-providers-amazon does s3://"
            ) from error
        raise
    return fs, f"{authority.rpartition('@')[2]}/{key}"


def _require_connection(uri: str) -> None:
    """Refuse a connection that is not there; Airflow's S3 would go on with whatever credentials it finds."""
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
