"""The keys of processed events, as a set small enough for Airflow's stores of state. Does no I/O.

Airflow's stores hold JSON values of up to 65,535 bytes. So a set is one head row, and pages if it is large: 500 events
are one row of 6 kB; 100,000 are the head and 25 pages, 1.1 MB. Adding events then writes the head and one page.
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from airflow_provider.altcraft.window import UTC

WIDTH: Final = 8
"""Bytes kept of a key. The chance that two of 100,000 events have the same is below 1 in a billion."""

PAGE_KEYS: Final = 4000
"""Keys in a page, at most: 43 kB as text."""

HEAD_KEYS: Final = 2500
"""Keys in the head, at most: 27 kB."""

RUNS: Final = 200
"""Newest runs whose events are known by run. Of older runs it is only known that their events were processed."""

_FORMAT: Final = 1


@dataclass(slots=True)
class _Page:
    """Keys of events between two times, in whole seconds; of one run, where ``run`` names it.

    Attributes:
        row: name of the stored row that holds just these keys; ``None`` before it is stored.
    """

    first: int
    last: int
    run: str | None
    keys: bytearray = field(default_factory=bytearray)
    row: str | None = None


class ProcessedKeys:
    """Event keys with their times, until a time before which they are forgotten.

    Attributes:
        since: only events from then on count.
        watermark: up to then all has been polled.
    """

    def __init__(self, since: dt.datetime, watermark: dt.datetime | None = None) -> None:
        self.since = since
        self.watermark = watermark or since
        self.event_key_by = "row"
        """``row`` or ``event_id``: the source of the keys."""
        self._pages: list[_Page] = []
        self._digests: set[bytes] = set()
        self._next = 0
        self._gone: list[str] = []

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._digests)

    def __contains__(self, key: str) -> bool:
        """Return whether the event was processed."""
        return _digest(key) in self._digests

    def add(self, events: Iterable[tuple[str, dt.datetime]], run: str | None = None) -> None:
        """Add processed events, each as key and time; those of a run, where it is named."""
        owner = None if run is None else _owner(run)
        for key, at in events:
            digest, second = _digest(key), int(at.timestamp())
            if digest in self._digests:
                continue
            page = self._pages[-1] if self._pages else None
            if page is None or page.run != owner or len(page.keys) >= PAGE_KEYS * WIDTH:
                page = _Page(second, second, owner)
                self._pages.append(page)
            self._digests.add(digest)
            self._extend(page, digest, second, second)

    def of_run(self, run: str, keys: Iterable[str]) -> set[str]:
        """Return the given keys that this run processed."""
        owned = {digest for page in self._owned(run) for digest in _split(page.keys)}
        return {key for key in keys if _digest(key) in owned}

    def span_of_run(self, run: str) -> tuple[dt.datetime, dt.datetime] | None:
        """Return first and last time (exclusive) of this run's events; ``None`` where none are known."""
        pages = self._owned(run)
        if not pages:
            return None
        return _at(min(page.first for page in pages)), _at(max(page.last for page in pages) + 1)

    def forget(self, before: dt.datetime) -> None:
        """Drop older pages; a page with some newer keys stays whole."""
        if old := [page for page in self._pages if _at(page.last + 1) <= before]:
            self._drop(old)
            self._digests = {digest for page in self._pages for digest in _split(page.keys)}

    def changes(self) -> tuple[dict[str, Any], list[str]]:
        """Return the rows to write, in order, and then the rows to delete, since the last call.

        The head comes last: until it is written, what was written before does not count. A page that has changed gets a
        row of a new name, so that the old head still finds what it had.
        """
        self._fold_old_runs()
        rows: dict[str, Any] = {}
        room = HEAD_KEYS * WIDTH
        in_head = set()
        for page in sorted(self._pages, key=lambda page: len(page.keys)):
            room -= len(page.keys)
            if room >= 0:
                self._outdate(page)
                in_head.add(id(page))
            elif page.row is None:
                page.row = f"page{self._next}"
                self._next += 1
                rows[page.row] = _text(page.keys)
        rows["head"] = {
            "format": _FORMAT,
            "since": self.since.isoformat(),
            "watermark": self.watermark.isoformat(),
            "next": self._next,
            "event_key_by": self.event_key_by,
            "pages": [
                [page.first, page.last, page.run, page.row, _text(page.keys) if id(page) in in_head else None]
                for page in self._pages
            ],
        }
        gone, self._gone = self._gone, []
        return rows, gone

    def renew_rows(self) -> None:
        """Mark all rows as changed, for a store that may have none of them."""
        for page in self._pages:
            self._outdate(page)

    @classmethod
    def rows_of(cls, head: Mapping[str, Any]) -> list[str]:
        """Return the names of the rows that ``from_rows`` needs.

        Raises:
            ValueError: a later version of this package has written it.
        """
        if head["format"] != _FORMAT:
            raise ValueError("The stored state was written by a later version of airflow-provider-altcraft")
        return [row for _, _, _, row, text in head["pages"] if text is None]

    @classmethod
    def from_rows(cls, head: Mapping[str, Any], rows: Mapping[str, str]) -> ProcessedKeys:
        """Return the set that ``changes`` stored."""
        seen = cls(dt.datetime.fromisoformat(head["since"]), dt.datetime.fromisoformat(head["watermark"]))
        seen._next = head["next"]
        seen.event_key_by = head.get("event_key_by", "row")
        for first, last, run, row, text in head["pages"]:
            keys = base64.b64decode(rows[row] if text is None else text)
            seen._pages.append(_Page(first, last, run, bytearray(keys), row))
            seen._digests.update(_split(keys))
        return seen

    def _owned(self, run: str) -> list[_Page]:
        return [page for page in self._pages if page.run == _owner(run)]

    def _extend(self, page: _Page, keys: bytes | bytearray, first: int, last: int) -> None:
        page.keys += keys
        page.first, page.last = min(page.first, first), max(page.last, last)
        self._outdate(page)

    def _outdate(self, page: _Page) -> None:
        if page.row is not None:
            self._gone.append(page.row)
            page.row = None

    def _drop(self, pages: Sequence[_Page]) -> None:
        for page in pages:
            self._outdate(page)
        dropped = {id(page) for page in pages}
        self._pages = [page for page in self._pages if id(page) not in dropped]

    def _fold_old_runs(self) -> None:
        """Put pages of runs that are no longer distinguished together, so that there are never many."""
        newest = set(list(dict.fromkeys(page.run for page in reversed(self._pages) if page.run))[:RUNS])
        loose = [page for page in self._pages if page.run not in newest and len(page.keys) < PAGE_KEYS * WIDTH]
        if len(loose) < 2:
            return
        self._drop(loose)
        folded: list[_Page] = []
        for page in loose:
            if not folded or len(folded[-1].keys) + len(page.keys) > PAGE_KEYS * WIDTH:
                folded.append(_Page(page.first, page.last, None))
            self._extend(folded[-1], page.keys, page.first, page.last)
        self._pages = folded + self._pages


def _digest(key: str) -> bytes:
    return bytes.fromhex(key[: WIDTH * 2].replace("i", "0"))  # a key by event_id begins with an i


def _split(keys: bytes | bytearray) -> Iterable[bytes]:
    return (bytes(keys[place : place + WIDTH]) for place in range(0, len(keys), WIDTH))


def _owner(run: str) -> str:
    return blake2b(run.encode(), digest_size=9).hexdigest()


def _at(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(second, UTC)


def _text(keys: bytearray) -> str:
    return base64.b64encode(keys).decode()
