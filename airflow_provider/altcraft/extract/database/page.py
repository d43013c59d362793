"""Reads responses of ``subscribers/history_get_all``: the rows of a page, and their batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module

from airflow_provider.altcraft.client._core import Call, Core, in_window, parsed
from airflow_provider.altcraft.client._errors import UnreadableAnswerError
from airflow_provider.altcraft.client._models import HistoryEvent
from airflow_provider.altcraft.client.transport._httpx import Response
from airflow_provider.altcraft.extract.database.walk import HistoryPage, RangeWalk, Row, WalkKeys
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.rows import RawRow, RowReader
from airflow_provider.altcraft.schema import KeyBy, batch_of_events, identity_of


class PageReader:
    """Reads the pages of one database. Runs in a thread next to the event loop.

    Args:
        core: reads responses.
        list_id: the database, for rows that do not name theirs.
        by: see ``schema.identities_of``.
    """

    def __init__(self, core: Core, list_id: int, by: KeyBy = "row") -> None:
        self._core = core
        self._by: KeyBy = by
        self._list_id = list_id
        self._rows = RowReader()

    def page(self, call: Call, response: Response) -> HistoryPage:
        """Return the rows as they were sent.

        Raises:
            UnreadableAnswerError: a row is not an object.
        """
        sent = self._rows.read(response.body, response.headers.get("content-type", ""))
        if sent is not None:
            return HistoryPage(sent.data or (), None if sent.next_from_id == "" else sent.next_from_id, response.status)
        page = self._core.page_of(call, response)
        for index, row in enumerate(page.rows):
            if type(row) is not dict:
                parsed(HistoryEvent, row, f"data[{index}]", response.status)
        return HistoryPage(page.rows, page.next_from_id, response.status)

    def read(self, walk: RangeWalk, call: Call, response: Response) -> pa.RecordBatch:
        """Read a page, and take it."""
        return self.take(walk, self.page(call, response))

    def take(self, walk: RangeWalk, page: HistoryPage) -> pa.RecordBatch:
        """Give a page to a walk, and return the batch of its new rows.

        Raises:
            UnreadableAnswerError: a row is not as the platform sends it; the page counts as not taken.
            OrderError: see ``RangeWalk.take``.
        """

        def decode(rows: list[Row], seen: WalkKeys) -> pa.RecordBatch:
            how: dict[str, Any] = {
                "list_id": self._list_id,
                "matching": None,
                "lookup": None,
                "seen": seen,
                "by": self._by,
            }
            window = walk.range.asked.kept
            batch = fast_batch(rows, window, **how)
            if batch is not None:
                return batch
            place = {id(row): f"data[{index}]" for index, row in enumerate(page.rows)}
            events = [_event(row, place.get(id(row), "data"), page.http_status) for row in rows]
            return batch_of_events(in_window(events, window), **how)

        return walk.take(page, decode)

    def identities(self, rows: Sequence[Row]) -> list[bytes]:
        """Return the identity of each row, see ``schema.identity_of``."""
        return [identity_of(_event(row, "data", 200), self._list_id) for row in rows]


def _event(row: Row, place: str, http_status: int) -> HistoryEvent:
    try:
        sent = row.mapping() if isinstance(row, RawRow) else row
    except ValueError:
        raise UnreadableAnswerError(f"{place}: what came is not JSON", http_status=http_status) from None
    return parsed(HistoryEvent, sent, place, http_status)
