"""An answer of ``subscribers/history_get_all`` into rows, and these into batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module

from airflow_provider.altcraft.client._core import Call, Core, in_window, parsed
from airflow_provider.altcraft.client._errors import UnreadableAnswerError
from airflow_provider.altcraft.client._models import HistoryEvent
from airflow_provider.altcraft.client._transport import Answer
from airflow_provider.altcraft.extract._decode import fast_batch
from airflow_provider.altcraft.extract._rows import RowReader, SentRow
from airflow_provider.altcraft.extract._walk import HistoryPage, RangeWalk, Row, WalkKeys
from airflow_provider.altcraft.schema import batch_of_events, identity_of


class PageReader:
    """Reads the pages of one database. Runs beside the event loop.

    Args:
        core: reads answers.
        list_id: the database, for rows that do not name theirs.
    """

    def __init__(self, core: Core, list_id: int) -> None:
        self._core = core
        self._list_id = list_id
        self._rows = RowReader()

    def page(self, call: Call, answer: Answer) -> HistoryPage:
        """The rows as they were sent.

        Raises:
            UnreadableAnswerError: one is no object.
        """
        sent = self._rows.read(answer)
        if sent is not None:
            return HistoryPage(sent.data or (), None if sent.next_from_id == "" else sent.next_from_id, answer.status)
        page = self._core.page_of(call, answer)
        for index, row in enumerate(page.rows):
            if type(row) is not dict:
                parsed(HistoryEvent, row, f"data[{index}]", answer.status)
        return HistoryPage(page.rows, page.next_from_id, answer.status)

    def read(self, walk: RangeWalk, call: Call, answer: Answer) -> pa.RecordBatch:
        """As ``page`` and ``take``."""
        return self.take(walk, self.page(call, answer))

    def take(self, walk: RangeWalk, page: HistoryPage) -> pa.RecordBatch:
        """What a page brings to a walk.

        Raises:
            UnreadableAnswerError: a row is not what the platform sends; then the page counts as not taken.
            OrderError: see ``RangeWalk.take``.
        """

        def decode(rows: list[Row], seen: WalkKeys) -> pa.RecordBatch:
            how: dict[str, Any] = {"list_id": self._list_id, "matching": None, "lookup": None, "seen": seen}
            window = walk.range.window
            batch = fast_batch(rows, window, **how)
            if batch is not None:
                return batch
            place = {id(row): f"data[{index}]" for index, row in enumerate(page.rows)}
            events = [_event(row, place.get(id(row), "data"), page.http_status) for row in rows]
            return batch_of_events(in_window(events, window), **how)

        return walk.take(page, decode)

    def identities(self, rows: Sequence[Row]) -> list[bytes]:
        """What rows alike have in common, for each of these."""
        return [identity_of(_event(row, "data", 200), self._list_id) for row in rows]


def _event(row: Row, place: str, http_status: int) -> HistoryEvent:
    try:
        sent = row.mapping() if isinstance(row, SentRow) else row
    except ValueError:
        raise UnreadableAnswerError(f"{place}: what came is not JSON", http_status=http_status) from None
    return parsed(HistoryEvent, sent, place, http_status)
