"""Arrays made from buffers are those that pyarrow makes, without pandas."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft._arrow import (
    alike_text_array,
    flag_array,
    instant_array,
    integer_array,
    text_array,
    text_arrays,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(["", "\0", "a\0", "имя"])
INTEGER = st.integers(-(2**63), 2**63 - 1)


def check(made: pa.Array, column: list[object], kind: pa.DataType) -> None:
    expected = pa.array(column, kind)
    made.validate(full=True)
    assert made.type == kind
    assert made.equals(expected)
    assert made.null_count == expected.null_count


@given(
    st.integers(0, 20).flatmap(
        lambda rows: st.lists(st.lists(st.none() | TEXT, min_size=rows, max_size=rows), min_size=1)
    )
)
def test_texts(columns: list[list[str | None]]) -> None:
    for made, column in zip(text_arrays(columns), columns, strict=True):
        check(made, column, pa.string())
    for made, column in zip(text_arrays([tuple(column) for column in columns]), columns, strict=True):
        check(made, column, pa.string())


def test_texts_stay_the_same_in_arrows_own_files() -> None:
    """pyarrow before 21 writes other values where an array that is no slice begins within its bytes."""
    columns: list[list[str | None]] = [[f"{letter * 100}{row}" for row in range(3)] for letter in "abc"]
    columns[1][1] = None
    batch = pa.RecordBatch.from_arrays(text_arrays(columns), names=["a", "b", "c"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    found = pa.ipc.open_stream(sink.getvalue()).read_next_batch()
    assert [column.to_pylist() for column in found.columns] == columns


@given(st.sampled_from([None, "", "a", "имя"]), st.integers(0, 20))
def test_one_text_in_all_rows(text: str | None, rows: int) -> None:
    check(text_array([text] * rows), [text] * rows, pa.string())


@given(st.lists(st.none() | INTEGER) | st.lists(st.sampled_from([None, 7])))
def test_integers(column: list[int | None]) -> None:
    check(integer_array(column), column, pa.int64())


@given(st.lists(st.booleans()))
def test_flags(column: list[bool]) -> None:
    check(flag_array(column), column, pa.bool_())


@given(st.lists(st.datetimes(timezones=st.timezones())))
def test_instants(column: list[dt.datetime]) -> None:
    check(instant_array(column), column, pa.timestamp("us", tz="UTC"))


@given(st.lists(st.text("abc", min_size=3, max_size=3)))
def test_texts_of_one_length(column: list[str]) -> None:
    check(alike_text_array(3, column), column, pa.string())


@pytest.mark.parametrize(
    ("make", "column", "error"),
    [
        (text_array, ["a", 1], TypeError),
        (text_array, ["a", None, 1], TypeError),
        (text_array, ["\ud800", "a"], UnicodeEncodeError),
        (integer_array, ["a", 1], TypeError),
        (integer_array, [1.5, 1], TypeError),
        (integer_array, [2**63, 1], OverflowError),
        (lambda column: alike_text_array(1, column), ["я"], UnicodeEncodeError),
    ],
)
def test_what_fits_no_array_is_refused(make, column, error) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error):
        make(column)


def test_pandas_stays_where_it_is() -> None:
    code = """
import sys
from airflow_provider.altcraft import _arrow, schema
import datetime as dt
_arrow.text_arrays([["a", None, "\\0"], ["b"] * 3]), _arrow.integer_array([1, None]), _arrow.flag_array([True])
_arrow.instant_array([dt.datetime.now(dt.UTC)]), _arrow.text_scalar("a"), schema.empty_batch()
print("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
