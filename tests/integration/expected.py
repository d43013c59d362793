"""What a target must hold after the pulls of a story, without any code of the extract or the targets.

It follows the documented words on windows, identities and dispositions.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.integration.stories import ALIKE, COMPARED, DAY, Pull, Rows, as_json


@dataclass
class Last:
    """The last pull, whatever it was of."""

    held: Rows = field(default_factory=list)

    def refuses(self, pull: Pull, list_id: int) -> bool:
        """Whether the target does not take a pull of its kind."""
        return False

    def took(self, pull: Pull, list_id: int, rows: Rows) -> None:
        self.held = rows


@dataclass
class ByDay(Last):
    """Of each day, the last pull."""

    days: dict[dt.date, Rows] = field(default_factory=dict)

    def took(self, pull: Pull, list_id: int, rows: Rows) -> None:
        at = pull.start
        while at < pull.end:
            self.days[at.date()] = [row for row in rows if row["datetime"].date() == at.date()]
            at += DAY
        self.held = [row for day in self.days.values() for row in day]


@dataclass
class Union(Last):
    """All pulls, each event once, as it was asked last."""

    events: dict[tuple[Any, ...], Rows] = field(default_factory=dict)

    def took(self, pull: Pull, list_id: int, rows: Rows) -> None:
        # Events alike are of one profile and moment, so a pull has all of them or none.
        for lookup in dict.fromkeys((row["matching"], row["lookup"]) for row in rows):
            for identity, alike in by_identity(
                row for row in rows if (row["matching"], row["lookup"]) == lookup
            ).items():
                self.events[identity] = alike
        self.held = [row for alike in self.events.values() for row in alike]


@dataclass
class Scopes(Last):
    """Of each scope, the last pull; a row of another list is there once for each lookup.

    Of one list and window there are rows of profiles or of the whole database, not both.
    """

    def refuses(self, pull: Pull, list_id: int) -> bool:
        return any(
            row["list_id"] == list_id and pull.covers(row["datetime"]) and (row["lookup"] is None) == bool(pull.lookups)
            for row in self.held
        )

    def took(self, pull: Pull, list_id: int, rows: Rows) -> None:
        again = {by_lookup(row) for row in rows if row["list_id"] != list_id}
        self.held = [row for row in self.held if not self._goes(row, pull, list_id, again)] + rows

    def _goes(self, row: dict[str, Any], pull: Pull, list_id: int, again: set[tuple[Any, ...]]) -> bool:
        of_scope = row["list_id"] == list_id and pull.covers(row["datetime"])
        asked = pull.lookups is None or (row["matching"], row["lookup"]) in pull.asked
        return (of_scope and asked) or by_lookup(row) in again


@dataclass
class All(Last):
    """All pulls, one after the other."""

    def took(self, pull: Pull, list_id: int, rows: Rows) -> None:
        self.held = self.held + rows


def identity_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What events alike have in common."""
    return tuple(row[name] for name in ALIKE)


def by_lookup(row: dict[str, Any]) -> tuple[Any, ...]:
    """The same, of those that one lookup gave."""
    return (*identity_of(row), row["matching"], row["lookup"])


def by_identity(rows: Iterable[dict[str, Any]]) -> dict[tuple[Any, ...], Rows]:
    found: dict[tuple[Any, ...], Rows] = defaultdict(list)
    for row in rows:
        found[identity_of(row)].append(row)
    return found


def counted(rows: Iterable[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Rows as a multiset, without their keys."""
    return Counter(
        tuple(as_json(json.loads(row[name])) if name == "extra" and row[name] else row[name] for name in COMPARED)
        for row in rows
    )
