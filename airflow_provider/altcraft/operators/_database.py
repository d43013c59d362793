"""The operator that pulls a whole database's history into a target."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft._airflow.interrupt import interruptible
from airflow_provider.altcraft._arguments import (
    check_number_constant,
    from_json,
    is_template,
    ordered,
    pair_of,
    timedelta_of,
    whole_number,
)
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.operators._base import PullOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, resolve_target
from airflow_provider.altcraft.window import UTC, DateLike, Window

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract._protocol import Pull
    from airflow_provider.altcraft.extract.database.pull import DatabasePull
    from airflow_provider.altcraft.operators._base import Record
    from airflow_provider.altcraft.targets import Target, TargetWriter, Written

log = logging.getLogger(__name__)

NO_LOOKBACK = dt.timedelta(0)

COUNTS = "altcraft_seen"
"""Key of the XCom with a run's counts of events, for the next run."""

HAS_COUNTS = "altcraft_seen_before"
"""Key of a small XCom that says that there are counts: asking for a missing XCom logs an error in Airflow."""


class AltcraftDatabaseHistoryOperator(PullOperator):
    """Writes the history of a whole profile database to a target.

    After it succeeds, the target holds exactly the events of this pull; retried, cleared or killed and run again,
    nothing is lost and nothing doubled.

    Args:
        target: a ``Target`` or its URI, such as ``s3://conn_id@bucket/history/{date}.parquet``.
        date_from: a date (from its first instant in ``timezone``) or an aware date-time.
        date_to: a date (to its last instant in ``timezone``) or an aware date-time, itself excluded.
        timezone: IANA name of the time zone of the days: of dates, of ``{date}`` in the path, of ``lookback``.
            Where it is that of the connection, no more than these days is asked. ``datetime`` in the rows stays UTC.
        list_id: the profile database; the connection's own where ``None``.
        fields: profile fields to add to each event: they stand in ``extra`` as an object ``fields``.
        lookback: whole days before ``date_from`` that are pulled and written again, for events that came late: a
            ``timedelta`` or, as for a template, its ISO 8601 text such as ``P3D``.
        parallel_ranges: into how many ranges of days the window is cut, to be walked in parallel. Where ``None``, one
            for each two days if the connection has a ``timezone``; else one for each whole week, as each asks three or
            four days more than it keeps.
        parallel_partitions: into how many parts of the space of ``xxh`` each range is cut, to be walked in parallel.
            Relies on how the platform seems to order rows; where it does not, the pull says so and walks without.
        shard: ``(i, n)`` pulls only the part ``i``, from 0, of ``n``, for mapped tasks. A path holds ``{shard}``, which
            becomes ``0000-of-0008``, so that each writes to a place of its own; tables merge.
        page_size: rows a page.
        event_key_by: what ``event_key`` is made of: several fields of the ``row``, or ``event_id`` alone, for those who
            know that theirs is unique.
        altcraft_conn_id: the connection; its ``max_connections`` bounds how many ranges are walked at once.

    Returns:
        The XCom: ``uris``, ``rows``, ``bytes``, ``window`` (``start``, ``end``, UTC), ``pages``, ``ranges`` (for each
        its ``start``, ``end``, ``pages``, ``rows`` and how its walk ``ended``), ``partition_fallback_reason`` (why
        there were no partitions although they were asked for, else ``None``), ``summary`` (counts of the events that
        were pulled: see docs/page.md), where the connection has a ``timezone`` ``asked_wider_because`` (why more days
        were asked than its own, else ``None``) and, with ``lookback``, ``lateness``.

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: an argument, the connection or the account does not fit, so that a retry would not help.
    """

    template_fields: Sequence[str] = (
        "fields",
        "lookback",
        "parallel_ranges",
        "parallel_partitions",
        "page_size",
        *PullOperator.template_fields,
    )

    def __init__(
        self,
        *,
        date_from: DateLike,
        date_to: DateLike,
        fields: Collection[str] | str = (),
        lookback: dt.timedelta | str = NO_LOOKBACK,
        parallel_ranges: int | str | None = None,
        parallel_partitions: int | str = 1,
        page_size: int | str = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(date_from=date_from, date_to=date_to, **kwargs)
        self.fields = fields
        self.lookback = lookback
        self.parallel_ranges = parallel_ranges
        self.parallel_partitions = parallel_partitions
        self.page_size = page_size
        self._partition_fallback_reason: str | None = None
        self._again = False
        self._before: Any = None
        if parallel_ranges is not None:
            check_number_constant(parallel_ranges, "parallel_ranges", 1)
        check_number_constant(parallel_partitions, "parallel_partitions", 1)
        check_number_constant(page_size, "page_size", 1)
        if not is_template(lookback):
            timedelta_of(lookback, "lookback", whole_days=True)
        if not is_template(date_from) and not is_template(date_to):
            _check_both(date_from, date_to)
        if not is_template(fields):
            _fields_of(fields)
        if not is_template([self.shard, parallel_partitions]):
            self._part()
        if not is_template([self.target, lookback]):
            self._check_target(resolve_target(self.target))
        self._check_in_group()

    @interruptible
    def execute(self, context: Context) -> dict[str, Any]:
        """Pull and write; the result is the XCom."""
        self._again = False
        try:
            self.check_rendered()
            days = self._days_back()
        except ValueError as error:
            raise AirflowFailException(str(error)) from error
        if not days:
            return super().execute(context)
        self._before = _counts_before(context, self.task_id)
        result = super().execute(context)
        _report_counts(context, result.pop(COUNTS))
        return result

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[DatabasePull, Scope]:
        from airflow_provider.altcraft.client._days import AskedDays
        from airflow_provider.altcraft.extract._lateness import EventCounts
        from airflow_provider.altcraft.extract.database.pull import DatabasePull
        from airflow_provider.altcraft.extract.database.ranges import cut, default_ranges, of_days

        _check_both(window.start, window.end)
        self._check_target(resolve_target(self.target))
        window = self._widened(window)
        most, zone, part = client.settings.max_connections, client.settings.zone, self._part()
        count = whole_number(self.parallel_partitions, "parallel_partitions", 1)
        parts = [part] if part else [(index, count) for index in range(count)]
        in_order = self._partition_fallback_reason is None and (part is not None or count > 1)
        if not in_order and part is None:
            parts = [(0, 1)]
        if self.parallel_ranges is not None:
            ranges = whole_number(self.parallel_ranges, "parallel_ranges", 1)
        else:
            ranges = 1 if in_order else default_ranges(window, most, known=zone is not None)
        days = AskedDays.known(window, zone, ranges)
        pull = DatabasePull(
            client=client,
            list_id=list_id,
            window=window,
            ranges=of_days(days.asked, parts) if days else cut(window, ranges, parts),
            days=days,
            ordered=in_order,
            fields=_fields_of(self.fields),
            page_size=whole_number(self.page_size, "page_size", 1),
            concurrency=most,
            event_counts=EventCounts(window) if self._days_back() else None,
            again=self._again,
            event_key_by=self.event_key_by,
            sizes=self.pull_sizes,
        )
        return pull, Scope(list_id, None, window, self.event_key_by)

    def _run(self, pull: Pull, writer: TargetWriter, record: Record | None) -> dict[str, Any]:
        from airflow_provider.altcraft.client import CursorError
        from airflow_provider.altcraft.extract.database.walk import OrderError

        try:
            return super()._run(pull, writer, record)
        except OrderError as error:
            log.warning("The database cannot be walked in parts (%s), so all is pulled again without", error)
            self._partition_fallback_reason = str(error)
        except CursorError as error:
            if self._again:
                raise
            log.warning("%s; nothing of this walk is kept, and all is walked again, once", error)
            self._again = True
        return self._run(*self._open(), record)

    def _result(self, pull: DatabasePull, written: Written, failed_uri: str | None) -> dict[str, Any]:
        from airflow_provider.altcraft.extract._lateness import lateness

        if written.rows and pull.absent_fields:
            log.warning(
                "fields: none of %s has %s; check the spelling of the profile fields",
                counted(written.rows, "event"),
                ", ".join(map(repr, sorted(pull.absent_fields))),
            )
        reports = [walk.report() for walk in pull.walks]
        result = super()._result(pull, written, failed_uri) | {
            "pages": sum(report["pages"] for report in reports),
            "ranges": reports,
            "partition_fallback_reason": self._partition_fallback_reason,
        }
        if pull.days:
            result["asked_wider_because"] = pull.asked_wider_because
        if pull.event_counts is None:
            return result
        late = lateness(pull.event_counts, self._before, self._days_back(), dt.datetime.now(UTC))
        if late:
            log.info(
                "%s came after the pull before; a lookback of %s is recommended",
                counted(late["events"], "event"),
                counted(late["recommended_lookback"], "day"),
            )
        needed = {"needed_lookback": late["needed_lookback"] if late else 0}
        if late:
            late |= {name: f"P{late[name]}D" for name in ("needed_lookback", "recommended_lookback")}
        return result | {"lateness": late, COUNTS: pull.event_counts.state | needed}

    def _days_back(self) -> int:
        return timedelta_of(self.lookback, "lookback", whole_days=True).days

    def _part(self) -> tuple[int, int] | None:
        """Return the shard, which is one part of the space of ``xxh``."""
        part = pair_of(self.shard, "shard")
        if part is not None and whole_number(self.parallel_partitions, "parallel_partitions", 1) != 1:
            raise ValueError(
                "shard, parallel_partitions: expected one of the two, got both; a task pulls one part or several"
            )
        return part

    def _widened(self, window: Window) -> Window:
        days = self._days_back()
        try:
            return window.earlier(days)
        except OverflowError:
            raise ValueError(f"lookback: {counted(days, 'day')} before date_from there is no date") from None

    def _check_target(self, target: Target) -> None:
        """Refuse a target that would double or lose events."""
        disposition = getattr(target, "write_disposition", None)
        if self._days_back():
            if disposition == "append":
                raise ValueError("lookback: days that are pulled again would be doubled by write_disposition='append'")
            if isinstance(target, ObjectStorageTarget) and "{date}" not in str(target.path):
                raise ValueError(
                    "lookback: days that are pulled again need an object each, to be replaced: put {date} into the path"
                )
        if self.shard is not None and disposition == "replace":
            raise ValueError("shard: each part would remove what the others have written; let them merge")


def _check_both(date_from: object, date_to: object) -> None:
    if date_from is None or date_to is None:
        raise ValueError("date_from, date_to: the history of a whole database needs both")


def _fields_of(fields: object) -> list[str]:
    names = ordered(from_json(fields, "fields"))
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(each, str) for each in names):
        raise ValueError(f"fields: expected a list of names of profile fields, got {fields!r}")
    return list(names)


def _counts_before(context: Context, task_id: str) -> Any:
    """Return the counts of the run before, if there is one."""
    task: Any = context.get("ti")
    # Without map_indexes Airflow reads all of them, without an error where there are none; each is small.
    if task is None or not task.xcom_pull(task_ids=task_id, key=HAS_COUNTS, include_prior_dates=True):
        return None
    return task.xcom_pull(task_ids=task_id, key=COUNTS, include_prior_dates=True, map_indexes=task.map_index)


def _report_counts(context: Context, counts: dict[str, Any]) -> None:
    task: Any = context.get("ti")
    if task is not None:
        task.xcom_push(key=COUNTS, value=counts)
        task.xcom_push(key=HAS_COUNTS, value=1)
