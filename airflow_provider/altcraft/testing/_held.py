"""What a target that is tested must hold, and how it is read: beneath each class of tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa  # noqa: TID253 - whoever tests a target moves Arrow batches
import pyarrow.compute as pc  # noqa: TID253 - likewise
import pytest

from airflow_provider.altcraft.targets import Scope, Target
from airflow_provider.altcraft.testing._pulls import PROFILES, Pull, as_table
from airflow_provider.altcraft.testing._writing import same
from airflow_provider.altcraft.window import Window

Keeps: TypeAlias = Literal["pull", "days", "scope", "union", "all"]

ALL_PROFILES = tuple(("email", email) for email in PROFILES)


def scope(date_from: str, date_to: str, *, lookups: Sequence[tuple[str, str]] | None = ALL_PROFILES) -> Scope:
    """A scope of database 1."""
    return Scope(1, lookups, Window.of(date_from, date_to))


DAYS = ("2026-01-01", "2026-01-02")
FIRST, LATER = scope(*DAYS), scope("2026-01-02", "2026-01-03")
"""Two windows that share a day."""


class Held:
    """One target in its real store. Each test wants a ``target`` whose place is empty.

    Attributes:
        keeps: what its place holds after several pulls: only the last ``pull``; of each of its ``days`` the last pull;
            of each ``scope`` the last pull; the ``union`` of all, each event once, with its newest values; ``all`` of
            them, one after another.
        at_once: what a reader sees change at once: the ``pull``, or each ``day``.
    """

    keeps: ClassVar[Keeps] = "pull"
    at_once: ClassVar[Literal["pull", "day"]] = "pull"

    @pytest.fixture
    def target(self) -> Target:
        """The target, in a place of its own where nothing is yet. Each subclass has its own fixture."""
        raise NotImplementedError("give a fixture `target`")

    def read(self, target: Any) -> pa.Table | Iterable[Mapping[str, Any]]:
        """All rows that a reader sees in the place now, in any order; none where nothing was written yet."""
        raise NotImplementedError("give a method `read`")

    def leftovers(self, target: Any) -> Sequence[str]:
        """Names of what attempts have left in the store that no reader sees; none, where that cannot be told."""
        return ()

    # What is expected

    def expected(self, pulls: Sequence[Pull]) -> pa.Table:
        """What the place holds after these pulls."""
        held: list[dict[str, Any]] = []
        for pull in pulls:
            rows = pull.table.to_pylist()
            if self.keeps == "pull":
                held = rows
            elif self.keeps == "union":
                held = list({row["event_key"]: row for row in held + rows}.values())
            else:
                held = [row for row in held if not self._replaces(pull.scope, row)] + rows
        return as_table(held)

    def _replaces(self, scope: Scope, row: Mapping[str, Any]) -> bool:
        if self.keeps == "days":
            return row["datetime"].date() in scope.window.days()
        asked = scope.lookups is None or (row["matching"], row["lookup"]) in scope.lookups
        return self.keeps == "scope" and row["list_id"] == scope.list_id and row["datetime"] in scope.window and asked

    def state(self, target: Target) -> pa.Table:
        """What a reader sees now."""
        return as_table(self.read(target))

    def holds(self, target: Target, *pulls: Pull) -> None:
        """Fail unless the place holds exactly what these pulls leave."""
        same(self.state(target), self.expected(pulls))

    def old_or_new(self, state: pa.Table, old: pa.Table, new: pa.Table) -> bool:
        """Whether a reader saw one or the other, and no half of either."""
        if self.at_once == "pull":
            return any(state.equals(each) for each in (old, new))
        days = {day for table in (state, old, new) for day in _days(table)}
        return all(any(_of(state, day).equals(_of(each, day)) for each in (old, new)) for day in days)


def _days(table: pa.Table) -> set[Any]:
    return set(pc.cast(table["datetime"], pa.date32()).to_pylist())


def _of(table: pa.Table, day: dt.date) -> pa.Table:
    mask = pc.equal(pc.cast(table["datetime"], pa.date32()), pa.scalar(day, pa.date32()))
    return table.filter(mask).combine_chunks()
