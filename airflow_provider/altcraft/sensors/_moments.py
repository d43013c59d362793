"""The moments of a wait: when its run was due, its deadline, its next poll."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.waiting.state import REPORT_EVERY
from airflow_provider.altcraft.window import utc

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def run_due(context: Context) -> dt.datetime:
    """Return when the run was due; in Airflow 2, which does not keep it, the end of a scheduled run's interval."""
    run: Any = context["dag_run"]
    if (due := getattr(run, "run_after", None)) is None:
        due = run.data_interval_end if run.run_type in {"scheduled", "backfill"} else run.logical_date
    return utc(due)


def later(moment: dt.datetime, seconds: float, zone: dt.tzinfo = dt.UTC) -> dt.datetime:
    """Return the moment some seconds later, in a time zone; at most the end of the calendar."""
    try:
        # Added in UTC, which skips and repeats no hour.
        return (moment.astimezone(dt.UTC) + dt.timedelta(seconds=seconds)).astimezone(zone)
    except OverflowError:
        return dt.datetime.max.replace(tzinfo=dt.UTC)


def reported_at(began: dt.datetime, now: dt.datetime, interval: float) -> dt.datetime:
    """Return when a rescheduled wait last reported, by the clock: each poll is another process."""
    before = max(0.0, (now - began).total_seconds() - interval)
    return began + before // REPORT_EVERY.total_seconds() * REPORT_EVERY


def reschedule_at(at: dt.datetime) -> Exception:
    """Return the exception that makes Airflow run the task again at that time."""
    try:
        from airflow.sdk.exceptions import AirflowRescheduleException
    except ImportError:  # Airflow 2
        from airflow.exceptions import AirflowRescheduleException
    return AirflowRescheduleException(at)  # type: ignore[no-untyped-call]
