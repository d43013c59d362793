"""An answer's rows into an Arrow batch without an object for each: what ``HistoryEvent`` and ``schema`` make of them.

Only rows of the shapes that the platform is known to send are taken. Whatever else the models put right or refuse is
left to them, so that both ways give the same rows and the same errors.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter, eq
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from msgspec import Raw
from msgspec.structs import astuple
from pydantic_core import from_json

from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.extract._rows import SentRow
from airflow_provider.altcraft.schema import SCHEMA, Counts, batch_of, identities_of, json_of, keys_of, stamp_of
from airflow_provider.altcraft.window import Window

_OBJECTS = (("subscription", dict), ("subscriptions", list))
_instant = attrgetter("datetime")
_TYPES = [(field.name, field.type) for field in SCHEMA]
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
        sent = zip(*map(astuple, rows), strict=True)
        columns: Columns = dict(zip(kind.__struct_fields__, sent, strict=True))
        columns["extra"] = _extras(kind.others, [columns.pop(f"other_{number}") for number in range(len(kind.others))])
        columns["datetime"] = times = pa.array(stamps, pa.string()).cast(_UTC_MICROSECONDS)
    except (ValueError, TypeError):  # Arrow's are of the first kind; no such row is known
        return None
    first = 0 if window.start is None else bisect_left(stamps, stamp_of(window.start))
    end = len(rows) if window.end is None else bisect_left(stamps, stamp_of(window.end))
    if first >= end:
        return pa.RecordBatch.from_pylist([], SCHEMA)
    if end - first < len(rows):
        stamps = stamps[first:end]
        columns = {name: column[first:end] for name, column in columns.items()}
    columns["channel"] = [
        channel or CHANNELS.get(action) for channel, action in zip(columns["channel"], columns["action"], strict=True)
    ]
    columns["list_id"] = [list_id if value is None else value for value in columns["list_id"]]
    identities = _identities(columns, stamps)
    times, extras = columns.pop("datetime"), columns["extra"]
    arrays = {name: pa.array(columns[name], kind) for name, kind in _TYPES if name in columns}
    arrays |= {"datetime": times, "matching": _same(matching, len(stamps)), "lookup": _same(lookup, len(stamps))}
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
    """The instants as ``schema.stamp_of`` spells them, but for what only Arrow will find wrong with them.

    Raises:
        TypeError: one is no text.
    """
    lengths = set(map(len, sent))
    if len(lengths) > 1:
        return _in_parts(sent)
    (length,) = lengths
    if not 20 <= length <= 27 or length == 21 or min(sent) < "0001":
        return None
    # Arrow would take a space for the T, and other zones. Each place of all texts at once costs less than each text.
    whole, count = "".join(sent), len(sent)
    if whole[10::length] != "T" * count or whole[length - 1 :: length] != "Z" * count or whole.count("Z") != count:
        return None
    point, zeros = ("" if length > 20 else "."), "0" * min(27 - length, 6)
    return [f"{text[:-1]}{point}{zeros}Z" for text in sent]


def _in_parts(sent: list[Any]) -> list[str] | None:
    """As ``_stamps``, of instants with and without a fraction."""
    stamps = []
    for text in sent:
        one = _stamps([text])
        if one is None:
            return None
        stamps += one
    return stamps


def _extras(names: tuple[str, ...], columns: list[tuple[Raw, ...]]) -> list[str | None]:
    """``extra`` of each row.

    Raises:
        ValueError: one holds what is no JSON.
        TypeError: one holds what the models put right or refuse.
    """
    # What is known of a profile comes with each of its events, so the same bytes come again and again.
    known: dict[tuple[bytes, ...], str | None] = {}
    extras, last, extra = [], None, None
    for parts in zip(*columns, strict=True):
        if parts != last:
            sent, last = tuple(map(bytes, parts)), parts
            if sent not in known:
                known[sent] = _extra(dict(zip(names, sent, strict=True)))
            extra = known[sent]
        extras.append(extra)
    return extras


def _extra(parts: dict[str, bytes]) -> str | None:
    extra = {name: from_json(part, allow_inf_nan=False) for name, part in parts.items() if part}
    for name, kind in _OBJECTS:
        value = extra.get(name, extra)
        if value is None:
            del extra[name]
        elif value is not extra and (type(value) is not kind or (kind is list and set(map(type, value)) - {dict})):
            raise TypeError
    return json_of(extra) if extra else None


def _identities(columns: Columns, stamps: list[str]) -> list[bytes]:
    """What ``schema.identity_of`` makes of these rows."""
    return identities_of(
        columns["event_id"],
        columns["list_id"],
        [xxh or profile for xxh, profile in zip(columns["xxh"], columns["profile_id"], strict=True)],
        columns["action"],
        stamps,
        columns["message_id"],
        columns["campaign_id"],
        columns["smid"],
    )
