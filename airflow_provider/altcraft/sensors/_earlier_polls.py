"""Earlier polls of a rescheduled sensor's try, each of which was another process."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft.window import utc

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_KEY: Final = "altcraft_failures"


def earlier_polls(context: Context) -> tuple[int, dt.datetime | None]:
    """Return how many polls this try has made, and when the first began."""
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):  # Airflow 3
        began = ti.get_first_reschedule_date(context)
        count: Any = context.get("task_reschedule_count", 0)
        return int(count), None if began is None else utc(began)
    return _from_database(ti)


def earlier_failures(context: Context) -> int:
    """Return how many of this try's last polls failed in a row; 0 before Airflow 3.3, which keeps no state of tasks."""
    store: Any = context.get("task_state_store")
    kept = None if store is None else store.get(_KEY)
    # The store outlives the try, but the budget does not.
    return kept["failures"] if isinstance(kept, dict) and kept.get("try") == _try_number(context) else 0


def keep_failures(context: Context, failures: int) -> None:
    """Keep the number of failures for the next poll."""
    store: Any = context.get("task_state_store")
    if store is not None:
        store.set(_KEY, {"try": _try_number(context), "failures": failures})


def _try_number(context: Context) -> int:
    ti: Any = context["ti"]
    return int(ti.try_number)


def _from_database(ti: Any) -> tuple[int, dt.datetime | None]:
    """Count in the database, which tasks of Airflow 2 reach; Airflow's own count includes earlier tries."""
    from airflow.models.taskreschedule import TaskReschedule
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    rows = select(func.count(), func.min(TaskReschedule.start_date)).where(
        TaskReschedule.dag_id == ti.dag_id,
        TaskReschedule.task_id == ti.task_id,
        TaskReschedule.run_id == ti.run_id,
        TaskReschedule.map_index == ti.map_index,
        TaskReschedule.try_number == ti.try_number,
    )
    with create_session() as session:
        count, began = session.execute(rows).one()
    return count, None if began is None else utc(began)
