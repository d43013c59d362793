"""History through dlt (extra ``dlt``), for warehouses that this package does not write itself.

It stands on what any target may: the protocol and the spool. What dlt is asked to do is in ``_dlt_load``. Its scheme
``dlt`` is registered as another package's is.
"""

from __future__ import annotations

import contextlib
import logging
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import without_user
from airflow_provider.altcraft.targets._equality import EqualByArguments
from airflow_provider.altcraft.targets._protocols import Scope, Written
from airflow_provider.altcraft.targets._writer import BaseWriter
from airflow_provider.altcraft.targets.dlt.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa


log = logging.getLogger(__name__)

ACCEPTED = "'dlt://conn_id/dataset.table' or 'dlt:///dataset.table?destination=snowflake'"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TABLE = re.compile(rf"(?P<dataset>{_NAME.pattern})\.(?P<table>{_NAME.pattern})")

_PER_CONNECTION = {"postgres": "postgres", "duckdb": "duckdb"}
"""Types of Airflow connections whose credentials dlt is given, and the destinations for them."""

_SETTINGS = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RESTORE_FROM_DESTINATION": "false"}
# dlt would ask Airflow for a variable of the name of each of its settings.
_ALL_IS_GIVEN = {"PROVIDERS__ENABLE_AIRFLOW_SECRETS": "false"}


class DltTarget(EqualByArguments):
    """A table of a dlt destination, into which each pull is merged by ``event_key``.

    The table has the columns of a row as dlt names their types, ``extra`` as text. dlt's own tables stand next to it.

    Args:
        table: ``dataset.table``, in lower case: dlt would spell it so; may be a template.
        conn_id: an Airflow connection of the type ``postgres`` or ``duckdb``; or else
        destination: the name of a dlt destination, whose credentials dlt finds in its own configuration, or what makes
            one, such as ``functools.partial(dlt.destinations.snowflake, credentials=…)``.
        write_disposition: ``merge``. dlt's ``replace`` empties the whole table, whatever the scope, and a retry
            doubles what its ``append`` has added, so neither is taken.

    Raises:
        ValueError: an argument that does not fit; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("table", "conn_id")

    def __init__(
        self,
        table: str,
        *,
        conn_id: str | None = None,
        destination: str | Callable[..., Any] | None = None,
        write_disposition: str = "merge",
    ) -> None:
        if (conn_id is None) == (destination is None):
            raise ValueError(
                f"conn_id, destination: expected one of the two, got {'neither' if conn_id is None else 'both'}"
            )
        if write_disposition != "merge":
            raise ValueError(
                f"write_disposition: dlt keeps the promise only with 'merge', so {write_disposition!r} is not taken"
            )
        if is_template(destination):
            raise ValueError("destination: expected the name of a dlt destination or what makes one, got a template")
        if not is_template(table):
            _check_table(table)
        self.table = table
        self.conn_id = conn_id
        self.destination = destination

    def __repr__(self) -> str:
        """Return the arguments, without credentials of a destination."""
        of = f"conn_id={self.conn_id!r}" if self.conn_id is not None else f"destination={self._destination_name!r}"
        return f"{type(self).__name__}({self.table!r}, {of})"

    @property
    def uri(self) -> str:
        """The table's URI."""
        if self.conn_id is not None:
            return f"dlt://{self.conn_id}/{self.table}"
        return f"dlt:///{self.table}?destination={self._destination_name}"

    @property
    def _destination_name(self) -> str:
        made = getattr(self.destination, "func", self.destination)  # of a partial
        return made if isinstance(made, str) else getattr(made, "__name__", type(made).__name__)

    def open(self, scope: Scope) -> DltWriter:
        """Begin a write: the destination is reached.

        Raises:
            ValueError: the destination cannot merge in one step, is not configured, or dlt is not installed.
            OSError: the destination cannot be reached.
        """
        found = _check_table(self.table)
        if find_spec("dlt") is None:
            raise ValueError(f"{self.uri}: {not_installed('dlt')}")
        settings = _SETTINGS if self.conn_id is None else _SETTINGS | _ALL_IS_GIVEN
        load = Load(self.uri, found["dataset"], found["table"], self._make_destination, settings)
        load.check(scope)
        return DltWriter(self.uri, load)

    def _make_destination(self, **options: Any) -> Any:
        """Make the destination, with these options of dlt.

        Raises:
            ValueError: it cannot merge in one transaction.
        """
        made = self._destination_of(options)
        can = made.capabilities()
        if can.supports_transactions is False or "delete-insert" not in (can.supported_merge_strategies or ()):
            raise ValueError(
                f"the destination {made.destination_name} cannot merge in one transaction, so a reader could see a part"
            )
        # dlt makes a transaction of a merge only where this is set, and most destinations of its own leave it open.
        made.caps_params["supports_transactions"] = True
        return made

    def _destination_of(self, options: dict[str, Any]) -> Any:
        from dlt.common.destination import Destination

        if self.conn_id is not None:
            name, credentials = _credentials(self.conn_id)
            return Destination.from_reference(name, credentials=credentials, **options)
        if isinstance(self.destination, str):
            return Destination.from_reference(self.destination, **options)
        assert self.destination is not None  # noqa: S101 - the constructor saw to it
        return self.destination(**options)


