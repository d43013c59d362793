"""Random events, equal in every run, and pulls of them, which the tests write to a target."""

from __future__ import annotations

import datetime as dt
import functools
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import pyarrow as pa  # noqa: TID253 - the tests of a target move Arrow batches
import pyarrow.compute as pc  # noqa: TID253 - likewise

from airflow_provider.altcraft.client import HistoryEvent
from airflow_provider.altcraft.schema import COLUMNS, SCHEMA, RowBuffer, batch_of_events
from airflow_provider.altcraft.targets import Scope

Event: TypeAlias = dict[str, Any]
"""A row as the platform sends it."""

PROFILES = ("ann@example.com", "bob@example.com", "cat@example.com")
_FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_DAY = 86_400_000_000
_ACTIONS = ("send", "deliv", "open", "click", "confirm", "unsub", "web_version_save")

LARGE = 300_000
"""The number of rows of ``large_pull``."""


@dataclass(frozen=True)
class Pull:
    """The rows and the scope of one pull."""

    scope: Scope
    batches: tuple[pa.RecordBatch, ...]

    @property
    def table(self) -> pa.Table:
        """All rows."""
        return pa.Table.from_batches(self.batches, SCHEMA)


def draw_events(count: int, *, seed: int = 0, days: int = 4, profiles: Sequence[str] = PROFILES) -> list[Event]:
    """Return random events of the days from 1 January 2026 on, no two of them with the same ``event_id``."""
    draw = random.Random(seed)
    return [
        {
            "xxh": f"{sum(map(ord, email)):016x}",
            "email": email,
            "action": draw.choice(_ACTIONS),
            "datetime": (_FIRST + dt.timedelta(microseconds=draw.randrange(days * _DAY))).isoformat(),
            "message_id": draw.randrange(100),
            "message_name": f"Письмо «{draw.randrange(100)}»",
            "campaign_id": draw.choice([None, 1, 2]),
            "event_id": f"{seed:08x}{number:016x}",
            "subscriptions": [{"resource_id": draw.randrange(9), "channel": "email"}],
        }
        for number in range(count)
        for email in [draw.choice(profiles)]
    ]


AWKWARD_TEXTS = (
    "",
    " ",
    "null",
    "NULL",
    "\\N",
    "None",
    "NaN",
    "0",
    "-1",
    "1e5",
    "true",
    "'",
    '"',
    "''",
    '""',
    "a,b",
    'a "quoted" one',
    "it's; DROP TABLE history; --",
    "%s %(x)s {} {{ ds }} $1 :name ?",
    "\\",
    "\\'",
    "ends in a backslash\\",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\n",
    "\t",
    " spaces at both ends ",
    "\u2028 \u2029 \u0085 \ufeff \u00a0 \ufffd \uffff",
    "\x01\x1f\x7f",
    "Привет, мир",
    "日本語 עברית हिन्दी",
    "👩‍👩‍👧‍👦 🏳️‍🌈 \U0010ffff",
    "e\u0301 is not \u00e9",
    "x" * 70_000,
    "ж" * (1 << 19),
)


def awkward_events(*, nul: bool = False) -> list[Event]:
    """Return events with values that are often lost between a writer and a reader.

    Args:
        nul: texts with U+0000 instead, which JSON can hold but not every store.
    """
    texts = ("\x00", "a\x00b") if nul else AWKWARD_TEXTS
    base = draw_events(len(texts), seed=7, days=1)
    events = [event | {"message_name": text, "odd": {text[:50]: text}} for event, text in zip(base, texts, strict=True)]
    if nul:
        return events
    plain = {"action": "open", "xxh": "00000000000000aa", "email": PROFILES[0]}
    events += [
        # All optional fields are missing.
        {"action": "open", "datetime": "2026-01-01T00:00:00Z", "xxh": "00000000000000ab"},
        *({**plain, "datetime": "2026-01-01T01:00:00Z", "count": n, "message_id": n} for n in (2**63 - 1, -(2**63), 0)),
        *(
            {**plain, "datetime": at}
            for at in ("2026-01-01T00:00:00.000001Z", "2026-01-01T23:59:59.999999Z", "2026-01-01T12:00:00+02:00")
        ),
        {**plain, "datetime": "2026-01-01T02:00:00Z", "deep": [{"a": [1, 2.5, None, True, "я"]}, [], {}], "": 1},
    ]
    return events


