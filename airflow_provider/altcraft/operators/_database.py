"""The operator that pulls a whole database's history into a target."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._pull import PullOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, resolve_target
from airflow_provider.altcraft.window import DAY, UTC, DateLike, Window

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract._pull import Pull
    from airflow_provider.altcraft.extract.database import DatabasePull
    from airflow_provider.altcraft.targets import Target, TargetWriter, Written

log = logging.getLogger(__name__)

SEEN = "altcraft_seen"
"""Key of the XCom by which a run tells the next one what it has counted."""


class AltcraftDatabaseHistoryOperator(PullOperator):
    """Writes the history of a whole profile database to a target.

    After it succeeds, the target holds exactly the events of this pull; retried, cleared or killed and run again,
    nothing is lost and nothing doubled.

    Args:
        target: a ``Target`` or its URI, such as ``s3://conn_id@bucket/history/{date}.parquet``.
        date_from: a date (from its first instant in UTC) or an aware date-time.
        date_to: a date (to its last instant in UTC) or an aware date-time, itself excluded.
        list_id: the profile database; the connection's own where ``None``.
        fields: profile fields to add to each event: they stand in ``extra`` as an object ``fields``.
        lookback: days before ``date_from`` that are pulled and written again, for events that came late.
        ranges: into how many ranges of days the window is cut, to be walked side by side; one for each whole week
            where ``None``. Each asks three or four days more than it keeps.
        partitions: into how many parts of the space of ``xxh`` each range is cut, to be walked side by side. Relies on
            how the platform seems to order rows; where it does not, the pull says so and walks without parts.
        partition: ``(i, n)`` pulls only the part ``i``, from 0, of ``n``, for mapped tasks. Each writes to a place of
            its own, or merges.
        limit: rows a page.
        altcraft_conn_id: the connection; its ``max_connections`` bounds how many ranges are walked at once.

    Returns:
        The XCom: ``uris``, ``rows``, ``bytes``, ``window`` (``start``, ``end``, UTC), ``pages``, ``ranges`` (for each
        its ``start``, ``end``, ``pages``, ``rows`` and how its walk ``ended``), ``plain_because`` (why there were no
        parts although they were wanted, else ``None``) and, with ``lookback``, ``lateness``.

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: an argument, the connection or the account does not fit, so that a retry would not help.
    """

    template_fields: Sequence[str] = ("fields", "partition", *PullOperator.template_fields)

    def __init__(
        self,
        *,
        target: Target | str,
        date_from: DateLike,
        date_to: DateLike,
        list_id: int | str | None = None,
        fields: Sequence[str] = (),
        lookback: int = 0,
        ranges: int | None = None,
        partitions: int = 1,
        partition: Sequence[int] | None = None,
        limit: int = 1000,
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            target=target,
            list_id=list_id,
            date_from=date_from,
            date_to=date_to,
            altcraft_conn_id=altcraft_conn_id,
            **kwargs,
        )
        self.fields = fields
        self.lookback = lookback
        self.ranges = ranges
        self.partitions = partitions
        self.partition = partition
        self.limit = limit
        self._plain_because: str | None = None
        self._before: Any = None
        _check_whole("lookback", lookback, 0)
        _check_whole("ranges", 1 if ranges is None else ranges, 1)
        _check_whole("partitions", partitions, 1)
        _check_whole("limit", limit, 1)
        if not is_template(date_from) and not is_template(date_to):
            _check_both(date_from, date_to)
        if not is_template(fields):
            _fields_of(fields)
        if not is_template(partition):
            self._part()
        if not is_template(target):
            self._check_target(resolve_target(target))

    def execute(self, context: Context) -> dict[str, Any]:
        """Pull and write; the result is the XCom."""
        if not self.lookback:
            return super().execute(context)
        self._before = _pulled_before(context, self.task_id)
        result = super().execute(context)
        _tell_the_next(context, result.pop(SEEN))
        return result

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[DatabasePull, Scope]:
        from airflow_provider.altcraft.extract._lateness import Seen
        from airflow_provider.altcraft.extract._ranges import cut, default_ranges
        from airflow_provider.altcraft.extract.database import DatabasePull

        _check_both(window.start, window.end)
        self._check_target(resolve_target(self.target))
        window = self._widened(window)
        most, part = client.settings.max_connections, self._part()
        parts = [part] if part else [(index, self.partitions) for index in range(self.partitions)]
        ordered = self._plain_because is None and (part is not None or self.partitions > 1)
        if not ordered and part is None:
            parts = [(0, 1)]
        ranges = self.ranges or (1 if ordered else default_ranges(window, most))
        pull = DatabasePull(
            client=client,
            list_id=list_id,
            window=window,
            ranges=cut(window, ranges, parts),
            ordered=ordered,
            fields=_fields_of(self.fields),
            limit=self.limit,
            concurrency=most,
            seen=Seen(window) if self.lookback else None,
        )
        return pull, Scope(list_id, None, window)

    def _run(self, pull: Pull, writer: TargetWriter) -> dict[str, Any]:
        from airflow_provider.altcraft.extract._walk import OrderError

        try:
            return super()._run(pull, writer)
        except OrderError as error:
            log.warning("The database cannot be walked in parts (%s), so all is pulled anew without", error)
            self._plain_because = str(error)
            return super()._run(*self._open())

    def _result(self, pull: DatabasePull, written: Written, failed_uri: str | None) -> dict[str, Any]:
        from airflow_provider.altcraft.extract._lateness import lateness

        reports = [walk.report() for walk in pull.walks]
        result = super()._result(pull, written, failed_uri) | {
            "pages": sum(report["pages"] for report in reports),
            "ranges": reports,
            "plain_because": self._plain_because,
        }
        if pull.seen is None:
            return result
        late = lateness(pull.seen, self._before, self.lookback, dt.datetime.now(UTC))
        if late:
            log.info(
                "%d events came after the pull before; a lookback of %d days is recommended",
                late["events"],
                late["recommended_lookback"],
            )
        needed = {"needed_lookback": late["needed_lookback"] if late else 0}
        return result | {"lateness": late, SEEN: pull.seen.state | needed}

    def _part(self) -> tuple[int, int] | None:
        """The one part of the space of ``xxh`` that is wanted."""
        part = self.partition
        if part is None:
            return None
        if self.partitions != 1:
            raise ValueError("partition, partitions: a task pulls one part or several, not both")
        if not isinstance(part, list | tuple) or len(part) != 2 or not all(type(each) is int for each in part):
            raise ValueError(f"partition: two whole numbers (i, n) are wanted, not {part!r}")
        index, of = part
        if not 0 <= index < of:
            raise ValueError(f"partition: i from 0 to below n is wanted, not {index} of {of}")
        return index, of

    def _widened(self, window: Window) -> Window:
        if not self.lookback or window.start is None:
            return window
        try:
            return Window(window.start - self.lookback * DAY, window.end)
        except OverflowError:
            raise ValueError(f"lookback: {self.lookback} days before date_from there is no date") from None

    def _check_target(self, target: Target) -> None:
        """Refuse what would double or lose events."""
        disposition = getattr(target, "write_disposition", None)
        if self.lookback:
            if disposition == "append":
                raise ValueError("lookback: days that are pulled again would be doubled by write_disposition='append'")
            if isinstance(target, ObjectStorageTarget) and "{date}" not in str(target.path):
                raise ValueError(
                    "lookback: days that are pulled again want an object each, to be replaced: put {date} into the path"
                )
        if self.partition is not None and disposition == "replace":
            raise ValueError("partition: each part would remove what the others have written; let them merge")


def _check_whole(name: str, value: object, least: int) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"{name}: a whole number from {least} on is wanted, not {value!r}")


def _check_both(date_from: object, date_to: object) -> None:
    if date_from is None or date_to is None:
        raise ValueError("date_from, date_to: the history of a whole database needs both")


def _fields_of(fields: object) -> list[str]:
    if isinstance(fields, str) or not isinstance(fields, Sequence) or not all(isinstance(each, str) for each in fields):
        raise ValueError(f"fields: a list of names of profile fields is wanted, not {fields!r}")
    return list(fields)


def _pulled_before(context: Context, task_id: str) -> Any:
    """What the run before has counted, if there is one."""
    task: Any = context.get("ti")
    if task is None:
        return None
    return task.xcom_pull(task_ids=task_id, key=SEEN, include_prior_dates=True, map_indexes=task.map_index)


def _tell_the_next(context: Context, seen: dict[str, Any]) -> None:
    task: Any = context.get("ti")
    if task is not None:
        task.xcom_push(key=SEEN, value=seen)
