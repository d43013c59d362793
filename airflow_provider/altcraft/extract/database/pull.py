"""A whole database's history: ranges of it walked side by side, a page of each in turn."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
import pyarrow.compute as pc  # noqa: TID253 - likewise
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client import BadRequestError, RetriableError
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._constants import PAGE_LIMIT
from airflow_provider.altcraft.client._core import Call
from airflow_provider.altcraft.client._days import Asked, AskedDays, Found, say_asked_wider, warn_of_zone
from airflow_provider.altcraft.client._paging import cursor_error
from airflow_provider.altcraft.extract._lateness import EventCounts
from airflow_provider.altcraft.extract._progress import Progress, WalkProgress
from airflow_provider.altcraft.extract._protocol import Piece, PullSizes
from airflow_provider.altcraft.extract.database.page import PageReader
from airflow_provider.altcraft.extract.database.ranges import Range, compose
from airflow_provider.altcraft.extract.database.walk import HistoryPage, OrderError, RangeWalk
from airflow_provider.altcraft.schema import KeyBy
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

_AHEAD = 1
"""Pages of a walk that wait for their turn, without the one being decoded and the one being fetched."""


class _ReadPage(NamedTuple):
    """The batch of a page, and the state of its walk after it."""

    batch: pa.RecordBatch
    state: dict[str, Any] | None
    done: bool


@dataclass
class DatabasePull:
    """One pull of a database's history.

    Attributes:
        client: asks the platform.
        list_id: the database.
        window: which events to pull; both ends are given.
        ranges: walked in parallel. Each event of the window is in one of them, except those of days that ``days`` finds
            missing.
        days: the days to ask where the account's zone is known; missing ones are walked afterwards.
        ordered: the ranges are parts of the space of ``xxh``, walked by composed cursors.
        fields: profile fields that come with each row, as an object ``fields`` in ``extra``.
        page_size: rows a page.
        concurrency: ranges walked at once.
        event_counts: counts events, to find out how late they come; ``None`` does not.
        event_key_by: see ``schema.identities_of``.
        again: this is the second walk, as the platform refused a cursor during the first: nothing is resumed.
        sizes: of its batches.
        failed: always empty: no profile can be passed over.
    """

    client: BulkClient
    list_id: int
    window: Window
    ranges: Sequence[Range]
    days: AskedDays | None = None
    ordered: bool = False
    fields: Sequence[str] = ()
    page_size: int = PAGE_LIMIT
    concurrency: int = 16
    event_counts: EventCounts | None = None
    event_key_by: KeyBy = "row"
    again: bool = False
    sizes: PullSizes = field(default_factory=PullSizes)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = PageReader(self.client.core, self.list_id, self.event_key_by)
        self.walks = [self._walk_of(each) for each in self.ranges]
        self._walked = WalkProgress(len(self.walks))
        self.progress: Progress = self._walked
        self._states: list[dict[str, Any] | None] = [None] * len(self.walks)
        self._missing: list[Asked] = []
        self.absent_fields = set(self.fields)
        """Fields that no event had so far, as with a misspelt name."""

    @property
    def asked_wider_because(self) -> str | None:
        """Why more days were asked than the account's zone names; ``None`` where they were not."""
        return "; ".join(each.why for each in self._missing) or None

    def _walk_of(self, kept: Range) -> RangeWalk:
        return RangeWalk(kept, self.page_size, self._reader.identities, ordered=self.ordered)

    def _ask_wider(self) -> None:
        """Add walks over the days that the first walks have not proved to include."""
        assert self.days  # noqa: S101 - the callers check it
        found: dict[Asked, Found | None] = dict.fromkeys(self.days.asked)
        for walk in self.walks:
            before, here = found[walk.range.asked], walk.found
            found[walk.range.asked] = Found.of((here.first, here.last), before) if here else before
        self._missing = self.days.missing(list(found.values()))
        say_asked_wider(self._missing)
        low, high = min(each.low for each in self.ranges), max(each.high for each in self.ranges)
        self.walks += [self._walk_of(Range(each.nominal, low, high, each)) for each in self._missing]
        self._states += [None] * len(self._missing)
        self._walked.total = len(self.walks)

    @property
    def plan(self) -> str:
        """The database, the days that are asked, and how they are walked."""
        asked = {each.asked for each in self.ranges}
        days = sum((each.last - each.first).days + 1 for each in asked)
        walks = f"{counted(len(self.walks), 'walk')} over {counted(days, 'day')}"
        return f"all of database {self.list_id} by {walks}, in pages of {counted(self.page_size, 'row')}"

    @property
    def fingerprint(self) -> str:
        """A digest of the database, the ranges, what is asked of each, and this package's version."""
        ranges = [
            (each.window.to_json(), *each.bounds, each.asked.first, each.asked.last, each.asked.kept.to_json())
            for each in self.ranges
        ]
        how = [
            self.list_id,
            self.ordered,
            list(self.fields),
            self.page_size,
            self.concurrency,
            self.event_key_by,
            self.again,
        ]
        return blake2b(to_json([__version__, *how, ranges]), digest_size=16).hexdigest()

    def resume(self, state: Any) -> None:
        """Leave out the pages that an earlier attempt has done."""
        self._states = state["walks"]
        self.absent_fields.clear()  # what the earlier attempt has seen is not known
        first, wider = self._states[: len(self.ranges)], self._states[len(self.ranges) :]
        for walk, stood in zip(self.walks, first, strict=True):
            if stood is not None:
                walk.resume(stood)
        if wider:
            self._ask_wider()
            self._states = [*first, *wider]
            for walk, stood in zip(self.walks[len(first) :], wider, strict=True):
                if stood is not None:
                    walk.resume(stood)
        self._walked.resume_walks(
            done=sum(walk.done for walk in self.walks),
            pages=sum(walk.pages for walk in self.walks),
            events=sum(walk.rows for walk in self.walks),
        )
        if self.event_counts:
            self.event_counts.resume(state["seen"])

    async def batches(self) -> AsyncIterator[Piece]:
        """Yield batches of ``schema.SCHEMA``: the rows of the next page of each walk under way, in turn.

        Raises:
            AltcraftError: a page cannot be read.
            CursorError: the platform refuses a cursor that it gave; drop all batches so far.
            OrderError: the ranges cannot be walked by composed cursors; drop all batches so far.
        """
        if self.ordered and any(each.low for each in self.ranges):
            await self._prove_order()
        gathered: list[pa.RecordBatch] = []
        async for turn in self._turns():
            gathered += turn
            if sum(batch.num_rows for batch in gathered) >= self.sizes.batch_rows:
                yield self._piece(gathered)
                gathered = []
        yield self._piece(gathered)

    def _piece(self, gathered: list[pa.RecordBatch]) -> Piece:
        batch = pa.Table.from_batches(gathered).combine_chunks().to_batches()[0] if gathered else None
        if batch is not None and self.event_counts:
            self.event_counts.add(batch)
        if batch is not None and self.absent_fields:
            extra = batch.column("extra")
            self.absent_fields -= {
                name
                for name in self.absent_fields
                if pc.any(pc.match_substring(extra, json.dumps(name, ensure_ascii=False))).as_py()
            }
        return Piece(batch, self._state())

    def _state(self) -> dict[str, Any] | None:
        if any(state is not None and "unsaid" in state for state in self._states):
            return None
        return {"walks": list(self._states)} | ({"seen": self.event_counts.state} if self.event_counts else {})

    async def _turns(self) -> AsyncIterator[list[pa.RecordBatch]]:
        """Yield the batches of each turn: one of each walk under way, in the order of the ranges.

        The speed of answers does not matter, so the order of the rows is the same each time. A walk that is ahead waits
        with a page or two in hand.
        """
        async for turn in self._turns_of(range(len(self.walks))):
            yield turn
        if self.days and len(self.walks) == len(self.ranges):
            self._ask_wider()
            async for turn in self._turns_of(range(len(self.ranges), len(self.walks))):
                yield turn
        if self.days:
            warn_of_zone(self.client.settings.zone, sum(walk.rows for walk in self.walks[len(self.ranges) :]))

    async def _turns_of(self, indexes: Iterable[int]) -> AsyncIterator[list[pa.RecordBatch]]:
        waiting = iter([index for index in indexes if not self.walks[index].done])
        under_way = list(self._start(waiting, self.concurrency))
        try:
            while under_way:
                turn = [batch for walker in under_way async for batch in self._next(walker)]
                ended = [walker for walker in under_way if walker.done]
                under_way = [walker for walker in under_way if not walker.done]
                under_way += self._start(waiting, len(ended))
                yield turn
        finally:
            for walker in under_way:
                walker.task.cancel()
            for walker in under_way:
                with suppress(asyncio.CancelledError, Exception):
                    await walker.task

    def _start(self, waiting: Iterator[int], count: int) -> Iterator[_Walker]:
        for _, index in zip(range(count), waiting, strict=False):
            yield _Walker(index, self)

    async def _next(self, walker: _Walker) -> AsyncIterator[pa.RecordBatch]:
        """Yield the walk's next batch with rows, if there is one."""
        while not walker.done:
            taken = await walker.next()
            self._states[walker.index] = taken.state or {"unsaid": True}
            self._walked.page(taken.batch.num_rows, ended=taken.done)
            if taken.batch.num_rows:
                yield taken.batch
                return

    async def fetch(self, walk: RangeWalk, cursor: str) -> HistoryPage:
        """Ask for a page of a walk."""
        first = walk.begins and cursor == walk.cursor
        try:
            return await self.client.ask(self._call(walk.range.asked, cursor, self.page_size), self._reader.page)
        except BadRequestError as error:
            if not cursor or error.code is None:
                raise
            if first:
                raise OrderError(f"the platform refuses a composed cursor: {error}") from None
            raise cursor_error(error) from None

    async def take(self, walk: RangeWalk, page: HistoryPage) -> _ReadPage:
        """Take the walk's next page; ask for it again where a row cannot be read."""
        try:
            batch = await self.client.apart(partial(self._reader.take, walk, page))
        except RetriableError:
            call = self._call(walk.range.asked, walk.cursor, self.page_size)
            batch = await self.client.ask(call, partial(self._reader.read, walk))
        return _ReadPage(batch, walk.state, walk.done)

    def _call(self, asked: Asked, cursor: str, page_size: int) -> Call:
        return self.client.core.database_page(self.list_id, asked, cursor, page_size, self.fields)

    async def _prove_order(self) -> None:
        """Compose a cursor for a profile within the first page, and check that the platform begins there.

        Raises:
            OrderError: it does not, or the page has too few profiles to prove it.
        """
        asked_days = self.ranges[0].asked
        found = _numbers(await self.client.ask(self._call(asked_days, "", self.page_size), self._reader.page))
        if found != sorted(found):
            raise OrderError("rows do not come in the order of their xxh")
        middle = next((index for index in range(len(found) // 2, len(found)) if found[index] != found[index - 1]), 0)
        if not middle:
            raise OrderError(f"the first {counted(len(found), 'row')} are of too few profiles to prove it by")
        # Between two profiles if possible, as the borders of ranges are.
        asked = max(found[middle] - 1, found[middle - 1] + 1)
        try:
            begun = await self.client.ask(self._call(asked_days, compose(asked), 1), self._reader.page)
        except BadRequestError as error:
            if error.code is None:
                raise
            raise OrderError(f"the platform refuses a composed cursor: {error}") from None
        if set(_numbers(begun)) != {found[middle]}:  # all rows of the profile, where a limit counts profiles
            raise OrderError("the platform does not begin where a composed cursor says")


def _numbers(page: HistoryPage) -> list[int]:
    """Return the rows' ``xxh`` as numbers.

    Raises:
        OrderError: a row has none.
    """
    try:
        return [int(row.get("xxh") or "", 16) for row in page.rows]
    except (TypeError, ValueError):
        raise OrderError("a row has no xxh") from None


class _Walker:
    """A walk under way, which may be some pages ahead of its turn."""

    def __init__(self, index: int, pull: DatabasePull) -> None:
        self.index = index
        self.done = False
        self._pages: asyncio.Queue[_ReadPage | BaseException] = asyncio.Queue(_AHEAD)
        self.task = asyncio.create_task(self._walk(pull, pull.walks[index]))

    async def next(self) -> _ReadPage:
        """Return the walk's next page."""
        taken = await self._pages.get()
        if isinstance(taken, BaseException):
            raise taken
        self.done = taken.done
        return taken

    async def _walk(self, pull: DatabasePull, walk: RangeWalk) -> None:
        following: asyncio.Task[HistoryPage] | None = None
        try:
            while not walk.done:
                page = await (following or pull.fetch(walk, walk.cursor))
                # The next page is on its way while this one is decoded.
                cursor = walk.following(page)
                following = asyncio.create_task(pull.fetch(walk, cursor)) if cursor else None
                taken = await pull.take(walk, page)
                if following and cursor != walk.cursor:  # the page came again, with another cursor
                    await _cancelled(following)
                    following = None
                await self._pages.put(taken)
        except Exception as error:
            await self._pages.put(error)
        finally:
            if following:
                await _cancelled(following)


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # marks it as retrieved; a further request reports it again
