"""Records that a task keeps next to its result, for a page to show: XComs under keys of their own.

Tasks and triggerers alike can write XComs, on Airflow 2.11 and 3. A record is worth no failure: what cannot be kept is
logged, and the task goes on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


def keep(context: Mapping[str, Any] | Context, key: str, value: Mapping[str, Any]) -> None:
    """Keep a record of the task that runs; there is none where no Airflow runs it."""
    ti: Any = context.get("ti")
    if not hasattr(ti, "xcom_push"):
        return
    try:
        ti.xcom_push(key=key, value=dict(value))
    except Exception as error:
        _not_kept(key, error)


async def keep_from_trigger(task_instance: Any, key: str, value: Mapping[str, Any]) -> None:
    """Keep a record of the task instance for which a trigger runs."""
    if getattr(task_instance, "run_id", None) is None:
        return
    from airflow.providers.common.compat.sdk import XCom
    from asgiref.sync import sync_to_async

    of = {name: getattr(task_instance, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
    try:
        # In a thread: on Airflow 2.11 it writes to the database, on 3 it waits for the triggerer's parent.
        await sync_to_async(XCom.set, thread_sensitive=False)(key=key, value=dict(value), **of)
    except Exception as error:
        _not_kept(key, error)


def _not_kept(key: str, error: Exception) -> None:
    log.warning("The record %s could not be kept: %s", key, type(error).__name__)
