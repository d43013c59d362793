"""The data of an emulator, databases with profiles and events, and the methods by which tests change it."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from hashlib import sha256
from types import EllipsisType
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider.altcraft.testing.emulator.data import FIRST, LAST, Database
from airflow_provider.altcraft.testing.emulator.rows import Event, Profile, Row, Style, as_row, channel_of, to_micros


def zone_of(timezone: str | tzinfo) -> tzinfo:
    """Return the time zone that the knob ``timezone`` names.

    Raises:
        ValueError: there is none of this name.
    """
    try:
        return ZoneInfo(timezone) if isinstance(timezone, str) else timezone
    except (ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"timezone must be an IANA name such as Europe/Riga, not {timezone!r}") from None


class Contents:
    """Databases, profiles and events. Methods may be called from any thread."""

    style: Style
    list_id_name: Literal["list_id", "db_id"]
    fraction_digits: Literal[0, 3, 6, 9, None]  # noqa: PYI061 - one Literal, from which Emulator reads the values
    timezone: str | tzinfo
    date_to_inclusive: bool

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._databases: dict[int, Database] = {}

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

    @property
    def list_ids(self) -> list[int]:
        """The ids of all databases, in the order in which they were added."""
        return list(self._databases)

    def database(self, list_id: int) -> Database:
        """Return the data of a database.

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
            xxh: 16 hexadecimal digits; None generates one, the same in every run.
            profile_id: 24 hexadecimal digits; likewise.
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
        """Add an event, also while the emulator runs.

        Args:
            profile: a profile, or its xxh or e-mail.
            action: any word.
            at: its time, aware; None is now.
            count: its count.
            message_id: its message; None leaves it out.
            campaign_id: its campaign; None leaves it out. The default is 1 in the new style and none in the old.
            visible_after: seconds from now before which it is not served: an event that comes late.
            list_id: the database, where the profile is not given as a ``Profile``.
            **fields: more fields of its row, or other values for those it has; ``...`` leaves one out.

        Returns:
            The row as it is served in the current style.

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
        row = _new_row(owner, action, message_id, campaign)
        row |= {"count": count, "event_id": f"{when // 1_000_000 % 2**32:08x}{serial:016x}"}
        if isinstance(campaign_id, int):
            fields = {"campaign_id": campaign_id} | fields
        visible = 0.0 if visible_after is None else time.monotonic() + visible_after
        event = Event(when, serial, row, fields, visible)
        database.add_event(owner, event)
        return self.row(event)

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
        """Add virtual profiles with events to a database, which are computed on request and take no memory.

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
        """Yield all rows of a database as they are served, by xxh and time, late events included.

        Args:
            list_id: the database.
            date_from: only from this day on, by the platform's clock.
            date_to: only up to this day, by the platform's clock; whether it belongs is up to ``date_to_inclusive``.
        """
        low, high = self.days_to_window(date_from, date_to)
        database = self.database(list_id)
        for profile in database.walk("", low, high):
            for event in database.events(profile, low, high, with_late=True):
                yield self.row(event)

    def delete_profile(self, profile: Profile | str, *, list_id: int = 1) -> None:
        """Delete a profile and, as the platform does, its history.

        Args:
            profile: a profile, or its xxh or e-mail.
            list_id: the database, where the profile is not given as a ``Profile``.

        Raises:
            LookupError: no such profile or database.
        """
        deleted = profile if isinstance(profile, Profile) else self._profile(profile, list_id)
        self.database(deleted.list_id).delete_profile(deleted)

    def merge_profiles(self, kept: Profile | str, other: Profile | str, *, list_id: int = 1) -> None:
        """Merge a profile into another of its database.

        The other's events become those of the profile that is kept, with its xxh, profile_id and e-mail, and so do its
        lookups other than xxh and profile_id.

        Args:
            kept: the profile that stays: a profile, or its xxh or e-mail.
            other: the profile that is deleted.
            list_id: the database, where they are not given as a ``Profile``.

        Raises:
            LookupError: no such profile or database.
        """
        first, second = (each if isinstance(each, Profile) else self._profile(each, list_id) for each in (kept, other))
        self.database(first.list_id).merge_profiles(first, second)

    def row(self, event: Event) -> Row:
        """Return an event as it is served with the current knobs."""
        return as_row(event, self.style, self.list_id_name, self.fraction_digits)

    def days_to_window(self, first: date | None, last: date | None) -> tuple[int, int]:
        """Return the times from which (inclusive) to which (exclusive) days last in the account's time zone."""
        low = FIRST if first is None else self._midnight(first)
        if last is None:
            return low, LAST
        last = min(last, date.max - timedelta(days=1))
        return low, self._midnight(last + timedelta(days=1) if self.date_to_inclusive else last)

    def _midnight(self, day: date) -> int:
        return to_micros(datetime(day.year, day.month, day.day, tzinfo=zone_of(self.timezone)))

    def _profile(self, key: str, list_id: int) -> Profile:
        database = self.database(list_id)
        found = database.find(("email", key)) or database.find(("email_sub", key)) or database.find(("xxh", key))
        if not found:
            raise LookupError(f"no profile with the e-mail or xxh {key!r} in database {list_id}")
        return found


def _new_row(owner: Profile, action: str, message_id: int | None, campaign: int | None) -> Row:
    """Return a row with the fields of the profile, the action, the message and the campaign."""
    row: Row = {
        "xxh": owner.xxh,
        "profile_id": owner.profile_id,
        "email": owner.email or "",
        "list_id": owner.list_id,
        "action": action,
        "subscriptions": list(owner.subscriptions),
    }
    if message_id is not None:
        message = sha256(f"{owner.xxh}/{message_id}/{campaign}".encode()).hexdigest()
        row |= {"message_id": message_id, "message_name": f"Message {message_id}", "smid": message[:28]}
    if campaign is not None:
        row |= {"campaign_id": campaign, "campaign_name": f"Campaign {campaign}"}
    if channel := channel_of(action):
        row["channel"] = channel
        row |= next(({"subscription": each} for each in owner.subscriptions if each.get("channel") == channel), {})
    return row
