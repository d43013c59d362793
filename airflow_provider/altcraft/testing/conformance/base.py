"""The base of the conformance tests: the target under test, how to read it, and what it must hold after some pulls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa  # noqa: TID253 - the tests of a target move Arrow batches
import pyarrow.compute as pc  # noqa: TID253 - likewise
import pytest

from airflow_provider.altcraft.targets import Scope, Target
from airflow_provider.altcraft.testing.conformance.pulls import PROFILES, Pull, as_table, first_mismatch
from airflow_provider.altcraft.testing.conformance.writing import same
from airflow_provider.altcraft.window import Window

Keeps: TypeAlias = Literal["pull", "days", "scope", "union", "all"]

ALL_PROFILES = tuple(("email", email) for email in PROFILES)


def scope(
    date_from: str, date_to: str, *, lookups: Sequence[tuple[str, str]] | None = ALL_PROFILES, list_id: int = 1
) -> Scope:
    """Return a scope of whole days."""
    return Scope(list_id, lookups, Window.of(date_from, date_to))


MEANINGS: dict[Keeps, str] = {
    "pull": "only the last pull, whatever its scope",
    "days": "of each UTC day of a pull's window, the last pull; the other days stay",
    "scope": "of each scope, the last pull; rows of another list_id, matching or lookup, or outside the window, stay",
    "union": "the events of all pulls, one row for each event_key, with its newest values",
    "all": "the rows of all pulls, one after another",
}
"""The rows that a target's place holds after several pulls, by ``keeps``."""

DAYS = ("2026-01-01", "2026-01-02")
FIRST, LATER = scope(*DAYS), scope("2026-01-02", "2026-01-03")
"""Two windows that share a day."""


class ConformanceBase:
    """A target in its real store, in an empty place for each test.

    Attributes:
        keeps: what the place holds after several pulls; ``MEANINGS`` explains each value.
        at_once: what a reader sees change in one step: the ``pull``, or each ``day``.
        left_out: tests that a class leaves out, each with the reason. pytest counts and reports them as skipped.
    """

    keeps: ClassVar[Keeps] = "pull"
    at_once: ClassVar[Literal["pull", "day"]] = "pull"
    left_out: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, reason in cls.left_out.items():
            if not name.startswith("test_") or not hasattr(cls, name):
                raise TypeError(f"left_out: there is no test {name!r}")
            if not reason:
                raise TypeError(f"left_out: give a reason for {name!r}")
            setattr(cls, name, _skipped(name, reason))

    @pytest.fixture
    def target(self) -> Target:
        """The target, in an empty place of its own. Each subclass overrides this fixture."""
        raise NotImplementedError("give a fixture `target` that returns the target, in an empty place of its own")

    def read(self, target: Any) -> pa.Table | Iterable[Mapping[str, Any]]:
        """Return all rows that a reader sees in the place now, in any order; none before the first commit.

        As an Arrow table, or as mappings with values as ``RecordBatch.to_pylist`` gives them. Called from several
        threads.
        """
        raise NotImplementedError(
            "give a method `read(self, target)` that returns all rows which a reader of the place sees, as an Arrow "
            "table or mappings"
        )

    def leftovers(self, target: Any) -> Sequence[str]:
        """Return names of what attempts have left in the store: staged files, uploads, tables that no reader needs.

        Read after commits and aborts, and after the retry of a killed attempt. Whatever the store itself removes after
        a time need not be named. A target that can leave nothing returns ``()``.
        """
        raise NotImplementedError(
            "give a method `leftovers(self, target)` that returns the names of staged files, uploads or tables which "
            "are left in the store, or () where the target can leave none"
        )

    def expected(self, pulls: Sequence[Pull]) -> pa.Table:
        """Return the rows that the place must hold after these pulls."""
        rows: list[dict[str, Any]] = []
        for pull in pulls:
            new = pull.table.to_pylist()
            if self.keeps == "pull":
                rows = new
            elif self.keeps == "union":
                rows = list({row["event_key"]: row for row in rows + new}.values())
            else:
                rows = [row for row in rows if not self._replaces(pull.scope, row)] + new
        return as_table(rows)

    def _replaces(self, scope: Scope, row: Mapping[str, Any]) -> bool:
        if self.keeps == "days":
            return row["datetime"].date() in scope.window.days()
        asked = scope.lookups is None or (row["matching"], row["lookup"]) in scope.lookups
        return self.keeps == "scope" and row["list_id"] == scope.list_id and row["datetime"] in scope.window and asked

    def state(self, target: Target) -> pa.Table:
        """Return the rows that a reader sees now, in the order of ``expected``."""
        rows = self.read(target)
        if not isinstance(rows, pa.Table):
            rows = list(rows)
        try:
            return as_table(rows)
        except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
            pytest.fail(
                f"`read` gave rows that do not fit schema.SCHEMA: {first_mismatch(rows) or error}. Return an Arrow "
                "table of these columns, or mappings with values as RecordBatch.to_pylist gives them"
            )

    def holds(self, target: Target, *pulls: Pull) -> None:
        """Fail unless the place holds exactly what these pulls leave."""
        same(self.state(target), self.expected(pulls), f"keeps = {self.keeps!r} means: {MEANINGS[self.keeps]}")

    def nothing_left(self, target: Target) -> None:
        """Fail where attempts have left something in the store."""
        left = list(self.leftovers(target))
        if left:
            pytest.fail(
                f"{len(left)} things are left in the store, the first is {left[0]!r}. An abort removes what it has "
                "staged, and an attempt what killed ones before it have left"
            )

    def old_or_new_or_fail(self, state: pa.Table, old: pa.Table, new: pa.Table) -> None:
        """Fail where ``old_or_new`` is false."""
        if not self.old_or_new(state, old, new):
            pytest.fail(
                f"after a write that was cut off, `read` gave {state.num_rows} rows: neither the {old.num_rows} from "
                f"before nor the {new.num_rows} of the whole pull. The commit must replace the old rows in one atomic "
                "step, such as a rename or a transaction"
            )

    def old_or_new(self, state: pa.Table, old: pa.Table, new: pa.Table) -> bool:
        """Return whether a reader saw the old rows or the new ones, and no mixture in what ``at_once`` names."""
        if self.at_once == "pull":
            return any(state.equals(each) for each in (old, new))
        days = {day for table in (state, old, new) for day in _days(table)}
        return all(any(_on(day, state).equals(_on(day, each)) for each in (old, new)) for day in days)


def _skipped(name: str, reason: str) -> Callable[[ConformanceBase], None]:
    def skip(self: ConformanceBase) -> None:
        pytest.skip(f"left out: {reason}")

    skip.__name__ = name
    return skip


def _days(table: pa.Table) -> set[Any]:
    return set(pc.cast(table["datetime"], pa.date32()).to_pylist())


def _on(day: dt.date, table: pa.Table) -> pa.Table:
    mask = pc.equal(pc.cast(table["datetime"], pa.date32()), pa.scalar(day, pa.date32()))
    return table.filter(mask).combine_chunks()
