"""History as rows of a Delta Lake table, written by each commit in one transaction."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._arguments import is_template, path_text
from airflow_provider.altcraft._extras import not_installed
from airflow_provider.altcraft._redact import without_password
from airflow_provider.altcraft.targets._day_writer import DayWriter, check_disposition, later_windows
from airflow_provider.altcraft.targets._equality import EqualByArguments
from airflow_provider.altcraft.targets._locations import options_of
from airflow_provider.altcraft.targets._protocols import Scope
from airflow_provider.altcraft.targets.delta.place import Place
from airflow_provider.altcraft.window import zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider.altcraft.targets._spool import Spool
    from airflow_provider.altcraft.targets.delta.place import Table
    from airflow_provider.altcraft.targets.delta.table import Layout

ACCEPTED = "'delta+s3://conn_id@bucket/table' or 'delta+file:///folder/table'"

SCHEMES = ("delta+file", "delta+s3", "delta+abfs", "delta+gs")


class DeltaTarget(EqualByArguments):
    """A Delta Lake table, partitioned by a column ``date``, which is added last: the day of ``datetime``.

    The pull is spooled on the local disk. A commit reads the rows of the days that the pull touches, and replaces
    these days in one transaction; where another writer was in the way, it does so again from what that left.
    The table is made where missing.

    Args:
        path: ``s3://conn_id@bucket/table``, ``abfs://conn_id@container/table``, ``gs://conn_id@bucket/table``,
            ``file:///…`` or an absolute path.
        write_disposition:
            ``merge``: an event is one row, known by ``event_key``, with the newest values; no other row is touched.
            ``replace``: what the table holds for the pull's list, lookups and window is deleted, and the pull inserted;
            an event asked by two lookups is a row for each.
        timezone: whose days ``date`` has; a table keeps the one that it was made with.

    Raises:
        ValueError: an argument that does not fit; a template is checked by ``open``, once rendered.
    """

    template_fields: Sequence[str] = ("path", "write_disposition", "timezone")

    def __init__(self, path: str | PathLike[str], write_disposition: str = "merge", *, timezone: str = "UTC") -> None:
        self.path: str = path_text(path)
        if not is_template(self.path):
            Place(self.path)
        if not is_template(write_disposition):
            check_disposition(write_disposition)
        if not is_template(timezone):
            zone_of(timezone)
        self.write_disposition = write_disposition
        self.timezone = timezone

    @classmethod
    def from_uri(cls, uri: str) -> DeltaTarget:
        """Return the target of ``delta+s3://conn_id@bucket/table``, perhaps with ``?write_disposition=replace``.

        Raises:
            ValueError: not such a URI.
        """
        options: Any = options_of(uri, ("write_disposition", "timezone"), ACCEPTED)
        return cls(uri.partition("?")[0].partition("+")[2], **options)

    def __repr__(self) -> str:
        """Return the arguments, the same at each parse of the DAG file."""
        more = "" if self.timezone == "UTC" else f", timezone={self.timezone!r}"
        path = without_password(str(self.path))
        return f"{type(self).__name__}({path!r}, write_disposition={self.write_disposition!r}{more})"

    def open(self, scope: Scope) -> DeltaWriter:
        """Begin a write: check that the store can be written, and that the table fits.

        Raises:
            ValueError: an argument, the connection or the table does not fit, or a package is not installed.
            OSError: the place cannot be reached or written now.
        """
        place = Place(path_text(self.path))
        check_disposition(self.write_disposition)
        timezone = zone_of(self.timezone).key
        try:
            from airflow_provider.altcraft.targets.delta.table import Layout
        except ImportError as error:
            raise ValueError(f"{place.uri}: {not_installed('delta', error)}") from error
        from airflow_provider.altcraft.targets._spool import Spool

        layout = Layout(timezone, self.write_disposition)
        place.prove()
        with place.table() as table:
            if table is not None:
                layout.check(table, scope)
            known = None if table is None else (table.metadata().id, table.version())
        return DeltaWriter(place, layout, scope, timezone, Spool(), known)


class DeltaWriter(DayWriter):
    """Spools batches by day, and commits them in one transaction. An error ends the writer."""

    def __init__(
        self,
        place: Place,
        layout: Layout,
        scope: Scope,
        timezone: str,
        spool: Spool,
        known: tuple[object, int] | None,
    ) -> None:
        super().__init__(place.uri, scope, timezone, spool, layout.disposition)
        self._place = place
        self._layout = layout
        self._known = known  # the table's id and version, from before the pull began

    def _write(self) -> int:
        table: Table | None
        with self._place.table() as table:
            if table is not None:
                self._layout.check(table, self._scope)
            later = later_windows(self._since(table), self._scope, self._began, self._uri)
            return self._layout.commit(self._place, table, self._scope, self._spool, self._began, later)

    def _since(self, table: Table | None) -> list[dict[str, Any]]:
        """Return the history of the commits since the pull began; of all, where the table was made again."""
        if table is None:
            return []
        made, version = self._known or (None, -1)
        new = table.version() - (version if table.metadata().id == made else -1)
        return table.history(new) if new else []