def far_events() -> list[Event]:
    """Return events at the earliest and latest times that every store's type can hold."""
    moments = ("1000-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z")
    return [event | {"datetime": at} for event, at in zip(draw_events(3, seed=8), moments, strict=True)]


def pull_of(events: Iterable[Mapping[str, Any]], scope: Scope, batch_rows: int = 500) -> Pull:
    """Return the pull of this scope from a platform that has these events.

    An event is found by each of the scope's lookups that is its e-mail or its ``xxh``; by a pull of the whole database,
    once.
    """
    known = [HistoryEvent.model_validate(event) for event in events]
    within = [event for event in known if event.datetime in scope.window]
    buffer = RowBuffer()
    if scope.lookups is None:
        buffer.extend(batch_of_events(within, list_id=scope.list_id, matching=None, lookup=None))
    for matching, lookup in scope.lookups or ():
        found = [event for event in within if lookup == (event.xxh if matching == "xxh" else event.email)]
        buffer.add(found, list_id=scope.list_id, matching=matching, lookup=lookup)
    batch = buffer.flush()
    return Pull(scope, tuple(batch.slice(at, batch_rows) for at in range(0, batch.num_rows, batch_rows)))


@functools.cache
def draw_pull(count: int, scope: Scope, *, seed: int = 0, days: int = 4, batch_rows: int = 500) -> Pull:
    """Return the pull of so many random events, cached because each class of tests uses the same."""
    return pull_of(draw_events(count, seed=seed, days=days), scope, batch_rows)


@functools.cache
def large_pull(scope: Scope) -> Pull:
    """Return 300,000 rows of the scope's first day, in batches of 10,000 that are made when they are read."""
    (batch,) = draw_pull(10_000, scope, seed=9, days=1, batch_rows=LARGE).batches
    return Pull(scope, _Copies(batch, LARGE // batch.num_rows))


class _Copies(tuple[pa.RecordBatch, ...]):
    """A batch several times, each time with other keys."""

    __slots__ = ()

    def __new__(cls, batch: pa.RecordBatch, times: int) -> Self:
        return super().__new__(cls, [batch] * times)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        place = SCHEMA.get_field_index("event_key")
        for number in range(len(self)):
            batch = self[number]
            keys = pc.binary_replace_slice(batch.column(place), 0, 6, f"{number:06x}")
            yield pa.RecordBatch.from_arrays([*batch.columns[:place], keys, *batch.columns[place + 1 :]], schema=SCHEMA)


def as_table(rows: pa.Table | Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return sorted rows, with the JSON of ``extra`` normalized, so that two tables of the same rows are equal."""
    if not isinstance(rows, pa.Table):  # a missing column raises KeyError; Arrow would fill it with nulls
        rows = pa.Table.from_pylist([{name: row[name] for name in COLUMNS} for row in rows], SCHEMA)
    table = rows.select(COLUMNS).cast(SCHEMA)
    place = SCHEMA.get_field_index("extra")
    table = table.set_column(place, SCHEMA.field(place), _normalized(table.column(place)))
    # Rows of an event that was found by two lookups, or appended twice, have the same key.
    order = ["event_key", "matching", "lookup", "count", "datetime", "message_name", "extra"]
    return table.sort_by([(name, "ascending") for name in order]).combine_chunks()


def first_mismatch(rows: pa.Table | Sequence[Mapping[str, Any]]) -> str | None:
    """Return in words which column is the first that is missing or of another type; None where all fit."""
    for field in SCHEMA:
        if isinstance(rows, pa.Table):
            if field.name not in rows.column_names:
                return f"column {field.name!r} is missing"
            if not rows.schema.field(field.name).type.equals(field.type):
                return f"column {field.name!r}: expected {field.type}, got {rows.schema.field(field.name).type}"
            continue
        for row in rows:
            if field.name not in row:
                return f"column {field.name!r} is missing"
            try:
                pa.array([row[field.name]], field.type)
            except (pa.ArrowException, TypeError, ValueError):
                return f"column {field.name!r}: expected {field.type}, got {type(row[field.name]).__name__}"
    return None


def _normalized(extra: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    encoded = extra.combine_chunks().dictionary_encode()  # each distinct text is parsed once; a large pull has few
    texts = [
        text
        if text is None
        else json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        for text in encoded.dictionary.to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(texts, pa.string())).cast(pa.string())
