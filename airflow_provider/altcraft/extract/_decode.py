"""An answer's rows into an Arrow batch without an object for each: what ``HistoryEvent`` and ``schema`` make of them.

Only rows of the shapes that the platform is known to send are taken. Whatever else the models put right or refuse is
left to them, so that both ways give the same rows and the same errors.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_left
from functools import cache
from json.encoder import encode_basestring_ascii as quoted
from operator import eq, itemgetter
from types import NoneType
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module

from airflow_provider.altcraft.client._actions import CHANNELS
from airflow_provider.altcraft.schema import SCHEMA, batch_of, json_of, keys_of
from airflow_provider.altcraft.window import Window

_TEXTS = ("xxh", "profile_id", "email", "action", "channel", "message_name", "campaign_name", "smid", "event_id")
_NUMBERS = ("list_id", "message_id", "campaign_id")
_PLAIN = (*_TEXTS, *_NUMBERS, "count", "datetime")
_KNOWN = frozenset(_PLAIN)
_OBJECTS = (("subscription", dict), ("subscriptions", list))
_OPTIONAL_NUMBER = {int, NoneType}
_plain = itemgetter(*_PLAIN)
_instant = itemgetter("datetime")
_TYPES = [(field.name, field.type) for field in SCHEMA]
_MICROSECONDS = pa.timestamp("us")
_UTC_MICROSECONDS = SCHEMA.field("datetime").type

Columns = dict[str, Any]


def fast_batch(rows: list[Any], window: Window, *, list_id: int, matching: str, lookup: str) -> pa.RecordBatch | None:
    """The rows within the window as ``schema.batch_of_events`` gives them, or ``None`` where the models have to look.

    Args:
        rows: the rows of an answer.
        window: which are wanted.
        list_id: the database that was asked, for rows that do not name theirs.
        matching: by which mode the profile was looked up.
        lookup: the value it was looked up by.
    """
    if not rows or set(map(type, rows)) != {dict}:
        return None
    try:
        stamps = _stamps(list(map(_instant, rows)))
        if stamps is None:
            return None
        # By time first, so that the window is a slice and order is seldom still to be made.
        order = sorted(range(len(rows)), key=stamps.__getitem__)
        rows, stamps = [rows[at] for at in order], [stamps[at] for at in order]
        columns, whole = _columns(rows)
        extras = _extras(rows, whole)
        if extras is None:
            return None
        channels = columns["channel"]
        columns["channel"] = [
            channel or CHANNELS.get(action) for channel, action in zip(channels, columns["action"], strict=True)
        ]
        columns["list_id"] = [list_id if value is None else value for value in columns["list_id"]]
        columns["extra"] = extras
        del columns["datetime"]
        arrays = {name: pa.array(columns[name], kind) for name, kind in _TYPES if name in columns}
        arrays |= {"matching": pa.repeat(matching, len(rows)), "lookup": pa.repeat(lookup, len(rows))}
        arrays["datetime"] = pa.array(stamps).cast(_MICROSECONDS).cast(_UTC_MICROSECONDS)
    except (KeyError, TypeError, pa.ArrowException, OverflowError):  # no such row is known
        return None
    first = 0 if window.start is None else bisect_left(stamps, _spelled(window.start))
    end = len(rows) if window.end is None else bisect_left(stamps, _spelled(window.end))
    identities = _identities(columns, stamps, first, end)
    if end - first < len(rows):
        arrays = {name: array[first:end] for name, array in arrays.items()}
    if any(map(eq, stamps[first:end], stamps[first + 1 : end])):
        ranks = list(
            zip(
                stamps[first:end],
                identities,
                [extra or "" for extra in extras[first:end]],
                columns["count"][first:end],
                strict=True,
            )
        )
        in_order = sorted(range(len(ranks)), key=ranks.__getitem__)
        arrays = {name: array.take(pa.array(in_order, pa.int64())) for name, array in arrays.items()}
        identities = [identities[at] for at in in_order]
    arrays["event_key"] = pa.array(keys_of(identities), pa.string())
    return batch_of(arrays)


def _columns(rows: list[dict[str, Any]]) -> tuple[Columns, bool]:
    """The plain columns as they were sent, and whether each row has all of them.

    Raises:
        KeyError: a row lacks what each must have.
        TypeError: a number is none.
    """
    try:
        columns: Columns = dict(zip(_PLAIN, zip(*map(_plain, rows), strict=True), strict=True))
        whole = True
    except KeyError:
        columns = {name: [row.get(name) for row in rows] for name in _PLAIN}
        columns["count"] = [row.get("count", 1) for row in rows]
        columns["action"] = [row["action"] for row in rows]
        if any("db_id" in row for row in rows):
            columns["list_id"] = [row["db_id"] if "db_id" in row else row.get("list_id") for row in rows]
        whole = False
    # Arrow refuses what is of another type, but takes a whole fraction for a number, and null for whatever it is given.
    if any(not set(map(type, columns[name])) <= _OPTIONAL_NUMBER for name in _NUMBERS):
        raise TypeError
    if set(map(type, columns["count"])) != {int} or None in columns["action"]:
        raise TypeError
    return columns, whole


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


def _extras(rows: list[dict[str, Any]], whole: bool) -> list[str | None] | None:
    """``extra`` of each row, or ``None`` where one holds what the models put right or refuse."""
    extras: list[str | None] = []
    for row in rows:
        more = len(row) - len(_PLAIN) if whole else -1
        if more == 0:
            extras.append(None)
            continue
        if more == 2 and "subscription" in row and "subscriptions" in row:
            extra = {"subscription": row["subscription"], "subscriptions": row["subscriptions"]}
        else:
            extra = {name: row[name] for name in row.keys() - _KNOWN}
            if "db_id" in extra:
                if "list_id" in row:
                    return None
                del extra["db_id"]
        for name, kind in _OBJECTS:
            value = extra.get(name, extra)
            if value is None:
                del extra[name]
            elif value is not extra and (type(value) is not kind or (kind is list and not _all_objects(value))):
                return None
        extras.append(json_of(extra) if extra else None)
    return extras


def _all_objects(values: Any) -> bool:
    return set(map(type, values)) <= {dict}


def _identities(columns: Columns, stamps: list[str], first: int, end: int) -> list[str]:
    """What ``schema.identity_of`` makes of these rows."""
    whose = [xxh or profile for xxh, profile in zip(columns["xxh"], columns["profile_id"], strict=True)]
    return [
        f'[{event}, {base}, {who}, {quoted(action)}, "{stamp}+00:00", {message}, {campaign}, {smid}]'
        for event, base, who, action, stamp, message, campaign, smid in zip(
            _texts(columns["event_id"][first:end]),
            columns["list_id"][first:end],
            _texts(whose[first:end]),
            columns["action"][first:end],
            stamps[first:end],
            _numbers(columns["message_id"][first:end]),
            _numbers(columns["campaign_id"][first:end]),
            _texts(columns["smid"][first:end]),
            strict=True,
        )
    ]


def _texts(texts: Any) -> list[str]:
    return ["null" if text is None else quoted(text) for text in texts]


def _numbers(numbers: Any) -> list[Any]:
    return ["null" if number is None else number for number in numbers]
