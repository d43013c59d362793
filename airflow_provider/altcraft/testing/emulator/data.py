"""One database of the emulator: profiles, the index of their lookups, and events, both added and seeded."""

from __future__ import annotations

import heapq
import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from operator import attrgetter
from typing import Any

from airflow_provider.altcraft.testing.emulator.rows import Event, Profile
from airflow_provider.altcraft.testing.emulator.seeded import Seeded, default_subscriptions

FIRST, LAST = -(2**62), 2**62
"""Times before and after all others, in microseconds since 1970."""

_TIME = attrgetter("at", "serial")
_PROFILE_ID = attrgetter("profile_id")


class Database:
    """Profiles and events of one database. Every method may be called from any thread."""

    def __init__(self, list_id: int, name: str, description: str, fields: Collection[str] | None) -> None:
        self.list_id = list_id
        self.name = name
        self.description = description
        self.fields = None if fields is None else {"email", "phone", *fields}
        self._lock = threading.RLock()
        self._profiles: dict[str, Profile] = {}
        self._index: dict[tuple[str, ...], Profile] = {}
        self._events: dict[str, list[Event]] = {}
        self._seeded: Seeded | None = None
        self._serial = 0
        self._added = 0
        self._deleted: set[str] = set()

    def add_profile(
        self,
        *,
        email: str | None,
        phone: str | None,
        xxh: str | None,
        profile_id: str | None,
        custom: Mapping[str, Any],
        subscriptions: Sequence[Mapping[str, Any]] | None,
    ) -> Profile:
        """Add a profile; identifiers not given are made from its place in the order of adding."""
        with self._lock:
            made = sha256(f"{self.list_id}/{self._added}".encode()).hexdigest()
            self._added += 1
            profile = Profile(
                list_id=self.list_id,
                xxh=xxh or made[:16],
                profile_id=profile_id or made[16:40],
                email=email,
                phone=phone,
                custom=dict(custom),
                subscriptions=(
                    default_subscriptions(email, phone) if subscriptions is None else tuple(map(dict, subscriptions))
                ),
            )
            for name, value in (("xxh", profile.xxh), ("profile_id", profile.profile_id)):
                if self.find((name, value)):
                    raise ValueError(f"database {self.list_id} already has a profile with {name} {value}")
            self._profiles[profile.xxh] = profile
            self._deleted.discard(profile.xxh)
            for key in profile.lookups():
                self._index.setdefault(key, profile)
            return profile

    def seed(self, **how: int) -> None:
        """Add virtual profiles and events to the database."""
        with self._lock:
            if self._seeded:
                raise ValueError(f"database {self.list_id} is seeded already")
            self._seeded = Seeded(self.list_id, **how)

    def delete_profile(self, profile: Profile) -> None:
        """Delete a profile with its events; a lookup that fits another profile too finds that one from now on."""
        with self._lock:
            self._profiles.pop(profile.xxh, None)
            self._events.pop(profile.xxh, None)
            self._deleted.add(profile.xxh)
            self._index = {}
            for each in self._profiles.values():
                for key in each.lookups():
                    self._index.setdefault(key, each)

    def merge_profiles(self, kept: Profile, other: Profile) -> None:
        """Move the events and lookups of a profile to another, and delete the first."""
        with self._lock:
            moved = self.events(other, with_late=True)
            self.delete_profile(other)
            owner = {"xxh": kept.xxh, "profile_id": kept.profile_id, "email": kept.email or ""}
            self._events.setdefault(kept.xxh, []).extend(event._replace(fields=event.fields | owner) for event in moved)
            for key in other.lookups() - {("xxh", other.xxh), ("profile_id", other.profile_id)}:
                self._index.setdefault(key, kept)

    def has_deleted(self, xxh: str) -> bool:
        """Return whether a profile with this ``xxh`` was deleted."""
        return xxh in self._deleted

    def add_event(self, profile: Profile, event: Event) -> None:
        """Add an event to a profile of this database."""
        with self._lock:
            self._events.setdefault(profile.xxh, []).append(event)

    def next_serial(self) -> int:
        """Return a number for the next event, by which events of the same time are sorted."""
        with self._lock:
            self._serial += 1
            return self._serial + 2**32  # after seeded ones

    def find(self, key: tuple[str, ...]) -> Profile | None:
        """Return the profile that a lookup finds, the first added of several."""
        with self._lock:
            if key in self._index:
                return self._index[key]
            found = self._seeded.find(key) if self._seeded else None
            return None if found and found.xxh in self._deleted else found

    def events(self, profile: Profile, low: int = FIRST, high: int = LAST, *, with_late: bool = False) -> list[Event]:
        """Return a profile's events from ``low`` to before ``high`` (microseconds since 1970), oldest first."""
        now = LAST if with_late else time.monotonic()
        with self._lock:
            added = [
                event for event in self._events.get(profile.xxh, ()) if low <= event.at < high and event.visible <= now
            ]
            seeded = self._seeded
        virtual = list(seeded.events(profile, low, high)) if seeded and profile.xxh not in self._profiles else []
        return sorted(virtual + added, key=_TIME) if added else virtual

    def walk(self, xxh: str = "", low: int = FIRST, high: int = LAST) -> Iterator[Profile]:
        """Yield the profiles from this ``xxh`` on that may have events within these times, by ``xxh``."""
        with self._lock:
            added = sorted(self._events)
            seeded = self._seeded
        keys = iter(added[bisect_left(added, xxh) :])
        if seeded and seeded.start < high and low < seeded.end:
            begin = int(xxh, 16) if xxh else 0
            virtual = (f"{number:016x}" for number in range(begin, seeded.profiles))
            keys = heapq.merge(virtual, keys)
        last = ""
        for each in keys:
            profile = self.find(("xxh", each)) if each != last else None
            if profile:
                yield profile
            last = each

    def profiles(self, after: str = "") -> Iterator[Profile]:
        """Return the profiles after this ``profile_id``, sorted by it."""
        with self._lock:
            added = sorted(self._profiles.values(), key=_PROFILE_ID)
            seeded = self._seeded
            deleted = frozenset(self._deleted)
        virtual = map(seeded.profile, range(seeded.following(after), seeded.profiles)) if seeded else iter(())
        merged = heapq.merge((each for each in virtual if each.xxh not in deleted), added, key=_PROFILE_ID)
        return (profile for profile in merged if profile.profile_id > after)
