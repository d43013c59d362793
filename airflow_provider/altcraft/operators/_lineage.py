"""Reports an operator's output to OpenLineage, Airflow's hook lineage, and the asset events of its outlets.

No report may fail the task, whose rows are committed by then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider.altcraft._airflow.lineage import is_hook_lineage_read
from airflow_provider.altcraft._redact import redacted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseHook, Context

    from airflow_provider.altcraft.targets import Written

log = logging.getLogger(__name__)

_REPORTED = ("rows", "profiles", "window")
_SAME_STORE = {"s3a": "s3", "gcs": "gs"}
_AZURE = {"abfs", "abfss", "adl"}


class LineageMixin:
    """A mix-in for operators whose result has ``uris``; they set ``_written`` to the result of their commit."""

    _written: Written | None = None

    def report(self, context: Context, result: Mapping[str, Any], hook: BaseHook) -> None:
        """Report the output that was just committed.

        Args:
            context: the task's.
            result: what ``execute`` is about to return.
            hook: the context of hook lineage.
        """
        for report in (lambda: _to_outlets(self, context, result), lambda: _to_readers(result, hook)):
            try:
                report()  # type: ignore[no-untyped-call]
            except Exception as error:  # whatever Airflow's own code or a listener may raise
                log.warning("The output could not be reported: %s: %s", type(error).__name__, redacted(error))

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the datasets that the task has written, with their schema, rows and bytes."""
        written = self._written
        if written is None:
            return None
        from airflow.providers.common.compat.openlineage.facet import (
            OutputDataset,
            OutputStatisticsOutputDatasetFacet,
            SchemaDatasetFacet,
            SchemaDatasetFacetFields,
        )
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider.altcraft.schema import SCHEMA

        make_field: Any = SchemaDatasetFacetFields
        make_schema: Any = SchemaDatasetFacet
        make_statistics: Any = OutputStatisticsOutputDatasetFacet
        make_output: Any = OutputDataset
        fields = [make_field(name=field.name, type=str(field.type)) for field in SCHEMA]
        schema = make_schema(fields=list(fields))
        whole = ((written.rows, written.bytes),) if len(written.uris) == 1 else ()
        outputs: list[Any] = []
        for uri, share in zip_longest(written.uris, written.each or whole):
            namespace, name = dataset_of(uri)
            output = make_output(namespace=namespace, name=name, facets={"schema": schema}, outputFacets={})
            if share is not None:  # of several, a target may not know it
                output.outputFacets["outputStatistics"] = make_statistics(rowCount=share[0], size=share[1])
            outputs.append(output)
        return OperatorLineage(outputs=outputs)


def _to_outlets(operator: Any, context: Context, result: Mapping[str, Any]) -> None:
    from airflow.providers.common.compat.sdk import Asset

    events: Any = context.get("outlet_events")
    reported = {name: result[name] for name in _REPORTED if name in result}
    for outlet in operator.outlets if events is not None else ():
        if isinstance(outlet, Asset):
            events[outlet].extra.update(reported)


def _to_readers(result: Mapping[str, Any], hook: BaseHook) -> None:
    if is_hook_lineage_read():
        _to_hook_lineage(result, hook)


def _to_hook_lineage(result: Mapping[str, Any], hook: BaseHook) -> None:
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    for uri in result["uris"]:
        collector.add_output_asset(context=hook, uri=_asset_of(*dataset_of(uri)))


def _asset_of(namespace: str, name: str) -> str:
    """Return Airflow's URI of a dataset of OpenLineage."""
    name = name.replace("?", "%3F").replace("#", "%23")  # an asset's query and fragment are no part of its name
    if namespace == "file":
        return f"file://{name}"
    if namespace.startswith(("postgres://", "mysql://")):
        return f"{namespace}/{name.replace('.', '/')}"
    if namespace.startswith("abfss://"):  # Airflow drops the part of an asset's URI before an @
        namespace = namespace.partition("@")[0]
    return f"{namespace}/{name.removeprefix('/')}"


def dataset_of(uri: str) -> tuple[str, str]:
    """Return OpenLineage's namespace and name of what a URI of ``Written`` names, without any connection id.

    Parts are the folder that they are in, as Spark names it, which has no ``/`` at its end.
    """
    uri = uri.removesuffix("/_manifest.json").removeprefix("delta+")  # a table is named by its folder
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", uri.removeprefix("file://") or "/"
    if parts.scheme in {"sql", "dlt"} and parts.netloc:
        return _table(parts.netloc, unquote(parts.path[1:]))
    scheme = _SAME_STORE.get(parts.scheme, parts.scheme)
    place = uri.partition("://")[2]
    if scheme == "dlt":
        place = place.partition("?")[0]  # elsewhere it belongs to the key
    authority, _, name = place.partition("/")
    name = name or "/"  # all of a bucket
    if scheme in _AZURE:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider.altcraft.targets.object_storage.stores.azure import account_of

        account = account_of(ObjectStoragePath(uri).fs)
        return f"abfss://{authority.rpartition('@')[2]}@{account}.dfs.core.windows.net", name
    return f"{scheme}://{authority.rpartition('@')[2]}", name


def _table(conn_id: str, table: str) -> tuple[str, str]:
    from airflow.providers.common.compat.sdk import BaseHook

    from airflow_provider.altcraft._airflow.duckdb import database_of
    from airflow_provider.altcraft.targets.sql.names import parse

    named = parse(table)
    hook: Any = BaseHook.get_hook(conn_id)
    connection = hook.get_connection(conn_id)
    try:
        info = hook.get_openlineage_database_info(connection)
    except ImportError:  # OpenLineage itself is not there
        info = None
    if info is None:  # a file's database, or one that OpenLineage has no name for
        parts = [named.schema, named.table]
        place = database_of(hook) if connection.conn_type == "duckdb" else connection.host or ""
        return f"{connection.conn_type}://{place}", ".".join(filter(None, parts))
    namespace = f"{info.scheme}://{info.authority}" if info.authority else info.scheme
    schema = named.schema or ("public" if info.scheme in {"postgres", "redshift"} else None)
    database = (None if info.scheme == "mysql" and named.schema else info.database or connection.schema) or None
    return namespace, ".".join(filter(None, [database, schema, named.table]))
