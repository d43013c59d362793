"""Names wrong values of a column by their kind, and says how to select or write them instead."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

_NAMES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((bool,), "a truth value"),
    ((UUID,), "a UUID"),
    ((bytes, bytearray, memoryview), "bytes"),
    ((float,), "a floating-point number"),
    ((Decimal,), "a decimal number"),
    ((int,), "a whole number"),
    ((dt.datetime, dt.date, dt.time, dt.timedelta), "a date or time"),
)


def name_of(value: object) -> str:
    """Return the kind of a value in words that do not show it."""
    return next((name for types, name in _NAMES if isinstance(value, types)), type(value).__name__)


def plain(value: Any) -> Any:
    """Return the value; a whole number that a database gives as a decimal becomes an ``int``."""
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return value


def advice_of_query(value: object, column: str) -> str:
    """Return what to select instead."""
    if isinstance(value, bytes | bytearray | memoryview):
        return f"select them as text: encode({column}, 'hex') on PostgreSQL, HEX({column}) elsewhere"
    if isinstance(value, float | Decimal):
        return f"select it as a whole number: CAST({column} AS bigint), on MariaDB CAST({column} AS signed)"
    return f"select it as text: {column}::text, on MariaDB CAST({column} AS char)"


def advice_of_file(value: object, column: str) -> str:
    """Return what to write into the file instead."""
    if isinstance(value, float | Decimal):
        return f"write {column!r} as whole numbers or as text"
    return f"write {column!r} as text"
