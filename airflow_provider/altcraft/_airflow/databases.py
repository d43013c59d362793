"""Databases behind Airflow's connections, for what is read and for what is written."""

from __future__ import annotations

from typing import Any

from airflow_provider.altcraft._extras import not_installed


def database_hook(conn_id: str) -> Any:
    """Return the hook of a connection.

    Raises:
        ValueError: there is no such connection, or what its type needs is not installed.
    """
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

    try:
        return BaseHook.get_hook(conn_id)
    except AirflowNotFoundException as error:
        raise ValueError(f"there is no Airflow connection {conn_id!r}; make it") from error
    except (AirflowException, ImportError) as error:
        kind = BaseHook.get_connection(conn_id).conn_type or ""
        raise ValueError(not_installed(kind, error)) from error


def connect(hook: Any) -> Any:
    """Return a connection of a driver.

    Raises:
        ValueError: the driver is not installed.
        Exception: the driver's own.
    """
    try:
        return hook.get_conn()
    except (ImportError, RuntimeError) as error:  # MySQL's hook makes the one of the other
        if not isinstance(error, ImportError) and not isinstance(error.__context__, ImportError):
            raise
        raise ValueError(not_installed(hook.conn_type, error.__context__ or error)) from error
