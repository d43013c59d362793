"""One walk over a range of a database's history: takes pages, and gives the new rows of the range. Does no I/O."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile
from typing import Any, TypeAlias

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
import pyarrow.compute as pc  # noqa: TID253 - likewise

from airflow_provider.altcraft._arrow import instant_of
from airflow_provider.altcraft.client._core import DATABASE_HISTORY
from airflow_provider.altcraft.client._days import Found
from airflow_provider.altcraft.client._paging import Walk, overlap
from airflow_provider.altcraft.extract.database.ranges import Range
from airflow_provider.altcraft.extract.decoding.rows import RawRow
from airflow_provider.altcraft.schema import Counts

REMEMBERED = 4_000
"""Rows, at least, that are remembered to give an equal row on a later page another key. The platform seems to order
rows by ``xxh`` and time, so equal rows are neighbours."""

_TAIL = 100
"""Rows at the end of a page that a state holds, at most."""

_SURE = 3
"""Borders with repeated rows after which the cursor counts as inclusive, where a decision is needed."""

_ALIKE = (
    "event_id",
    "list_id",
    "db_id",
    "xxh",
    "profile_id",
    "action",
    "datetime",
    "message_id",
    "campaign_id",
    "smid",
)

Row: TypeAlias = Mapping[str, Any] | RawRow
_Place: TypeAlias = tuple[Any, Any]
"""The place of a row in the order: its profile and its instant, as they were sent."""


class OrderError(Exception):
    """The platform does not order rows by ``xxh``, or does not take composed cursors: only a plain walk is possible."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """The rows of a page as they were sent, the cursor of the next (``None`` without), and its HTTP status."""

    rows: Sequence[Row]
    cursor: int | str | None
    http_status: int = 200


class WalkKeys(Counts):
    """The number of events of each identity in a walk, so that equal rows on neighbouring pages get different keys."""

    def __init__(self) -> None:
        super().__init__()
        self._older: dict[bytes, int] = {}
        self._before: Mapping[str, int] = {}

    def get(self, identity: bytes, default: Any = None) -> Any:
        """Return the count of an identity, else the default."""
        found = super().get(identity) or self._older.get(identity)
        return found or (self._before and self._before.get(digest(identity))) or default

    def none_of(self, identities: Collection[bytes]) -> bool:
        """Return whether none of these identities is remembered."""
        return not self._before and super().none_of(identities) and self._older.keys().isdisjoint(identities)

    def turn(self, *, settled: bool) -> None:
        """End a page: forget old identities and, where no row is held back, those from before a resumption."""
        if settled:
            self._before = {}
        if len(self) >= REMEMBERED:
            self._older = dict(self)
            self.clear()

    def resume(self, digests: Sequence[str]) -> None:
        """Remember the identities of a state."""
        self._before = Counter(digests)


class RangeWalk:
    """The state of one walk.

    Args:
        kept: its range.
        page_size: rows that are asked for a page.
        identities: returns the identities of rows.
        ordered: rely on rows ordered by ``xxh``: begin with a composed cursor, end with the first row beyond the range,
            and check the order of each page.
    """

    def __init__(
        self, kept: Range, page_size: int, identities: Callable[[Sequence[Row]], list[bytes]], *, ordered: bool = False
    ) -> None:
        self.range = kept
        self.keys = WalkKeys()
        self.rows = 0
        self.found: Found | None = None
        """The first and last instant of the events that the range keeps."""
        self._identities = identities
        self._ordered = ordered
        self._walk = Walk(DATABASE_HISTORY, kept.first_cursor if ordered else "", page_size)
        self._last: Sequence[Row] = ()
        self._held: list[Row] = []
        self._tail: list[str] = []  # of a page that an earlier attempt took
        self._spans = False  # the last page is all of one profile and second, as what came before it

    @property
    def cursor(self) -> str:
        """The cursor of the next page."""
        return str(self._walk.cursor)

    @property
    def begins(self) -> bool:
        """Whether no page was taken yet."""
        return not self._walk.pages

    @property
    def done(self) -> bool:
        """Whether the walk has ended."""
        return self._walk.done

    @property
    def pages(self) -> int:
        """Pages taken."""
        return self._walk.pages

    def following(self, page: HistoryPage) -> str | None:
        """Return the cursor after a page that is not taken yet; ``None`` where the page may be the last."""
        if not self._walk.goes_on(len(page.rows), page.cursor):
            return None
        beyond = self._ordered and _xxh(page.rows[-1]) >= self.range.bounds[1]
        return None if beyond else str(page.cursor)

    def take(self, page: HistoryPage, decode: Callable[[list[Row], WalkKeys], pa.RecordBatch]) -> pa.RecordBatch:
        """Take a page, and return the batch that ``decode`` makes of its new rows of the range.

        Where ``decode`` raises, the page counts as not taken.

        Raises:
            OrderError: the rows of an ordered walk are not in order.
        """
        rows = page.rows
        beyond = self._ordered and self._check_order(rows)
        again = set() if self._walk.exclusive else self._again(rows)
        new = [row for index, row in enumerate(rows) if index not in again] if again else list(rows)
        if self._held and self.pages and not again:
            new = self._held + new
        batch = decode(self._of_range(new), self.keys)
        if self._walk.step(len(rows), len(again), page.cursor):
            self._held = []
        self._held += [rows[index] for index in sorted(again)]
        if rows:
            self._spans = bool(self._last) and _second(self._last[-1]) == _second(rows[0]) == _second(rows[-1])
            # All of a page takes a megabyte or two; once the cursor is exclusive, only a state needs its end.
            self._last, self._tail = rows[-_TAIL - 1 :] if self._walk.exclusive else rows, []
        # Beyond the range it goes on only until it is known whether the rows held back came twice.
        if beyond and not self._walk.done and (not self._held or self.pages > _SURE):
            self._walk.done, self._walk.ended = True, "the end of its range"
        self.keys.turn(settled=not self._held)
        self.rows += batch.num_rows
        if batch.num_rows:
            ends = pc.min_max(batch["datetime"])
            self.found = Found.of([instant_of(ends["min"]), instant_of(ends["max"])], self.found)
        return batch

    def report(self) -> dict[str, Any]:
        """Return the walk for the result: its range, pages, rows and end."""
        part = {} if self.range.whole else dict(zip(("xxh_from", "xxh_before"), self.range.bounds, strict=True))
        ended = {"ended": self._walk.ended} | ({"rows_may_be_missing": True} if self._walk.suspect else {})
        return self.range.window.to_json() | part | {"pages": self.pages, "rows": self.rows} | ended

    @property
    def state(self) -> dict[str, Any] | None:
        """The state of the walk as small plain JSON without personal data; ``None`` where there can be none."""
        walk = self._walk
        last = _second(self._last[-1]) if self._last else None
        same = sum(1 for _ in takewhile(lambda row: _second(row) == last, reversed(self._last)))
        # A resumed walk has lost the rows held back, so the cursor must count as inclusive by now.
        unsure = self._held and self.pages <= _SURE
        if not walk.done and (unsure or self._spans or same > _TAIL):
            return None
        tail = map(digest, self._identities(self._last[len(self._last) - same :])) if self._last else self._tail
        return {
            "cursor": walk.cursor,
            "pages": walk.pages,
            "rows": self.rows,
            "done": walk.done,
            "ended": walk.ended,
            "suspect": walk.suspect,
            "exclusive": walk.exclusive,
            "found": self.found and [self.found.first.isoformat(), self.found.last.isoformat()],
            "tail": [] if walk.done else list(tail),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of a walk over the same range."""
        walk = self._walk
        walk.cursor, walk.pages, walk.exclusive = state["cursor"], state["pages"], state["exclusive"]
        walk.done, walk.ended, walk.suspect = state["done"], state["ended"], state["suspect"]
        self.rows = state["rows"]
        self.found = Found.of(map(dt.datetime.fromisoformat, state["found"] or ()))
        self._tail = state["tail"]
        self.keys.resume(self._tail)

    def _again(self, rows: Sequence[Row]) -> set[int]:
        """Return the numbers of the rows that may also be at the end of the last page.

        They are the first rows of the page, in any order; new events of the last page's last profile may stand between
        them.
        """
        if not self._last:
            known = list(map(digest, self._identities(rows[:_TAIL]))) if self._tail else []
            return _matched(range(len(known)), known, Counter(self._tail))
        places, last = list(map(_place, rows)), list(map(_place, self._last))
        before = set(last)
        first = sum(1 for _ in takewhile(before.__contains__, places))
        profile = last[-1][0]
        region = range(sum(1 for _ in takewhile(lambda place: place[0] == profile, places)))
        inner = [index for index in region if places[index] in before]
        if not first and not inner:
            return set()
        new = [_alike(row) for row in rows[: max(first, len(region))]]
        prefix = range(overlap([_alike(row) for row in self._last[-first:]] if first else [], new[:first]))
        common = {places[index] for index in inner}
        found = zip(self._last, last, strict=True)
        return _matched(inner, new, Counter(_alike(row) for row, place in found if place in common)) | set(prefix)

    def _check_order(self, rows: Sequence[Row]) -> bool:
        """Return whether the rows go beyond the range.

        Raises:
            OrderError: they begin before the range or before the last page's end, or are not in order.
        """
        low, high = self.range.bounds
        before = max(low, _xxh(self._last[-1])) if self._last else low
        found = list(map(_xxh, rows))
        if found and (found[0] < before or found != sorted(found)):
            raise OrderError("rows do not come in the order of their xxh" if all(found) else "a row has no xxh")
        return bool(found) and found[-1] >= high

    def _of_range(self, rows: list[Row]) -> list[Row]:
        """Return the rows of the range's part of the space of ``xxh``; ``decode`` cuts the window."""
        if self.range.whole:
            return rows
        low, high = self.range.bounds
        if self._ordered and rows and low <= _xxh(rows[0]) and _xxh(rows[-1]) < high:
            return rows
        return [row for row in rows if low <= (_xxh(row) or "0" * 16) < high]


def digest(identity: bytes) -> str:
    """Return a short digest of an identity."""
    return blake2b(identity, digest_size=8).hexdigest()


def _xxh(row: Row) -> str:
    sent = row.xxh if isinstance(row, RawRow) else row.get("xxh")
    return sent.lower() if isinstance(sent, str) else ""


def _place(row: Row) -> _Place:
    if isinstance(row, RawRow):  # most rows are, and attributes are faster than names
        return row.xxh or row.profile_id, row.datetime
    return row.get("xxh") or row.get("profile_id"), row.get("datetime")


def _second(row: Row) -> _Place:
    whose, at = _place(row)
    return whose, str(at)[:19]


def _alike(row: Row) -> tuple[Any, ...]:
    return tuple(map(row.get, _ALIKE))


def _matched(indexes: Sequence[int], found: Sequence[Any], pool: Counter[Any]) -> set[int]:
    again = set()
    for index in indexes:
        if pool[found[index]] > 0:
            pool[found[index]] -= 1
            again.add(index)
    return again
