"""Turns the rows of a response into an Arrow batch, as ``HistoryEvent`` and ``schema`` do but without an object a row.

It takes only rows of the shapes that the platform is known to send. All others are left to the models, which may repair
or refuse them, so that both ways give the same rows and errors.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter, eq
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from msgspec import Raw
from msgspec.structs import astuple

from airflow_provider.altcraft._arrow import alike_text_array, integer_array, text_arrays
from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.client._json import decode, encode_sorted
from airflow_provider.altcraft.extract.decoding.rows import RawRow
from airflow_provider.altcraft.schema import (
    INTEGERS,
    KEY,
    SCHEMA,
    TEXTS,
    Counts,
    KeyBy,
    batch_of,
    empty_batch,
    identities_of,
    keys_of,
    last_of_each,
    stamp_of,
)
from airflow_provider.altcraft.window import Window

_OBJECTS = (("subscription", dict), ("subscriptions", list))
_instant = attrgetter("datetime")
_TEXTS = [name for name in TEXTS if name != "event_key"]
_STAMP = len("2026-01-01T00:00:00.000000Z")
_UTC_MICROSECONDS = SCHEMA.field("datetime").type
_KNOWN = 2_000
"""Texts of ``extra`` that are remembered. A profile's fields come with each of its events, and ranges of days that are
read in parallel reach a profile at about the same time."""

Columns = dict[str, Any]


def fast_batch(
    rows: Sequence[RawRow] | Sequence[Any],
    window: Window,
    *,
    list_id: int,
    matching: str | None,
    lookup: str | None,
    seen: Counts | None = None,
    by: KeyBy = "row",
) -> pa.RecordBatch | None:
    """Return the rows within the window as ``schema.batch_of_events`` does; ``None`` leaves them to the models.

    Args:
        rows: the rows of a response.
        window: of the rows to keep.
        list_id: the database that was asked, for rows that do not name theirs.
        matching: by which mode the profile was looked up.
        lookup: the value it was looked up by.
        seen: see ``schema.keys_of``.
        by: see ``schema.identities_of``.
    """
    found = _columns_by_time(rows)
    if found is None:
        return None
    columns, stamps = found
    first = 0 if window.start is None else bisect_left(stamps, stamp_of(window.start))
    end = len(stamps) if window.end is None else bisect_left(stamps, stamp_of(window.end))
    if first >= end:
        return empty_batch()
    if end - first < len(stamps):
        stamps = stamps[first:end]
        columns = {name: column[first:end] for name, column in columns.items()}
    columns["channel"] = [
        channel or CHANNELS.get(action) for channel, action in zip(columns["channel"], columns["action"], strict=True)
    ]
    columns["list_id"] = [list_id if value is None else value for value in columns["list_id"]]
    identities = _identities(columns, stamps, by)
    times, extras = columns.pop("datetime"), columns["extra"]
    columns |= {"matching": [matching] * len(stamps), "lookup": [lookup] * len(stamps)}
    arrays = dict(zip(_TEXTS, text_arrays([columns[name] for name in _TEXTS]), strict=True))
    arrays |= {name: integer_array(columns[name]) for name in INTEGERS} | {"datetime": times}
    if any(map(eq, stamps, stamps[1:])):
        ranks = list(zip(stamps, identities, [extra or "" for extra in extras], columns["count"], strict=True))
        in_order = sorted(range(len(ranks)), key=ranks.__getitem__)
        arrays = {name: array.take(integer_array(in_order)) for name, array in arrays.items()}
        identities = [identities[at] for at in in_order]
    if by == "event_id":
        actions: list[Any] = arrays["action"].to_pylist()
        kept = last_of_each(identities, stamps, actions)
        if len(kept) < len(identities):
            arrays = {name: array.take(integer_array(kept)) for name, array in arrays.items()}
            identities = [identities[at] for at in kept]
    arrays["event_key"] = alike_text_array(KEY, keys_of(identities, seen, by))
    return batch_of(arrays)


def _columns_by_time(rows: Sequence[RawRow] | Sequence[Any]) -> tuple[Columns, list[str]] | None:
    """Return the sent columns and the instants, both sorted by time; ``None`` leaves the rows to the models."""
    kind = type(rows[0]) if rows else RawRow
    if not issubclass(kind, RawRow) or set(map(type, rows)) != {kind}:
        return None
    try:
        stamps = _stamps(list(map(_instant, rows)))
        if stamps is None:
            return None
        # Sorted by time first: then the window is a slice, and few rows need sorting by the other columns.
        order = sorted(range(len(rows)), key=stamps.__getitem__)
        rows, stamps = [rows[at] for at in order], [stamps[at] for at in order]
        sent = zip(*map(astuple, rows), strict=True)
        columns: Columns = dict(zip(kind.__struct_fields__, sent, strict=True))
        columns["extra"] = _extras(kind.others, [columns.pop(f"other_{number}") for number in range(len(kind.others))])
        columns["datetime"] = alike_text_array(_STAMP, stamps).cast(_UTC_MICROSECONDS)
    except (ValueError, TypeError):  # Arrow's errors are ValueErrors
        return None
    return columns, stamps


def _stamps(sent: list[Any]) -> list[str] | None:
    """Return the instants in the form of ``schema.stamp_of``; Arrow finds the remaining faults.

    Raises:
        TypeError: an instant is not a text.
    """
    lengths = set(map(len, sent))
    if len(lengths) > 1:
        return _in_parts(sent)
    (length,) = lengths
    if not 20 <= length <= 30 or length == 21 or min(sent) < "0001":
        return None
    # Digits beyond microseconds are cut off, as the models do.
    beyond = "".join(text[26:-1] for text in sent) if length > 27 else ""
    if beyond and not (beyond.isascii() and beyond.isdigit()):
        return None
    # Arrow would also take a space for the T, and other zones. All texts are checked at once, place by place.
    whole, count = "".join(sent), len(sent)
    if whole[10::length] != "T" * count or whole[length - 1 :: length] != "Z" * count or whole.count("Z") != count:
        return None
    point, zeros, end = ("" if length > 20 else "."), "0" * min(27 - length, 6), min(length - 1, 26)
    return [f"{text[:end]}{point}{zeros}Z" for text in sent]


def _in_parts(sent: list[Any]) -> list[str] | None:
    """Do the same for instants of different lengths."""
    stamps = []
    for text in sent:
        one = _stamps([text])
        if one is None:
            return None
        stamps += one
    return stamps


def _extras(names: tuple[str, ...], columns: list[tuple[Raw, ...]]) -> list[str | None]:
    """Return ``extra`` of each row.

    Raises:
        ValueError: a field is not JSON.
        TypeError: the models would repair or refuse a field.
    """
    extras, last, extra = [], None, None
    for parts in zip(*columns, strict=True):
        if parts != last:
            last, extra = parts, _extra(names, tuple(map(bytes, parts)))
        extras.append(extra)
    return extras


@lru_cache(_KNOWN)
def _extra(names: tuple[str, ...], parts: tuple[bytes, ...]) -> str | None:
    extra = {name: decode(part) for name, part in zip(names, parts, strict=True) if part}
    for name, kind in _OBJECTS:
        value = extra.get(name, extra)
        if value is None:
            del extra[name]
        elif value is not extra and (type(value) is not kind or (kind is list and set(map(type, value)) - {dict})):
            raise TypeError
    return encode_sorted(extra) if extra else None


def _identities(columns: Columns, stamps: list[str], by: KeyBy) -> list[bytes]:
    """Return the identities of the rows, see ``schema.identity_of``."""
    return identities_of(
        columns["event_id"],
        columns["list_id"],
        [xxh or profile for xxh, profile in zip(columns["xxh"], columns["profile_id"], strict=True)],
        columns["action"],
        stamps,
        columns["message_id"],
        columns["campaign_id"],
        columns["smid"],
        by=by,
    )
