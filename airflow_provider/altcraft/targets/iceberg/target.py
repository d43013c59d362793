"""History as rows of an Apache Iceberg table, written by each commit in one commit of its catalog."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft._arguments import is_template
from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import without_password
from airflow_provider.altcraft.targets._day_writer import DayWriter, check_disposition
from airflow_provider.altcraft.targets._equality import EqualByArguments
from airflow_provider.altcraft.targets._locations import options_of
from airflow_provider.altcraft.targets._protocols import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider.altcraft.targets._spool import Spool
    from airflow_provider.altcraft.targets.iceberg.table import IcebergTable

ACCEPTED: Final = "'iceberg://conn_id/namespace.table'"

SCHEMES: Final = ("iceberg",)

_NAME: Final = re.compile(r"[^\s./?#{}]+(\.[^\s./?#{}]+)+")
_CONN_ID: Final = re.compile(r"[^\s/?#@:]+")


class IcebergTarget(EqualByArguments):
    """An Apache Iceberg table behind a connection of Airflow's Iceberg provider: REST, Glue, SQL and other catalogs.

    The pull is spooled on the local disk. A commit reads the rows of the days (UTC) that the pull touches, and
    replaces these days in one commit of the catalog; where another writer was in the way, it does so again from what
    that left. The table is made where missing, partitioned by the day of ``datetime``; its namespace has to be there.

    Args:
        conn_id: the connection, of type ``iceberg``.
        table: ``namespace.table``, or a namespace of several parts.
        write_disposition:
            ``merge``: an event is one row, known by ``event_key``, with the newest values; no other row is touched.
            ``replace``: what the table holds for the pull's list, lookups and window is deleted, and the pull inserted;
            an event asked by two lookups is a row for each.
        catalog: the catalog's name where it is not the connection's id. A catalog in a database keeps its tables under
            its name, so others' tables are found by theirs only.

    Raises:
        ValueError: an argument that does not fit; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("conn_id", "table", "write_disposition", "catalog")

    def __init__(
        self, conn_id: str, table: str, write_disposition: str = "merge", *, catalog: str | None = None
    ) -> None:
        self.conn_id = conn_id
        self.table = table
        self.write_disposition = write_disposition
        self.catalog = catalog
        self._check(only_constants=True)

    @classmethod
    def from_uri(cls, uri: str) -> IcebergTarget:
        """Return the target of ``iceberg://conn_id/namespace.table``, perhaps with ``?write_disposition=replace``.

        Raises:
            ValueError: not such a URI.
        """
        conn_id, _, table = uri.partition("://")[2].partition("?")[0].partition("/")
        if ":" in conn_id:
            raise ValueError(
                f"target: {without_password(uri)!r} has a password or a port in it; name a connection of Airflow, "
                f"as in {ACCEPTED}"
            )
        options: Any = options_of(uri, ("write_disposition", "catalog"), ACCEPTED)
        return cls(conn_id.removesuffix("@"), table, **options)

    @property
    def uri(self) -> str:
        """The URI in results, errors and lineage."""
        return f"iceberg://{self.conn_id}/{self.table}"

    def __repr__(self) -> str:
        """Return the arguments, the same at each parse of the DAG file."""
        more = "" if self.catalog is None else f", catalog={self.catalog!r}"
        arguments = f"{self.conn_id!r}, {self.table!r}, write_disposition={self.write_disposition!r}{more}"
        return f"{type(self).__name__}({arguments})"

    def open(self, scope: Scope) -> IcebergWriter:
        """Begin a write: check the catalog, that the table's place can be written, and that the table fits.

        Raises:
            ValueError: an argument, the connection, the namespace or the table does not fit, or a package is not
                installed.
            PermissionError: the catalog refuses the connection's credentials.
            OSError: the catalog or the table's place cannot be reached or written now.
        """
        self._check(only_constants=False)
        try:
            from airflow_provider.altcraft.targets.iceberg.table import IcebergTable
        except ImportError as error:
            raise ValueError(f"{self.uri}: {not_installed('iceberg', error)}") from error
        from airflow_provider.altcraft.targets._spool import Spool

        table = IcebergTable(self.uri, self.conn_id, self.table, self.write_disposition, self.catalog)
        known = table.prove(scope)
        return IcebergWriter(table, scope, Spool(), known)

    def _check(self, *, only_constants: bool) -> None:
        def checked(value: object) -> bool:
            return not (only_constants and is_template(value))

        if checked(self.conn_id) and not (isinstance(self.conn_id, str) and _CONN_ID.fullmatch(self.conn_id)):
            raise ValueError(f"conn_id: expected the id of an Airflow connection, got {self.conn_id!r}")
        if checked(self.table) and not (isinstance(self.table, str) and _NAME.fullmatch(self.table)):
            raise ValueError(f"table: expected 'namespace.table', as in {ACCEPTED}, got {self.table!r}")
        if checked(self.write_disposition):
            check_disposition(self.write_disposition)
        if self.catalog is not None and checked(self.catalog) and not (self.catalog and isinstance(self.catalog, str)):
            raise ValueError(f"catalog: expected the name of a catalog or None, got {self.catalog!r}")


class IcebergWriter(DayWriter):
    """Spools batches by day, and commits them in one commit of the catalog. An error ends the writer."""

    def __init__(self, table: IcebergTable, scope: Scope, spool: Spool, known: frozenset[int]) -> None:
        super().__init__(table.uri, scope, "UTC", spool, table.disposition)
        self._table = table
        self._known = known  # snapshots, from before the pull began

    def _write(self) -> int:
        return self._table.commit(self._scope, self._spool, self._began, self._known)
