"""Profiles and events, and rows of events in the platform's new and old style."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import EllipsisType
from typing import Any, Literal, NamedTuple, TypeAlias

Row: TypeAlias = dict[str, Any]
Style: TypeAlias = Literal["new", "old"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OLD = ("action", "count", "email", "list_id", "message_id", "xxh")
_SUFFIXES = {"_sms": "sms", "_push": "push"}
_PREFIXES = ("telegram_bot", "whatsapp", "viber")
_EMAIL = frozenset({
    "send",
    "deliv",
    "undeliv",
    "open",
    "read",
    "click",
    "confirm",
    "subscribe_email",
    "unsubscribe_email",
    "reply",
    "complain",
    "hbounce",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One person in one database.

    Attributes:
        list_id: its database.
        xxh: 16 hexadecimal digits.
        profile_id: 24 hexadecimal digits.
        email: the profile's own e-mail.
        phone: the profile's own phone.
        custom: its custom fields.
        subscriptions: objects as rows show them.
    """

    list_id: int
    xxh: str
    profile_id: str
    email: str | None = None
    phone: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    subscriptions: tuple[Mapping[str, Any], ...] = ()

    def fields(self) -> Row:
        """Return all its fields by name, including custom ones."""
        own = {"email": self.email, "phone": self.phone}
        return {name: value for name, value in own.items() if value is not None} | dict(self.custom)

    def lookups(self) -> set[tuple[str, ...]]:
        """Return the lookups that find it: each the kind of a lookup and its values."""
        found: set[tuple[str, ...]] = {("xxh", self.xxh), ("profile_id", self.profile_id)}
        found |= {("email", self.email)} if self.email else set()
        found |= {("phone", self.phone)} if self.phone else set()
        found |= {("custom", name, str(value)) for name, value in self.custom.items()}
        for each in self.subscriptions:
            match each.get("channel"):
                case "email":
                    found.add(("email_sub", str(each.get("email"))))
                case "sms":
                    found.add(("phone_sub", str(each.get("phone"))))
                case "push":
                    found.add(("push_sub", str(each.get("provider")), str(each.get("subscription_id"))))
                case _:
                    fields = each.get("custom_fields") or {}
                    found |= {("custom_sub", name, str(value)) for name, value in fields.items()}
        return found


class Event(NamedTuple):
    """One event as it is stored: ``at`` in microseconds since 1970 (UTC), and the fields of the new style.

    ``overrides`` replace fields of the row in either style. It is served once ``time.monotonic()`` is ``visible``.
    """

    at: int
    serial: int
    fields: Row
    overrides: Mapping[str, Any]
    visible: float = 0.0


def channel_of(action: str) -> str | None:
    """Return the channel of an action; None where it has none or is unknown."""
    if action in _EMAIL:
        return "email"
    for suffix, channel in _SUFFIXES.items():
        if action.endswith(suffix) and not action.startswith("import"):
            return channel
    return next((prefix for prefix in _PREFIXES if action.startswith(f"{prefix}_")), None)


def to_micros(at: datetime) -> int:
    """Return an aware time as microseconds since 1970.

    Raises:
        ValueError: it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return (at - _EPOCH) // _MICROSECOND


def _rfc3339(event: Event, style: Style, digits: int | None) -> str:
    seconds, micros = divmod(event.at, 1_000_000)
    fraction = f"{micros:06d}{event.serial % 1000:03d}"[:digits]
    if digits is None:
        fraction = f"{micros:06d}".rstrip("0") if style == "new" else ""  # without trailing zeros, as the platform does
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction}".rstrip(".") + "Z"


def as_row(event: Event, style: Style, list_id_name: str, fraction_digits: int | None = None) -> Row:
    """Return the row of an event. An override of ``...`` leaves its field out.

    Args:
        event: the event.
        style: which fields it has.
        list_id_name: the name of the field with the database's id.
        fraction_digits: of its time; None is the style's own number.
    """
    row = dict(event.fields) if style == "new" else {name: event.fields[name] for name in _OLD if name in event.fields}
    row["datetime"] = _rfc3339(event, style, fraction_digits)
    if list_id_name != "list_id":
        row[list_id_name] = row.pop("list_id")
    for name, value in event.overrides.items():
        if isinstance(value, EllipsisType):
            row.pop(name, None)
        else:
            row[name] = value
    return row
