"""Databases behind Airflow's connections, for sources and targets."""

from __future__ import annotations

from typing import Any

from airflow_provider.altcraft._extras import not_installed


def connection_of(conn_id: str) -> Any:
    """Return a connection of Airflow.

    Raises:
        ValueError: there is no such connection.
    """
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise ValueError(f"there is no Airflow connection {conn_id!r}; make it") from error


def database_hook(conn_id: str) -> Any:
    """Return the hook of a connection.

    Raises:
        ValueError: there is no such connection, or a package of its type is not installed.
    """
    from airflow.providers.common.compat.sdk import AirflowException

    connection = connection_of(conn_id)
    try:
        return connection.get_hook()
    except (AirflowException, ImportError) as error:
        raise ValueError(not_installed(connection.conn_type or "", error)) from error


def connect(hook: Any) -> Any:
    """Return a connection of a driver.

    Raises:
        ValueError: the driver is not installed.
        Exception: the driver's own.
    """
    try:
        return hook.get_conn()
    except (ImportError, RuntimeError) as error:  # MySQL's hook turns the one into the other
        if not isinstance(error, ImportError) and not isinstance(error.__context__, ImportError):
            raise
        raise ValueError(not_installed(hook.conn_type, error.__context__ or error)) from error
