"""What the benchmark's platform answers: bodies built once, into which only a profile's number is set.

Every profile has the same number of events in January 2026. Times, actions and messages come from one of a few
patterns; identifiers hold eight digits of the profile. So each answer is right for the profile asked, and costs one
``bytes.join``.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

PATTERNS = 16
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAYS = 30
FIRST_DAY, LAST_DAY = "2026-01-01", "2026-01-30"
SLOT = "########"  # the profile's digits come here
_SPREAD = 2_654_435_761
_BACK = pow(_SPREAD, -1, 2**32)

Shape = Literal["full", "oldest"]

_ACTIONS: list[tuple[str, str | None]] = [
    ("send", "email"),
    ("deliv", "email"),
    ("open", "email"),
    ("read", "email"),
    ("click", "email"),
]
_ACTIONS += [("send_sms", "sms"), ("deliv_sms", "sms"), ("click_sms", "sms"), ("form_post", None)]


def digits_of(number: int) -> str:
    """A profile's digits: those of all profiles are spread over their space, as the hashes of a real database are."""
    return f"{number * _SPREAD % 2**32:08x}"


def number_of(digits: bytes) -> int:
    """The profile with these digits."""
    return int(digits, 16) * _BACK % 2**32


def email_of(number: int) -> str:
    """The e-mail by which a profile is asked."""
    return f"user{digits_of(number)}@example.com"


@dataclass(frozen=True, slots=True)
class Row:
    """One event of a pattern: its time, and its JSON cut where the profile's number stands."""

    at: dt.datetime
    parts: tuple[bytes, ...]


class Answers:
    """Bodies of ``subscribers/history_get`` and ``subscribers/history_get_all``.

    Args:
        profiles: how many there are, from number 0.
        events: events of each.
        shape: ``full``: rows as the newest known texts show them; ``oldest``: as the oldest does.
    """

    def __init__(self, profiles: int, events: int, shape: Shape = "full") -> None:
        self.profiles, self.events = profiles, events
        self._patterns = [_pattern(number, events, shape) for number in range(PATTERNS)]
        self._whole = [
            _http(b'{"data":[', _joined(pattern[::-1]), b'],"error":0,"error_text":""}') for pattern in self._patterns
        ]
        self._pages: dict[tuple[str, str, str, int], bytes] = {}
        self._in_order = sorted(range(profiles), key=_xxh)

    def history(self, number: int) -> bytes:
        """The HTTP answer with one profile's history, newest event first."""
        return digits_of(number).encode().join(self._whole[number % PATTERNS])

    def page(self, first: str, last: str, from_id: str, limit: int) -> bytes:
        """The HTTP answer with a page of the database's history of some days; built once, then kept."""
        key = (first, last, from_id, limit)
        if key not in self._pages:
            self._pages[key] = self._build(*key)
        return self._pages[key]

    def _build(self, first: str, last: str, from_id: str, limit: int) -> bytes:
        rows, cursor = [], from_id
        for number, row in self._walk(first, last, from_id):
            rows.append(digits_of(number).encode().join(row.parts))
            cursor = f"{_xxh(number)}.{_stamp(row.at)}"
            if len(rows) == limit:
                break
        end = b'],"error":0,"error_text":"","next_from_id":"%s"}' % cursor.encode()
        return b"".join(_http(b'{"data":[', (b",".join(rows),), end))

    def _walk(self, first: str, last: str, from_id: str) -> Iterator[tuple[int, Row]]:
        """The rows after a cursor, by ``xxh`` and time."""
        xxh, _, after = from_id.partition(".")
        for number in self._in_order[bisect_left(self._in_order, xxh, key=_xxh) :]:
            begun = _xxh(number) == xxh
            for row in self._patterns[number % PATTERNS]:
                if first <= row.at.strftime("%Y-%m-%d") <= last and not (begun and _stamp(row.at) <= after):
                    yield number, row


def _xxh(number: int) -> str:
    return digits_of(number) * 2


def _pattern(number: int, events: int, shape: Shape) -> list[Row]:
    """The events of a profile by time, one for each of equal parts of the month."""
    chance = random.Random(number)
    step = dt.timedelta(days=DAYS) / events
    rows = []
    for serial in range(events):
        at = START + serial * step + chance.random() * step
        at -= dt.timedelta(microseconds=at.microsecond % 1000)
        content = json.dumps(_content(serial, at, chance, shape), separators=(",", ":"))
        rows.append(Row(at, tuple(content.encode().split(SLOT.encode()))))
    return rows


def _content(serial: int, at: dt.datetime, chance: random.Random, shape: Shape) -> dict[str, Any]:
    action, channel = chance.choice(_ACTIONS)
    message = chance.randint(1, 50)
    row: dict[str, Any] = {
        "xxh": f"{SLOT}{SLOT}",
        "email": f"user{SLOT}@example.com",
        "list_id": 1,
        "action": action,
        "count": 1,
        "datetime": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "message_id": message,
        "campaign_id": 100 + message // 5,
        # The oldest texts do not show it; here it stays, for the rows that were written are checked by it.
        "event_id": f"6955b900{SLOT}{serial:08x}",
    }
    if shape == "oldest":
        return row
    email = {
        "resource_id": 1,
        "resource_name": "Main",
        "channel": "email",
        "email": f"user{SLOT}@example.com",
        "priority": 0,
        "status": "subscribed",
        "custom_fields": {"_device_type": "other"},
        "cats": [],
    }
    row |= {
        "profile_id": f"66f66973{SLOT}{SLOT}",
        "smid": f"uBAh{chance.getrandbits(64):016x}{SLOT}",
        "campaign_name": f"Campaign {100 + message // 5}",
        "message_name": f"Message {message}",
        "subscriptions": [email],
    }
    return row | ({"channel": channel, "subscription": email} if channel else {})


def _joined(rows: list[Row]) -> tuple[bytes, ...]:
    """The parts of several rows as those of one array."""
    parts: list[bytes] = [b""]
    for place, row in enumerate(rows):
        head, *rest = row.parts
        parts[-1] += (b"," if place else b"") + head
        parts += rest
    return tuple(parts)


def _http(begin: bytes, parts: tuple[bytes, ...], end: bytes) -> tuple[bytes, ...]:
    """The same parts with an HTTP head before the first of them."""
    length = sum(map(len, parts)) + (len(parts) - 1) * len(SLOT) + len(begin) + len(end)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
    whole = [*parts]
    whole[0] = head + begin + whole[0]
    whole[-1] += end
    return tuple(whole)


def _stamp(at: dt.datetime) -> str:
    return re.sub(r"\D", "", at.isoformat(timespec="milliseconds"))[:17]
