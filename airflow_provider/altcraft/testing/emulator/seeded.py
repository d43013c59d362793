"""Virtual profiles and events: each is computed from the seed and its number on request, and none is stored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from airflow_provider.altcraft.testing.emulator.rows import Event, Profile, Row, channel_of

_MASK = 2**64 - 1
_ID_HEAD = "66f66973"
_BLOCK = 5  # events of one campaign for one profile

# The actions of one campaign for one profile, each with its time in millionths of half a block's time.
# The fourth has two clicks that are equal in everything the old style shows.
_Funnel: TypeAlias = tuple[tuple[str, int], ...]
_FUNNELS: tuple[_Funnel, ...] = (
    (("send", 0), ("deliv", 20), ("open", 120_000), ("read", 120_100), ("click", 121_000)),
    (("send", 0), ("deliv", 30), ("open", 200_000), ("open", 500_000), ("click", 500_500)),
    (("send", 0), ("deliv", 25), ("open", 300_000), ("click", 300_200), ("confirm", 300_400)),
    (("send", 0), ("deliv", 20), ("open", 90_000), ("click", 90_500), ("click", 90_500)),
    (("send", 0), ("deliv", 20), ("open", 60_000), ("click", 60_300), ("form_post", 62_000)),
    (("send_sms", 0), ("deliv_sms", 50), ("click_sms", 40_000), ("form_load", 40_010), ("form_post", 41_000)),
    (("send", 0), ("hbounce", 40), ("send_sms", 10_000), ("deliv_sms", 10_060), ("click_sms", 70_000)),
    (("send", 0), ("deliv", 35), ("open", 700_000), ("complain", 700_200), ("unsubscribe_email", 700_300)),
)


class Seeded:
    """The virtual part of one database. Profiles have numbers from 0; times are microseconds since 1970 (UTC)."""

    def __init__(
        self, list_id: int, *, profiles: int, events_per_profile: int, start: int, span: int, seed: int
    ) -> None:
        if not 0 <= profiles < 2**32 or not 0 <= events_per_profile < 2**32:
            raise ValueError("profiles and events_per_profile must be from 0 to 4294967295")
        self.list_id = list_id
        self.profiles = profiles
        self.per_profile = events_per_profile
        self.start = start - start % 1000
        self._seed = seed
        self._blocks = -(-events_per_profile // _BLOCK)
        # Whole milliseconds, so that a time rounded to milliseconds stays within its block.
        self._step = span // max(1, self._blocks) // 1000 * 1000
        if self._step < 2000:
            raise ValueError("too many events_per_profile for so few days")
        self.end = self.start + self._step * self._blocks

    def find(self, key: tuple[str, ...]) -> Profile | None:
        """Return the profile that a lookup finds."""
        kind, *values = key
        match kind:
            case "email" | "email_sub":
                found = re.fullmatch(r"user(0|[1-9]\d*)@example\.com", values[0])
                number = int(found[1]) if found else -1
            case "phone" | "phone_sub":
                found = re.fullmatch(r"\+79(\d{9,10})", values[0])
                number = int(found[1]) if found else -1
            case "xxh":
                number = int(values[0], 16)
            case "profile_id":
                number = int(values[0][8:], 16)
            case "custom" if values[0] == "CRM_ID" and values[1].isascii() and values[1].isdigit():
                number = int(values[1])
            case _:
                return None
        if not 0 <= number < self.profiles:
            return None
        profile = self.profile(number)
        return profile if key in profile.lookups() else None  # 007 is not 7, and a profile_id may only end alike

    def following(self, profile_id: str) -> int:
        """Return the number of the first profile after this ``profile_id``."""
        head, number = profile_id[:8], profile_id[8:]
        if head == _ID_HEAD:
            return min(self.profiles, int(number, 16) + 1)
        return 0 if head < _ID_HEAD else self.profiles

    def profile(self, number: int) -> Profile:
        """Return the profile with this number."""
        email, phone = f"user{number}@example.com", f"+79{number:09d}"
        return Profile(
            list_id=self.list_id,
            xxh=f"{number:016x}",
            profile_id=f"{_ID_HEAD}{number:016x}",
            email=email,
            phone=phone,
            custom={"CRM_ID": str(number)},
            subscriptions=default_subscriptions(email, phone),
        )

    def events(self, profile: Profile, low: int, high: int) -> Iterator[Event]:
        """Yield the events of a virtual profile from ``low`` to before ``high``, by time."""
        number = int(profile.xxh, 16)
        first = max(0, (low - self.start) // self._step)
        last = min(self._blocks - 1, (high - 1 - self.start) // self._step)
        shared = {
            "xxh": profile.xxh,
            "profile_id": profile.profile_id,
            "email": profile.email,
            "list_id": profile.list_id,
            "count": 1,
        }
        by_channel = {str(each["channel"]): each for each in profile.subscriptions}
        for block in range(first, last + 1):
            yield from self._block(number, block, low, high, shared, by_channel)

    def _block(
        self,
        number: int,
        block: int,
        low: int,
        high: int,
        shared: Row,
        by_channel: Mapping[str, Mapping[str, object]],
    ) -> Iterator[Event]:
        bits = _mix(number * 0x9E3779B97F4A7C15 + block * 0xD1B54A32D192ED03 + self._seed * 0x8CB92BA72F3D8DD7)
        half = self._step // 2
        begin = self.start + block * self._step + (bits >> 8) % half
        message = 1 + (bits >> 40) % 50
        campaign = 100 + message // 5
        for place, (action, part) in enumerate(_FUNNELS[bits % len(_FUNNELS)]):
            serial = block * _BLOCK + place
            at = begin + half * part // 1_000_000
            at -= at % 1000
            if serial >= self.per_profile or not low <= at < high:
                continue
            channel = channel_of(action)
            row = shared | {
                "action": action,
                "message_id": message,
                "campaign_id": campaign,
                "event_id": f"{at // 1_000_000:08x}{number:08x}{serial:08x}",
                "smid": f"sm{bits:016x}{block:010x}",
                "campaign_name": f"Campaign {campaign}",
                "message_name": f"Message {message}",
                "subscriptions": list(by_channel.values()),
            }
            if channel:
                row |= {"channel": channel, "subscription": by_channel[channel]}
            # In the old style only some rows have a campaign.
            yield Event(at, serial, row, {} if serial % 2 else {"campaign_id": campaign})


def default_subscriptions(email: str | None, phone: str | None) -> tuple[Mapping[str, object], ...]:
    """Return the subscriptions of a profile for which none are given: to its e-mail and its phone."""
    return tuple(
        {
            "resource_id": 1,
            "resource_name": "Main",
            "channel": channel,
            name: value,
            "priority": 0,
            "status": "subscribed",
            "custom_fields": {},
            "cats": [],
        }
        for channel, name, value in (("email", "email", email), ("sms", "phone", phone))
        if value
    )


def _mix(value: int) -> int:
    """Spread a number over 64 bits (the end of splitmix64)."""
    value &= _MASK
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK
    return value ^ (value >> 31)