def from_uri(uri: str) -> DltTarget:
    """Return the target of ``dlt://…``; this is the entry point of the scheme.

    Raises:
        ValueError: not such a URI.
    """
    parts, options = urlsplit(uri), {}
    with contextlib.suppress(ValueError):
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    if set(options) - {"destination", "write_disposition"} or "@" in parts.netloc or parts.fragment:
        raise ValueError(f"target: {without_user(uri)!r} is not a URI such as {ACCEPTED}")
    return DltTarget(parts.path[1:], conn_id=parts.netloc or None, **options)


class DltWriter(BaseWriter):
    """Spools batches, which the commit loads and merges by dlt. An error ends the writer."""

    def __init__(self, uri: str, load: Load) -> None:
        from airflow_provider.altcraft.targets._spool import Spool

        super().__init__(uri)
        self._load = load
        self._spool = Spool()

    def write(self, batch: pa.RecordBatch) -> None:
        """Spool a batch."""
        with self._guard():
            _check_batch(batch)
            self._load.look_at(batch)
            self._spool.add(batch)

    def commit(self) -> Written:
        """Load all into a staging dataset of this attempt, and merge it into the table in one transaction."""
        with self._guard():
            rows = self._spool.rows
            self._load.run(self._spool)
            self._ended = "committed"
            self._spool.close()
        return Written(uris=(self._uri,), rows=rows)

    def _drop(self) -> None:
        self._spool.close()


def _credentials(conn_id: str) -> tuple[str, Any]:
    """Return the destination for a connection, and its credentials as dlt takes them."""
    from airflow_provider.altcraft._airflow.databases import connection_of

    connection = connection_of(conn_id)
    name = _PER_CONNECTION.get(connection.conn_type or "")
    if name is None:
        raise ValueError(
            f"a connection of the type {connection.conn_type!r} cannot be handed to dlt; give destination= and let dlt "
            f"find the credentials in its own configuration"
        )
    if name == "duckdb":
        return name, _duckdb_file(connection)
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials

    credentials = PostgresCredentials()
    credentials.host = connection.host or "localhost"
    credentials.port = connection.port or 5432
    credentials.database = connection.schema or connection.login or "postgres"
    credentials.username = connection.login or "postgres"
    # dlt needs a password even where the server does not.
    credentials.password = connection.password or "none"
    credentials.query = {
        key: str(value) for key, value in connection.extra_dejson.items() if key.startswith(("ssl", "target_session"))
    }
    credentials.resolve()
    return name, credentials


def _duckdb_file(connection: Any) -> str:
    """Return the file of a DuckDB connection, as its provider reads it; also without a provider."""
    from airflow_provider.altcraft._airflow.databases import database_hook
    from airflow_provider.altcraft._airflow.duckdb import database_of, database_of_connection, served_by

    try:
        hook = database_hook(connection.conn_id)
    except ValueError:  # dlt needs no provider
        place = database_of_connection(connection)
    else:
        if served := served_by(hook):
            log.info("%s", served)
        place = database_of(hook)
    if place.startswith("md:"):
        raise ValueError(
            f"the connection {connection.conn_id!r} is of MotherDuck's; give destination='motherduck', and let dlt "
            f"find the token in its own configuration"
        )
    return place


def _check_batch(batch: pa.RecordBatch) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    from airflow_provider.altcraft.schema import SCHEMA, check_schema

    check_schema(batch)
    for field, column in zip(SCHEMA, batch.columns, strict=True):
        if pa.types.is_string(field.type) and pc.any(pc.match_substring(column, "\0")).as_py():
            raise ValueError(f"a text in {field.name!r} holds the character U+0000 (NUL), which warehouses do not take")


def _check_table(table: object) -> re.Match[str]:
    match = _TABLE.fullmatch(table) if isinstance(table, str) else None
    if match is None:
        raise ValueError(
            f"table: {table!r} is not a name such as 'dataset.table': lower-case letters, digits and underscores, as "
            f"dlt spells names"
        )
    return match
