"""Arrow arrays of Python values, made from buffers: ``pyarrow.array`` and ``pyarrow.scalar`` import pandas.

Where pandas is installed, their first call imports it to see whether the values are its own, at the cost of 0.4 s and
50 MB in every task. So does whatever is given a Python value as an argument, such as ``pyarrow.compute.equal(a, 1)``.
"""

from __future__ import annotations

import datetime as dt
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, TypeAlias

import pyarrow as pa  # noqa: TID253 - what imports this module moves Arrow batches
import pyarrow.compute as pc  # noqa: TID253 - likewise

Texts: TypeAlias = Sequence[str | None]

_TEXT = pa.string()
_INTEGER = pa.int64()
_INSTANT = pa.timestamp("us", tz="UTC")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_END = "\0"
_AT_END = pc.SplitPatternOptions(_END)


def text_arrays(columns: Sequence[Texts]) -> list[pa.Array[Any]]:
    """Return Arrow arrays of columns of texts, all as long as the first.

    Raises:
        TypeError: a value is neither a text nor ``None``.
        UnicodeEncodeError: half a surrogate pair.
    """
    rows = len(columns[0])
    if not rows:
        return [pa.nulls(0, _TEXT) for _ in columns]
    # Joined into one text that Arrow splits: Python has no cheaper way to get the length of each in bytes.
    given = [column[:1] if _is_constant(column) else column for column in columns]
    signs, joined = zip(*map(_joined, given), strict=True)
    ends, data = _split(joined, given)
    bits = _bits_of("".join(signs)) if any("0" in each for each in signs) else None
    # Slices of one array: pyarrow before 21 writes other values to its own files where the first text of an array that
    # is no slice does not begin at the first byte.
    whole: Any = pa.Array.from_buffers(_TEXT, sum(map(len, given)), [bits, ends, data], -1 if bits else 0)
    arrays: list[pa.Array[Any]] = []
    at = 0
    for column in given:
        found: Any = whole.slice(at, len(column))
        arrays.append(found if len(column) == rows else pa.repeat(found[0], rows))
        at += len(column)
    return arrays


def text_array(column: Texts) -> pa.Array[Any]:
    """Return an Arrow array of texts."""
    return text_arrays([column])[0]


def alike_text_array(length: int, texts: Sequence[str]) -> pa.Array[Any]:
    """Return an Arrow array of ASCII texts of equal length, at half the cost of ``text_array``."""
    data = pa.py_buffer("".join(texts).encode("ascii"))
    return pa.Array.from_buffers(_TEXT, len(texts), [None, _even_ends(length, len(texts)), data], 0)


@lru_cache
def text_scalar(text: str) -> pa.StringScalar:
    scalar: pa.StringScalar = text_array([text])[0]
    return scalar


def integer_array(column: Sequence[int | None], kind: pa.DataType = _INTEGER) -> pa.Array[Any]:
    """Return an Arrow array of whole numbers, or of instants given in microseconds.

    Raises:
        OverflowError: a number of more than 64 bits.
        TypeError: a value is neither a number nor ``None``.
    """
    rows = len(column)
    if rows > 1 and _is_constant(column):
        one: Any = integer_array(column[:1], kind)[0]
        return pa.repeat(one, rows)  # type: ignore[no-any-return]
    bits = None
    numbers: array[int]
    try:
        numbers = array("q", column)  # type: ignore[arg-type]
    except TypeError:
        bits = _bits(column)
        numbers = array("q", [0 if value is None else value for value in column])
    return pa.Array.from_buffers(kind, rows, [bits, pa.py_buffer(numbers)], 0 if bits is None else -1)


def instant_array(column: Sequence[dt.datetime]) -> pa.Array[Any]:
    """Return an Arrow array of instants, in microseconds of UTC."""
    return integer_array([(instant - _EPOCH) // _MICROSECOND for instant in column], _INSTANT)


def instant_of(instant: Any) -> dt.datetime:
    """Return the value of an instant scalar without ``as_py``, which imports pandas."""
    microseconds: int = instant.value
    return _EPOCH + microseconds * _MICROSECOND


def between(instants: Any, start: dt.datetime | None, end: dt.datetime | None) -> Any:
    """Mark the instants from the start to before the end; ``None`` is no bound."""
    compute: Any = pc
    inside: Any = pa.repeat(flag_array([True])[0], len(instants))
    if start is not None:
        inside = compute.and_(inside, compute.greater_equal(instants, instant_array([start])[0]))
    if end is not None:
        inside = compute.and_(inside, compute.less(instants, instant_array([end])[0]))
    return inside


def flag_array(column: Sequence[bool]) -> pa.Array[Any]:
    return pa.Array.from_buffers(pa.bool_(), len(column), [None, _bits([flag or None for flag in column])], 0)


@lru_cache
def _even_ends(length: int, count: int) -> pa.Buffer:
    return pa.py_buffer(array("i", range(0, length * count + 1, length)))


def _is_constant(column: Sequence[Any]) -> bool:
    return bool(column) and column[0] == column[-1] and column.count(column[0]) == len(column)


def _joined(column: Texts) -> tuple[str, str]:
    """Return a text with ``1`` for each value and ``0`` for ``None``, and all values joined."""
    try:
        return "1" * len(column), _END.join(column)  # type: ignore[arg-type]
    except TypeError:
        return _signs(column), _END.join(["" if value is None else value for value in column])


def _signs(column: Sequence[Any]) -> str:
    return "".join(["0" if value is None else "1" for value in column])


def _bits(column: Sequence[Any]) -> pa.Buffer:
    """Return a bitmap of the values that are not ``None``."""
    return _bits_of(_signs(column))


def _bits_of(signs: str) -> pa.Buffer:
    return pa.py_buffer(int(signs[::-1] or "0", 2).to_bytes((len(signs) + 7) // 8, "little"))


def _split(joined: Sequence[str], columns: Sequence[Texts]) -> tuple[pa.Buffer, pa.Buffer]:
    """Return the offsets of the texts, and their bytes."""
    count, whole = sum(map(len, columns)), _END.join(joined)
    if whole.count(_END) == count - 1:
        data = whole.encode()
        ends = pa.py_buffer(array("i", (0, len(data))))
        one: Any = pa.Array.from_buffers(_TEXT, 1, [None, ends, pa.py_buffer(data)], 0)
        texts: Any = pc.call_function("split_pattern", [one], _AT_END)
        _, ends, data = texts.values.buffers()
        return ends, data
    texts = [(text or "").encode() for text in chain.from_iterable(columns)]  # some texts hold the separator
    return pa.py_buffer(array("i", accumulate(map(len, texts), initial=0))), pa.py_buffer(b"".join(texts))
