"""Which of two pulls of the same scope is the later: what one that began later has written, an earlier one leaves.

Two such pulls meet where a backfill of a day runs next to the scheduled run of the next day that looks back, or where a
task that was taken for dead lives on next to its retry. What is written bears a stamp, where the store has room for
one: when its pull began, by the worker's clock, before its first request, and a digest of what it covers.
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
    """When a pull began and what it covers."""

    began: dt.datetime
    scope: str

    def __str__(self) -> str:
        """Return it as it is kept."""
        return f"{self.began.astimezone(UTC).isoformat(timespec='microseconds')} {self.scope}"

    def overtaken_by(self, kept: str | None, uri: str) -> bool:
        """Whether a pull of the same that began later has written what is there; says so."""
        began, _, scope = (kept or "").partition(" ")
        if scope != self.scope or dt.datetime.fromisoformat(began) <= self.began:
            return False
        say_overtaken(uri, began)
        return True


class Stamps:
    """The stamps of one pull, which begins now."""

    def __init__(self, scope: Scope) -> None:
        self._began = dt.datetime.now(UTC)
        self._list_id = scope.list_id
        self._lookups = lookups_digest(scope)

    def of(self, window: Window) -> Stamp:
        """The stamp of what covers this window."""
        what = f"{self._list_id} {self._lookups} {window.start} {window.end}"
        return Stamp(self._began, blake2b(what.encode(), digest_size=16).hexdigest())
