"""The class ``Emulator``: its knobs, and its life from start to stop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from types import TracebackType
from typing import Any, Literal, Self

from airflow_provider.altcraft.testing.emulator.app import make_app
from airflow_provider.altcraft.testing.emulator.contents import zone_of
from airflow_provider.altcraft.testing.emulator.platform import Platform
from airflow_provider.altcraft.testing.emulator.record import RecordedRequest
from airflow_provider.altcraft.testing.emulator.rows import Profile, Style
from airflow_provider.altcraft.testing.emulator.server import Server

__all__ = ["Emulator", "Profile", "RecordedRequest"]

_KNOBS: dict[str, set[Any]] = {
    "style": {"new", "old"},
    "list_id_name": {"list_id", "db_id"},
    "empty_data": {"list", "null", "absent"},
    "order": {"newest", "oldest", "shuffled"},
    "cursor": {"exclusive", "inclusive"},
    "database_order": {"xxh", "time"},
    "composed_cursors": {"taken", "refused", "ignored"},
    "cursor_of_deleted": {"taken", "refused"},
    "limit_counts": {"rows", "profiles"},
    "unknown_profile": {"empty", "error"},
    "missing_slash": {"refused", "redirected", "taken"},
    "fraction_digits": {None, 0, 3, 6, 9},
}


class Emulator(Platform):
    """The Altcraft Platform's API on a local port, with what a test says it knows and does wrong.

    Used as a context manager, or by ``start`` and ``stop``. A database with id 1 is there from the beginning. All knobs
    are attributes and may be changed while it runs. Methods may be called from any thread.

    Args:
        token: the API token it accepts.
        host: address to bind.
        port: port to bind; 0 takes a free one, which is kept when it is started again.
        path: what the URL has before ``/api``, such as ``/altcraft``.
        style: shape of rows: as the platform's newest known version sends them, or its oldest.
        list_id_name: what rows call their database.
        empty_data: what ``data`` is where there is nothing to list.
        order: order of the rows of ``history_get``.
        http_status: whether an error's HTTP status is its code, as on newer platforms; else it is 200.
        unknown_profile: whether ``history_get`` answers a lookup that finds nobody with no rows or with an error.
        timezone: the account's time zone, in which the days of a request are counted: an IANA name or a ``tzinfo``.
        date_to_inclusive: whether the day ``date_to`` belongs to what is asked.
        cursor: whether a page of ``history_get_all`` begins after the last one's last row, or repeats it.
        database_order: order of the rows of ``history_get_all``, the profile or the time first.
        composed_cursors: what becomes of a cursor of ``history_get_all`` that the client has made itself; ignored, it
            begins with the first row.
        cursor_of_deleted: what becomes of a cursor that names a profile deleted since.
        limit_counts: what ``limit`` of ``history_get_all`` counts. Where it is profiles, a page holds all their rows.
        fraction_digits: digits of a second's fraction in rows; None is as the style has it. The last three of nine are
            made up, different from event to event.
        missing_slash: what becomes of ``databases/list`` and ``databases/get`` without the slash at the end: 404, a
            redirection (301) to the address with it, or the answer.
        auth: where the token is accepted.
        tls: files of the certificate and its key, for HTTPS.
        latency: seconds that each answer takes at least.
        record: whether requests are kept in ``requests``; without it memory does not grow with their number, nor with
            a number of them, of which the last ones are kept.
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
        for name, values in _KNOBS.items():
            if getattr(self, name) not in values:
                known = ", ".join(sorted(map(str, values)))
                raise ValueError(f"{name} must be one of {known}, not {getattr(self, name)!r}")
        zone_of(timezone)
        self.add_database(1)

    # Life

    def start(self) -> None:
        """Serve, on a thread of its own; returns when connections are accepted.

        Raises:
            RuntimeError: it is started already.
            OSError: the port is taken.
        """
        if self._server.running:
            raise RuntimeError("the emulator is started already")
        self._server.start()

    def stop(self) -> None:
        """Break off all connections, however stalled, and free the port. Data, faults and requests stay."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end. Known once it was started, and the same when it is stopped."""
        if not self._server.port:
            raise RuntimeError("the emulator has no URL before it is started")
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        return f"{self._scheme}://{host}:{self._server.port}{self.path}"

    @property
    def open_connections(self) -> int:
        """How many connections clients hold open now."""
        return self._server.connections
