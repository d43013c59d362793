"""Profiles, events, and how an event is written as a row in the platform's new and old style."""

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
        """All its fields by name, custom ones among them."""
        own = {"email": self.email, "phone": self.phone}
        return {name: value for name, value in own.items() if value is not None} | dict(self.custom)

    def lookups(self) -> set[tuple[str, ...]]:
        """What finds it: a kind of lookup and its values."""
        found: set[tuple[str, ...]] = {("xxh", self.xxh), ("profile_id", self.profile_id)}
        found |= {("email", self.email)} if self.email else set()
        found |= {("phone", self.phone)} if self.phone else set()
        found |= {("custom", name, str(value)) for name, value in self.custom.items()}
        for one in self.subscriptions:
            match one.get("channel"):
                case "email":
                    found.add(("email_sub", str(one.get("email"))))
                case "sms":
                    found.add(("phone_sub", str(one.get("phone"))))
                case "push":
                    found.add(("push_sub", str(one.get("provider")), str(one.get("subscription_id"))))
                case _:
                    fields = one.get("custom_fields") or {}
                    found |= {("custom_sub", name, str(value)) for name, value in fields.items()}
        return found


class Event(NamedTuple):
    """One event as it is kept: ``at`` in microseconds since 1970 (UTC), and the fields of the new style.

    ``overrides`` are put on the row last, in either style. ``visible`` is the ``time.monotonic()`` from which on it is
    served.
    """

    at: int
    serial: int
    fields: Row
    overrides: Mapping[str, Any]
    visible: float = 0.0


def channel_of(action: str) -> str | None:
    """The channel of a known action; None for the rest, which belong to no channel."""
    if action in _EMAIL:
        return "email"
    for suffix, channel in _SUFFIXES.items():
        if action.endswith(suffix) and not action.startswith("import"):
            return channel
    return next((prefix for prefix in _PREFIXES if action.startswith(f"{prefix}_")), None)


def to_micros(at: datetime) -> int:
    """Microseconds since 1970 of an aware time.

    Raises:
        ValueError: it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return (at - _EPOCH) // _MICROSECOND


def rfc3339(at: int, *, fraction: bool = True) -> str:
    """Microseconds since 1970 as the platform writes them: UTC, ``Z``, no trailing zeros in the fraction."""
    seconds, micros = divmod(at, 1_000_000)
    return f"{_whole(seconds)}.{micros:06d}".rstrip("0") + "Z" if fraction and micros else f"{_whole(seconds)}Z"


def _with_digits(event: Event, digits: int) -> str:
    seconds, micros = divmod(event.at, 1_000_000)
    fraction = f"{micros:06d}{event.serial % 1000:03d}"[:digits]
    return f"{_whole(seconds)}.{fraction}Z" if digits else f"{_whole(seconds)}Z"


def _whole(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_row(event: Event, style: Style, list_id_name: str, fraction_digits: int | None = None) -> Row:
    """The row of an event. An override of ``...`` leaves its field out.

    Args:
        event: the event.
        style: which fields it has.
        list_id_name: what it calls its database.
        fraction_digits: of its time; None is as the style has it.
    """
    new = style == "new"
    row = event.fields.copy() if new else {name: event.fields[name] for name in _OLD if name in event.fields}
    row["datetime"] = (
        rfc3339(event.at, fraction=new) if fraction_digits is None else _with_digits(event, fraction_digits)
    )
    if list_id_name != "list_id":
        row[list_id_name] = row.pop("list_id")
    for name, value in event.overrides.items():
        if isinstance(value, EllipsisType):
            row.pop(name, None)
        else:
            row[name] = value
    return row
