"""An answer's rows into an Arrow batch without an object for each: what ``HistoryEvent`` and ``schema`` make of them.

Only rows of the shapes that the platform is known to send are taken. Whatever else the models put right or refuse is
left to them, so that both ways give the same rows and the same errors.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from json.encoder import encode_basestring_ascii as quoted
from operator import attrgetter, eq
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from pydantic_core import from_json

from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.extract._rows import COLUMNS_SENT, SentRow
from airflow_provider.altcraft.schema import SCHEMA, Counts, batch_of, json_of, keys_of
from airflow_provider.altcraft.window import Window

_OBJECTS = (("subscription", dict), ("subscriptions", list))
_sent = attrgetter(*COLUMNS_SENT)
_instant = attrgetter("datetime")
_TYPES = [(field.name, field.type) for field in SCHEMA]
_MICROSECONDS = pa.timestamp("us")
_UTC_MICROSECONDS = SCHEMA.field("datetime").type

Columns = dict[str, Any]


def fast_batch(
    rows: Sequence[SentRow] | Sequence[Any],
    window: Window,
    *,
    list_id: int,
    matching: str | None,
    lookup: str | None,
    seen: Counts | None = None,
) -> pa.RecordBatch | None:
    """The rows within the window as ``schema.batch_of_events`` gives them, or ``None`` where the models have to look.

    Args:
        rows: the rows of an answer.
        window: which are wanted.
        list_id: the database that was asked, for rows that do not name theirs.
        matching: by which mode the profile was looked up.
        lookup: the value it was looked up by.
        seen: see ``schema.keys_of``.
    """
    kind = type(rows[0]) if rows else SentRow
    if not issubclass(kind, SentRow) or set(map(type, rows)) != {kind}:
        return None
    try:
        stamps = _stamps(list(map(_instant, rows)))
        if stamps is None:
            return None
        # By time first, so that the window is a slice and order is seldom still to be made.
        order = sorted(range(len(rows)), key=stamps.__getitem__)
        rows, stamps = [rows[at] for at in order], [stamps[at] for at in order]
        extras = _extras(rows, kind)
        times = pa.array(stamps, pa.string()).cast(_MICROSECONDS).view(_UTC_MICROSECONDS)
    except (ValueError, TypeError):  # Arrow's are of the first kind; no such row is known
        return None
    first = 0 if window.start is None else bisect_left(stamps, _spelled(window.start))
    end = len(rows) if window.end is None else bisect_left(stamps, _spelled(window.end))
    if first >= end:
        return pa.RecordBatch.from_pylist([], SCHEMA)
    rows, stamps, extras = rows[first:end], stamps[first:end], extras[first:end]
    columns: Columns = dict(zip(COLUMNS_SENT, zip(*map(_sent, rows), strict=True), strict=True))
    columns["channel"] = [
        channel or CHANNELS.get(action) for channel, action in zip(columns["channel"], columns["action"], strict=True)
    ]
    columns["list_id"] = [list_id if value is None else value for value in columns["list_id"]]
    columns["extra"] = extras
    identities = _identities(columns, stamps)
    del columns["datetime"]
    arrays = {name: pa.array(columns[name], kind) for name, kind in _TYPES if name in columns}
    arrays |= {"matching": _same(matching, len(rows)), "lookup": _same(lookup, len(rows))}
    arrays["datetime"] = times[first:end]
    if any(map(eq, stamps, stamps[1:])):
        ranks = list(zip(stamps, identities, [extra or "" for extra in extras], columns["count"], strict=True))
        in_order = sorted(range(len(ranks)), key=ranks.__getitem__)
        arrays = {name: array.take(pa.array(in_order, pa.int64())) for name, array in arrays.items()}
        identities = [identities[at] for at in in_order]
    arrays["event_key"] = pa.array(keys_of(identities, seen), pa.string())
    return batch_of(arrays)


def _same(text: str | None, rows: int) -> pa.Array[Any]:
    return pa.nulls(rows, pa.string()) if text is None else pa.repeat(text, rows)


def _stamps(sent: list[Any]) -> list[str] | None:
    """The instants in one spelling, without their zone, so that the order of the texts is that of time.

    Raises:
        TypeError: one is no text.
    """
    lengths = set(map(len, sent))
    if len(lengths) > 1:
        return _in_parts(sent)
    (length,) = lengths
    if not 20 <= length <= 27 or length == 21 or not _shape(length)("".join(sent)) or min(sent) < "0001":
        return None
    if length == 20:
        return [f"{text[:19]}.000000" for text in sent]
    zeros = "0" * (27 - length)
    return [text[:-1] + zeros for text in sent]


def _in_parts(sent: list[Any]) -> list[str] | None:
    """As ``_stamps``, of instants with and without a fraction."""
    stamps = []
    for text in sent:
        one = _stamps([text])
        if one is None:
            return None
        stamps += one
    return stamps


@cache
def _shape(length: int) -> Any:
    fraction = rf"\.[0-9]{{{length - 21}}}" if length > 20 else ""
    return re.compile(rf"(?:[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}{fraction}Z)+").fullmatch


def _spelled(instant: dt.datetime) -> str:
    return instant.isoformat(timespec="microseconds")[:26]


def _extras(rows: Sequence[SentRow], kind: type[SentRow]) -> list[str | None]:
    """``extra`` of each row.

    Raises:
        ValueError: one holds what is no JSON.
        TypeError: one holds what the models put right or refuse.
    """
    # What is known of a profile comes with each of its events, so the same bytes come again and again.
    columns = [map(bytes, map(attrgetter(f"other_{number}"), rows)) for number in range(len(kind.others))]
    sent = list(zip(*columns, strict=True))
    known = {parts: _extra(dict(zip(kind.others, parts, strict=True))) for parts in set(sent)}
    return [known[parts] for parts in sent]


def _extra(parts: dict[str, bytes]) -> str | None:
    extra = {name: from_json(part, allow_inf_nan=False) for name, part in parts.items() if part}
    for name, kind in _OBJECTS:
        value = extra.get(name, extra)
        if value is None:
            del extra[name]
        elif value is not extra and (type(value) is not kind or (kind is list and set(map(type, value)) - {dict})):
            raise TypeError
    return json_of(extra) if extra else None


def _identities(columns: Columns, stamps: list[str]) -> list[str]:
    """What ``schema.identity_of`` makes of these rows."""
    # Without a call for each field: there are hundreds of millions in a large pull.
    return [
        f"[{'null' if event is None else quoted(event)}, {base}, "
        f'{"null" if whose is None else quoted(whose)}, {quoted(action)}, "{stamp}+00:00", '
        f"{'null' if message is None else message}, {'null' if campaign is None else campaign}, "
        f"{'null' if smid is None else quoted(smid)}]"
        for event, base, whose, action, stamp, message, campaign, smid in zip(
            columns["event_id"],
            columns["list_id"],
            [xxh or profile for xxh, profile in zip(columns["xxh"], columns["profile_id"], strict=True)],
            columns["action"],
            stamps,
            columns["message_id"],
            columns["campaign_id"],
            columns["smid"],
            strict=True,
        )
    ]
