"""The class ``Emulator``: its knobs, its data, and its life from start to stop."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from types import EllipsisType, TracebackType
from typing import Any, Literal, Self

from airflow_provider.altcraft.testing._app import make_app
from airflow_provider.altcraft.testing._data import Database
from airflow_provider.altcraft.testing._methods import days_to_window
from airflow_provider.altcraft.testing._record import Record, RecordedRequest
from airflow_provider.altcraft.testing._rows import Event, Profile, Row, Style, as_row, channel_of, to_micros
from airflow_provider.altcraft.testing._server import Server

__all__ = ["Emulator", "Profile", "RecordedRequest"]

_KNOBS = {
    "style": {"new", "old"},
    "list_id_name": {"list_id", "db_id"},
    "empty_data": {"list", "null", "absent"},
    "order": {"newest", "oldest", "shuffled"},
    "cursor": {"exclusive", "inclusive"},
    "database_order": {"xxh", "time"},
    "composed_cursors": {"taken", "refused", "ignored"},
}


class Emulator(Record):
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
        http_status: whether a failure carries an HTTP status of its own; else it is 200.
        utc_offset: how far the clock that the days of a request mean is ahead of UTC.
        date_to_inclusive: whether the day ``date_to`` belongs to what is asked.
        cursor: whether a page of ``history_get_all`` begins after the last one's last row, or repeats it.
        database_order: order of the rows of ``history_get_all``, the profile or the time first.
        composed_cursors: what becomes of a cursor of ``history_get_all`` that the client has made itself; ignored, it
            begins with the first row.
        auth: where the token is accepted.
        tls: files of the certificate and its key, for HTTPS.
        latency: seconds that each answer takes at least.
        record: whether requests are kept in ``requests``; without it memory does not grow with their number.
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
        http_status: bool = False,
        utc_offset: timedelta = timedelta(0),
        date_to_inclusive: bool = True,
        cursor: Literal["exclusive", "inclusive"] = "exclusive",
        database_order: Literal["xxh", "time"] = "xxh",
        composed_cursors: Literal["taken", "refused", "ignored"] = "taken",
        auth: Sequence[Literal["body", "header"]] = ("body", "header"),
        tls: tuple[str, str] | None = None,
        latency: float = 0.0,
        record: bool = True,
    ) -> None:
        super().__init__(record=record)
        self.token = token
        self.path = path.rstrip("/")
        self.style: Style = style
        self.list_id_name = list_id_name
        self.empty_data = empty_data
        self.order = order
        self.http_status = http_status
        self.utc_offset = utc_offset
        self.date_to_inclusive = date_to_inclusive
        self.cursor = cursor
        self.database_order = database_order
        self.composed_cursors = composed_cursors
        self.auth = tuple(auth)
        self.latency = latency
        self.tariff_exhausted = False
        """Whether every call is refused with 402."""
        self._databases: dict[int, Database] = {}
        self._revoked: set[int] = set()
        self._given: set[str] = set()
        self._scheme = "https" if tls else "http"
        self._server = Server(make_app(self), host=host, port=port, tls=tls)
        for name, values in _KNOBS.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {', '.join(sorted(values))}, not {getattr(self, name)!r}")
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

    # Data

    def add_database(
        self, list_id: int, *, name: str | None = None, description: str = "", fields: Collection[str] | None = None
    ) -> None:
        """Add a database.

        Args:
            list_id: its id.
            name: its name; made from the id where None.
            description: its description.
            fields: names of its custom profile fields: requests that name another are refused. None knows all names.
        """
        if list_id in self._databases:
            raise ValueError(f"there is a database {list_id} already")
        self._databases[list_id] = Database(list_id, name or f"Database #{list_id}", description, fields)

    def database(self, list_id: int) -> Database:
        """The data of a database.

        Raises:
            LookupError: there is none with this id.
        """
        try:
            return self._databases[list_id]
        except KeyError:
            raise LookupError(f"no database {list_id}: add_database({list_id}) first") from None

    def add_profile(
        self,
        *,
        list_id: int = 1,
        email: str | None = None,
        phone: str | None = None,
        xxh: str | None = None,
        profile_id: str | None = None,
        custom: Mapping[str, Any] | None = None,
        subscriptions: Sequence[Mapping[str, Any]] | None = None,
    ) -> Profile:
        """Add a profile.

        Args:
            list_id: its database.
            email: the profile's e-mail.
            phone: the profile's phone.
            xxh: 16 hexadecimal digits; made, the same in every run, where None.
            profile_id: 24 hexadecimal digits; made likewise where None.
            custom: its custom fields.
            subscriptions: objects as rows show them, with at least ``channel``: ``email`` with ``email``, ``sms`` with
                ``phone``, ``push`` with ``provider`` and ``subscription_id``, any other with ``custom_fields``. None
                makes one each of the profile's e-mail and phone.

        Raises:
            ValueError: xxh or profile_id is malformed, or another profile's.
        """
        for name, value, digits in (("xxh", xxh, 16), ("profile_id", profile_id, 24)):
            if value is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
                raise ValueError(f"{name} must be {digits} hexadecimal digits, not {value!r}")
        return self.database(list_id).add_profile(
            email=email,
            phone=phone,
            xxh=xxh,
            profile_id=profile_id,
            custom=custom or {},
            subscriptions=subscriptions,
        )

    def add_event(
        self,
        profile: Profile | str,
        action: str,
        *,
        at: datetime | None = None,
        count: int = 1,
        message_id: int | None = 1,
        campaign_id: int | EllipsisType | None = ...,
        visible_after: float | None = None,
        list_id: int = 1,
        **fields: Any,
    ) -> Row:
        """Add an event. It is served from then on, also while the emulator runs.

        Args:
            profile: a profile, or its xxh or e-mail.
            action: any word.
            at: its time, aware; None is now.
            count: its count.
            message_id: its message; None leaves it out.
            campaign_id: its campaign; None leaves it out, as does not giving it in the old style (it is 1 in the new).
            visible_after: seconds from now before which it is not served: an event that comes late.
            list_id: the database, where the profile is not given as a ``Profile``.
            **fields: more fields of its row, or other values for those it has; ``...`` leaves one out.

        Returns:
            The row as it is served in the style of now.

        Raises:
            LookupError: no such profile or database.
            ValueError: ``at`` has no time zone.
        """
        owner = profile if isinstance(profile, Profile) else self._profile(profile, list_id)
        database = self.database(owner.list_id)
        now = datetime.now(UTC)
        when = to_micros(at or now.replace(microsecond=now.microsecond // 1000 * 1000))
        serial = database.next_serial()
        campaign = 1 if isinstance(campaign_id, EllipsisType) else campaign_id
        row: Row = {
            "xxh": owner.xxh,
            "profile_id": owner.profile_id,
            "email": owner.email or "",
            "list_id": owner.list_id,
            "action": action,
            "count": count,
            "event_id": f"{when // 1_000_000 % 2**32:08x}{serial:016x}",
            "subscriptions": list(owner.subscriptions),
        }
        if message_id is not None:
            message = sha256(f"{owner.xxh}/{message_id}/{campaign}".encode()).hexdigest()
            row |= {"message_id": message_id, "message_name": f"Message {message_id}", "smid": message[:28]}
        if campaign is not None:
            row |= {"campaign_id": campaign, "campaign_name": f"Campaign {campaign}"}
        channel = channel_of(action)
        if channel:
            row["channel"] = channel
            row |= next(({"subscription": one} for one in owner.subscriptions if one.get("channel") == channel), {})
        if isinstance(campaign_id, int):
            fields = {"campaign_id": campaign_id} | fields
        visible = 0.0 if visible_after is None else time.monotonic() + visible_after
        event = Event(when, serial, row, fields, visible)
        database.add_event(owner, event)
        return as_row(event, self.style, self.list_id_name)

    def seed(
        self,
        *,
        list_id: int = 1,
        profiles: int,
        events_per_profile: int = 100,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        days: float = 30,
        seed: int = 0,
    ) -> None:
        """Give a database virtual profiles with events, of which nothing is held in memory: they are computed.

        Profile number i, from 0, has the xxh ``f"{i:016x}"``, the e-mail ``f"user{i}@example.com"``, the phone
        ``f"+79{i:09d}"`` and the custom field ``CRM_ID`` of ``str(i)``. Its events are those of campaigns: sends,
        deliveries, opens, clicks and what may follow.

        Args:
            list_id: the database; it can be seeded once.
            profiles: how many profiles.
            events_per_profile: how many events each has.
            start: the earliest time of an event, aware.
            days: all events lie within so many days from ``start``.
            seed: another number gives other events.
        """
        self.database(list_id).seed(
            profiles=profiles,
            events_per_profile=events_per_profile,
            start=to_micros(start),
            span=int(days * 86_400_000_000),
            seed=seed,
        )

    def events(self, list_id: int = 1, *, date_from: date | None = None, date_to: date | None = None) -> Iterator[Row]:
        """All rows that a database holds, by xxh and time, as they are served; late ones too.

        Args:
            list_id: the database.
            date_from: only from this day on, by the platform's clock.
            date_to: only up to this day, by the platform's clock; whether it belongs is up to ``date_to_inclusive``.
        """
        low, high = days_to_window(self, date_from, date_to)
        database = self.database(list_id)
        for profile in database.walk("", low, high):
            for event in database.events(profile, low, high, late_too=True):
                yield as_row(event, self.style, self.list_id_name)

    def gave(self, cursor: str) -> str:
        """Remember a cursor that is given to a client, where others are not taken."""
        if self.composed_cursors != "taken":
            self._given.add(cursor)
        return cursor

    def has_given(self, cursor: str) -> bool:
        """Whether a client was given this cursor."""
        return cursor in self._given

    def _profile(self, key: str, list_id: int) -> Profile:
        database = self.database(list_id)
        found = database.find(("email", key)) or database.find(("email_sub", key)) or database.find(("xxh", key))
        if not found:
            raise LookupError(f"no profile with the e-mail or xxh {key!r} in database {list_id}")
        return found

    # Rights

    @property
    def rights(self) -> frozenset[int]:
        """The databases that the token has rights on."""
        return frozenset(self._databases) - self._revoked

    def revoke(self, *list_ids: int) -> None:
        """Take the token's rights on these databases: what asks for one gets 403."""
        self._revoked.update(list_ids)

    def grant(self, *list_ids: int) -> None:
        """Give the token's rights on these databases back."""
        self._revoked.difference_update(list_ids)
