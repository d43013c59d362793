"""Stamps on objects, so that an earlier pull does not replace an object of a later one of the same scope.

Two such pulls meet where a backfill of a day runs next to the scheduled run of the next day that looks back, or where a
task that was taken for dead runs on next to its retry. An object bears a stamp, where the store can keep one: when its
pull began, by the worker's clock and before its first request, and a digest of its scope.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from airflow_provider.altcraft.targets._order import lookups_digest, say_overtaken
from airflow_provider.altcraft.window import UTC, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.targets._protocols import Scope


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a pull began, and a digest of its scope."""

    began: dt.datetime
    scope: str

    def __str__(self) -> str:
        """Return the stamp as the store keeps it."""
        return f"{self.began.astimezone(UTC).isoformat(timespec='microseconds')} {self.scope}"

    def overtaken_by(self, kept: str | None, uri: str) -> bool:
        """Return, and log, whether the object of the kept stamp is of a later pull of the same scope."""
        began, _, scope = (kept or "").partition(" ")
        if scope != self.scope or dt.datetime.fromisoformat(began) <= self.began:
            return False
        say_overtaken(uri, began)
        return True


class Stamps:
    """Makes the stamps of a pull that begins now."""

    def __init__(self, scope: Scope) -> None:
        self._began = dt.datetime.now(UTC)
        self._list_id = scope.list_id
        self._lookups = lookups_digest(scope)

    def of(self, window: Window) -> Stamp:
        """Return the stamp of an object that covers this window."""
        what = f"{self._list_id} {self._lookups} {window.start} {window.end}"
        return Stamp(self._began, blake2b(what.encode(), digest_size=16).hexdigest())
