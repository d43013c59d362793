"""The class ``Emulator``: its knobs, and its start and stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Literal, Self, get_args, get_origin, get_type_hints

from airflow_provider.altcraft.testing.emulator.app import make_app
from airflow_provider.altcraft.testing.emulator.contents import zone_of
from airflow_provider.altcraft.testing.emulator.platform import Platform
from airflow_provider.altcraft.testing.emulator.record import RecordedRequest
from airflow_provider.altcraft.testing.emulator.rows import Profile, Style
from airflow_provider.altcraft.testing.emulator.server import Server

__all__ = ["Emulator", "Profile", "RecordedRequest"]


class Emulator(Platform):
    """The Altcraft Platform's API on a local port, with the data and the faults that a test sets.

    Used as a context manager, or by ``start`` and ``stop``. It begins with one database, of id 1. All knobs are
    attributes and may be changed while it runs. Methods may be called from any thread.

    Args:
        token: the API token it accepts.
        host: address to bind.
        port: port to bind; 0 takes a free one, which is kept when it is started again.
        path: the part of the URL before ``/api``, such as ``/altcraft``.
        style: fields of rows: those of the platform's newest known version, or of its oldest.
        list_id_name: the name of the field with the database's id in rows.
        empty_data: the value of ``data`` where there is nothing to list.
        order: order of the rows of ``history_get``.
        http_status: whether an error's HTTP status is its code, as on newer platforms; else it is 200.
        unknown_profile: whether ``history_get`` returns no rows or an error where the lookup finds no profile.
        timezone: the account's time zone, in which the days of a request are counted: an IANA name or a ``tzinfo``.
        date_to_inclusive: whether the day ``date_to`` belongs to the window.
        cursor: whether a page of ``history_get_all`` begins after the last row of the page before, or repeats it.
        database_order: order of the rows of ``history_get_all``, the profile or the time first.
        composed_cursors: how ``history_get_all`` treats a cursor that the client has composed; where it is ignored, the
            page begins with the first row.
        cursor_of_deleted: how a cursor that names a profile deleted since is treated.
        limit_counts: what ``limit`` of ``history_get_all`` counts. Where it is profiles, a page holds all their rows.
        fraction_digits: digits of a second's fraction in rows; None is the style's own number. The last three of nine
            are invented, different from event to event.
        missing_slash: the response to ``databases/list`` and ``databases/get`` without the slash at the end: 404, a
            redirection (301) to the address with it, or the same as with it.
        auth: where the token is accepted.
        tls: files of the certificate and its key, for HTTPS.
        latency: seconds that each response takes at least.
        record: whether ``requests`` keeps all requests, with which memory grows, or how many of the last.
    """

    def __init__(
        self,
        *,
        token: str = "emulator-token",  # noqa: S107 - of no use anywhere else
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "",
        style: Style = "new",
        list_id_name: Literal["list_id", "db_id"] = "list_id",
        empty_data: Literal["list", "null", "absent"] = "list",
        order: Literal["newest", "oldest", "shuffled"] = "newest",
        http_status: bool = True,
        unknown_profile: Literal["empty", "error"] = "empty",
        timezone: str | tzinfo = "UTC",
        date_to_inclusive: bool = True,
        cursor: Literal["exclusive", "inclusive"] = "exclusive",
        database_order: Literal["xxh", "time"] = "xxh",
        composed_cursors: Literal["taken", "refused", "ignored"] = "taken",
        cursor_of_deleted: Literal["taken", "refused"] = "taken",
        limit_counts: Literal["rows", "profiles"] = "rows",
        fraction_digits: Literal[0, 3, 6, 9] | None = None,
        missing_slash: Literal["refused", "redirected", "taken"] = "refused",
        auth: Sequence[Literal["body", "header"]] = ("body", "header"),
        tls: tuple[str, str] | None = None,
        latency: float = 0.0,
        record: bool | int = True,
    ) -> None:
        super().__init__(record=record)
        self.token = token
        self.path = path.rstrip("/")
        self.style: Style = style
        self.list_id_name = list_id_name
        self.empty_data = empty_data
        self.order = order
        self.http_status = http_status
        self.unknown_profile = unknown_profile
        self.timezone = timezone
        self.date_to_inclusive = date_to_inclusive
        self.cursor = cursor
        self.database_order = database_order
        self.composed_cursors = composed_cursors
        self.cursor_of_deleted = cursor_of_deleted
        self.limit_counts = limit_counts
        self.fraction_digits = fraction_digits
        self.missing_slash = missing_slash
        self.auth = tuple(auth)
        self.latency = latency
        self.tariff_exhausted = False
        """Whether every call is refused with 402."""
        self._scheme = "https" if tls else "http"
        self._server = Server(make_app(self), host=host, port=port, tls=tls)
        for name, hint in get_type_hints(Platform).items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                known = ", ".join(sorted(map(str, get_args(hint))))
                raise ValueError(f"{name} must be one of {known}, not {getattr(self, name)!r}")
        zone_of(timezone)
        self.add_database(1)

    # Start and stop

    def start(self) -> None:
        """Serve in a thread; return when connections are accepted.

        Raises:
            RuntimeError: it is started already.
            OSError: the port is taken.
        """
        if self._server.running:
            raise RuntimeError("the emulator is started already")
        self._server.start()

    def stop(self) -> None:
        """Abort all connections and release the port. Data, faults and recorded requests stay."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Known from the first start on, and the same after a restart."""
        if not self._server.port:
            raise RuntimeError("the emulator has no URL before it is started")
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        return f"{self._scheme}://{host}:{self._server.port}{self.path}"

    @property
    def open_connections(self) -> int:
        """The number of connections that are open now."""
        return self._server.connections
