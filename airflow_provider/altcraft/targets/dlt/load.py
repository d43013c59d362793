"""One load by dlt: spooled rows go into a staging dataset, and from there in one transaction into the table."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._airflow.duckdb import refuse_newer
from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.targets._protocols import check_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from airflow_provider.altcraft.targets._protocols import Scope
    from airflow_provider.altcraft.targets._spool import Spool

log = logging.getLogger(__name__)

_ABANDONED = 86_400
"""Seconds after which a staging dataset belongs to a dead attempt: no load takes a day."""

# dlt has state in the process: settings, signals, the active pipeline.
_ONE = threading.RLock()


class Load:
    """One load by dlt, with a staging dataset and a working folder of its own."""

    def __init__(self, uri: str, dataset: str, table: str, make: Callable[..., Any], settings: dict[str, str]) -> None:
        self._settings = settings
        self._uri = uri
        self._dataset = dataset
        self._table = table
        self._make = make
        self._mark = f"_altcraft_{int(time.time()):x}_"
        self._staging = f"{dataset[:24]}{self._mark}{uuid.uuid4().hex[:8]}"
        self._has_empty_text = False

    def look_at(self, batch: pa.RecordBatch) -> None:
        """Note what decides the format of the files."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts: list[Any] = [column for column in batch.columns if pa.types.is_string(column.type)]
        self._has_empty_text = self._has_empty_text or any(pc.min(pc.utf8_length(text)).as_py() == 0 for text in texts)

    def check(self, scope: Scope) -> None:
        """Reach the destination, and remove what dead attempts have left there.

        Raises:
            ValueError: it cannot merge, or the table's keys are of another kind.
            OSError: it cannot be reached.
        """
        with self._pipeline() as pipeline, pipeline.sql_client() as client:
            if client.has_dataset():
                self._check_keys(client, scope)
            self._remove_abandoned(client)

    def _check_keys(self, client: Any, scope: Scope) -> None:
        from dlt.destinations.exceptions import DatabaseUndefinedRelation

        bounds = scope.window.bounds
        where = "".join(f" AND datetime {compare} %s" for compare, _ in bounds)
        values = [scope.list_id, *(end for _, end in bounds)]
        table = client.make_qualified_table_name(self._table)
        for order in ("ASC", "DESC"):
            query = (
                f"SELECT event_key, event_id FROM {table} WHERE list_id = %s{where} "  # noqa: S608 - names are checked
                f"ORDER BY datetime {order} LIMIT 100"
            )
            with contextlib.suppress(DatabaseUndefinedRelation):
                check_keys(client.execute_sql(query, *values), scope)

    def run(self, spool: Spool) -> None:
        """Load the spooled rows."""
        import dlt

        if not spool.rows:
            return  # a merge of nothing

        @dlt.resource(
            name=self._table,
            write_disposition={"disposition": "merge", "strategy": "delete-insert"},
            primary_key="event_key",
            # Of the rows of one event by several lookups always the same one stays.
            columns={"lookup": {"dedup_sort": "asc"}},
        )
        def rows() -> Iterator[pa.RecordBatch]:
            yield from spool.read()

        with self._pipeline() as pipeline, self._alone(pipeline):
            try:
                pipeline.run(rows(), loader_file_format=self._format(pipeline)).raise_on_failed_jobs()
            finally:
                self._unstage(pipeline)

    def _format(self, pipeline: Any) -> Any:
        """Return the fastest file format that the destination reads without loss."""
        can = pipeline.destination.capabilities()
        formats = list(can.supported_loader_file_formats)
        if can.loader_file_format_selector:
            _, formats = can.loader_file_format_selector("", formats, table_schema={"name": self._table})
        # In dlt's CSV an empty text and null are the same.
        preferred = ("parquet", *(() if self._has_empty_text else ("csv",)), "insert_values", "jsonl")
        return next((name for name in preferred if name in formats), None)

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[Any]:
        """Return a pipeline without state and telemetry."""
        with (
            _ONE,
            _environment(self._settings),
            tempfile.TemporaryDirectory(prefix="altcraft-dlt-", ignore_cleanup_errors=True) as folder,
            self._translated_errors(),
        ):
            import dlt

            pipeline = dlt.pipeline(
                "altcraft",
                pipelines_dir=folder,
                destination=self._make(staging_dataset_name_layout=self._staging),
                dataset_name=self._dataset,
            )
            try:
                yield pipeline
            finally:
                pipeline.deactivate()

    @contextlib.contextmanager
    def _alone(self, pipeline: Any) -> Iterator[None]:
        """Lock out other attempts within the block: two merges at once would insert a new event twice.

        Elsewhere than in PostgreSQL the destination's own locks see to that.
        """
        if not pipeline.destination.destination_type.endswith(".postgres"):
            yield
            return
        with pipeline.sql_client() as client:
            client.execute_sql(
                "SELECT pg_advisory_lock(hashtext('altcraft'), hashtext(%s))", f"{self._dataset}.{self._table}"
            )
            yield  # the end of the session unlocks

    def _unstage(self, pipeline: Any) -> None:
        try:
            with pipeline.sql_client() as client, client.with_staging_dataset():
                if client.has_dataset():
                    client.drop_dataset()
        except Exception as error:  # whatever a store that cannot be reached may raise
            log.warning(
                "%s: the staging dataset %s could not be removed: %s", self._uri, self._staging, redacted(error)
            )

    def _remove_abandoned(self, client: Any) -> None:
        found = re.compile(re.escape(self._dataset[:24]) + r"_altcraft_([0-9a-f]{8,})_[0-9a-f]{8}")
        try:
            names = [row[0] for row in client.execute_sql("SELECT schema_name FROM information_schema.schemata")]
        except Exception as error:  # not every destination has such a list
            log.debug("%s: what is staged cannot be listed: %s", self._uri, redacted(error))
            return
        for name in names:
            match = found.fullmatch(name)
            if match and int(match[1], 16) < time.time() - _ABANDONED:
                with client.with_alternative_dataset_name(name):
                    client.drop_dataset()

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise dlt's errors with the table's name and their cause."""
        from dlt.common.configuration.exceptions import ConfigurationException, ContainerInjectableContextMangled
        from dlt.common.destination.exceptions import UnknownDestinationModule

        try:
            yield
        except ContainerInjectableContextMangled as error:
            # The task was interrupted between two of dlt's steps, which hides that behind an error of its own.
            first: BaseException = error
            while first.__context__ is not None:
                first = first.__context__
            raise first from None
        except (ValueError, ImportError, ConfigurationException, UnknownDestinationModule) as error:
            raise ValueError(f"{self._uri}: {error}") from error
        except OSError:
            raise
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ or getattr(cause, "exception", None):
                cause = getattr(cause, "exception", None) or cause.__cause__  # type: ignore[assignment]
            try:
                refuse_newer(cause)
            except ValueError as newer:
                raise ValueError(f"{self._uri}: {newer}") from error
            raise OSError(f"{self._uri}: dlt could not load it: {type(cause).__name__}: {cause}") from error


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set what dlt reads from the environment, before its files."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
