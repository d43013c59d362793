"""What goes into a file comes out of it, and takes little memory on its way."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider.altcraft.schema import COLUMNS, SCHEMA
from airflow_provider.altcraft.targets.object_storage.format import _BLOCK_BYTES, Encoder
from airflow_provider.altcraft.targets.object_storage.path import SUFFIXES
from tests.batches import make_batch

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "",
        '"',
        '""',
        "\n",
        "\r\n",
        "\r",
        ",",
        "null",
        "NULL",
        "NaN",
        "\\N",
        "\\",
        "\x00",
        "\u2028",
        "\x85",
        " a ",
        "=1+1",
        "😀",
    ]
)
INT = st.integers(-(2**63), 2**63 - 1)
INSTANT = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), timezones=st.just(dt.UTC))  # noqa: DTZ001


def _values(field: pa.Field) -> st.SearchStrategy:
    of = TEXT if field.type == pa.string() else INT if field.type == pa.int64() else INSTANT
    return st.none() | of if field.nullable else of


ROWS = st.lists(st.fixed_dictionaries({field.name: _values(field) for field in SCHEMA}), max_size=8)


def encode(suffix: str, *batches: pa.RecordBatch) -> bytes:
    out = io.BytesIO()
    encoder = Encoder(suffix, out.write)
    for each in batches:
        encoder.write(each)
    assert encoder.finish() == out.tell()
    return out.getvalue()


def decode(suffix: str, data: bytes) -> pa.Table:
    if suffix.endswith(".gz"):
        data = gzip.decompress(data)
    elif suffix.endswith(".zst"):
        data = pa.CompressedInputStream(io.BytesIO(data), "zstd").read()
    if ".parquet" in suffix:
        return pq.read_table(io.BytesIO(data))
    if ".csv" in suffix:
        return pa_csv.read_csv(
            io.BytesIO(data),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    assert not data or data.endswith(b"\n")
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    for row in rows:
        assert tuple(row) == COLUMNS
        row["datetime"] = dt.datetime.fromisoformat(row["datetime"])
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS)
def test_any_value_reads_back_equal(suffix, rows):
    table = decode(suffix, encode(suffix, pa.RecordBatch.from_pylist(rows, schema=SCHEMA)))
    assert table.schema.names == SCHEMA.names
    assert table.to_pylist() == rows


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_rows_still_make_a_file_with_the_schema(suffix, batch):
    for data in (encode(suffix), encode(suffix, batch(0))):
        table = decode(suffix, data)
        assert table.num_rows == 0
        if "json" not in suffix:
            assert table.cast(SCHEMA).schema.equals(SCHEMA)
        if suffix == ".parquet":
            assert table.schema.equals(SCHEMA)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_rows_make_the_same_bytes_however_they_are_cut(suffix, batch):
    rows = batch(23_456)
    whole = encode(suffix, rows)
    assert whole == encode(suffix, rows)
    assert whole == encode(suffix, *(rows.slice(at, 7) for at in range(0, rows.num_rows, 7)))
    assert whole == encode(suffix, rows.slice(0, 10_001), rows.slice(10_001))
    assert decode(suffix, whole).cast(SCHEMA).equals(pa.Table.from_batches([rows]))


def test_gzip_tells_neither_time_nor_name(batch):
    data = encode(".jsonl.gz", batch(1))
    assert data[:4] == b"\x1f\x8b\x08\x00"  # no flags, so no name
    assert data[4:8] == bytes(4)


def test_row_groups_are_of_one_size_whatever_the_batches(batch):
    rows = batch(1_000)
    data = encode(".parquet", *[rows.slice(at % 1_000, 100) for at in range(0, 250_000, 100)])
    meta = pq.read_metadata(io.BytesIO(data))
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [20_000] * 12 + [10_000]
    assert meta.row_group(0).column(0).compression == "ZSTD"


def test_huge_rows_close_a_row_group_early(batch):
    rows = batch(1_000, extra=json.dumps("x" * 50_000))
    assert rows.nbytes * 2 > _BLOCK_BYTES > rows.nbytes
    meta = pq.read_metadata(io.BytesIO(encode(".parquet", *[rows] * 4)))
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [2_000, 2_000]


def test_times_are_iso_8601_in_utc(batch):
    rows = batch(1, datetime=dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.timezone(dt.timedelta(hours=3))))
    assert json.loads(encode(".jsonl", rows))["datetime"] == "2024-05-06T04:08:09.000000Z"
    assert next(csv.DictReader(io.StringIO(encode(".csv", rows).decode())))["datetime"] == "2024-05-06T04:08:09.000000Z"


def test_csv_tells_null_from_an_empty_string(batch):
    head, line = encode(".csv", batch(1, email="", xxh=None)).decode().splitlines()
    assert head == ",".join(f'"{name}"' for name in COLUMNS)
    assert line.startswith('1,,,"","open",,1,')


def test_a_foreign_batch_is_refused():
    encoder = Encoder(".csv", bytes)
    with pytest.raises(ValueError, match=r"schema[\s\S]*surprise: int64"):
        encoder.write(pa.RecordBatch.from_pydict({"surprise": [1]}))


def test_what_is_dropped_stays_silent(batch):
    for suffix in SUFFIXES:
        out: list[bytes] = []
        encoder = Encoder(suffix, out.append)
        encoder.write(batch(1))
        encoder.drop()
        before = len(out)
        del encoder
        assert len(out) == before


def test_an_error_of_the_store_comes_through_as_it_is(batch):
    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    for suffix in SUFFIXES:
        with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - any of the steps may be the first to write
            encoder = Encoder(suffix, full)
            encoder.write(batch(1))
            encoder.finish()
        if "encoder" in locals():
            encoder.drop()


PEAK = """
import sys
from airflow_provider.altcraft.targets.object_storage.format import Encoder
from airflow_provider.altcraft.testing.conformance.killing import peak
sys.path.insert(0, sys.argv[3])
from tests.batches import make_batch
rows, size = make_batch(10_000), 0
def count(data):
    global size
    size += len(data)
encoder = Encoder(sys.argv[1], count)
for at in range(0, int(sys.argv[2]), 50):
    encoder.write(rows.slice(at % 10_000, 50))
encoder.finish()
print(peak() >> 20, size >> 20)
"""


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv.gz"])
def test_memory_does_not_grow_with_the_rows(suffix, pytestconfig):
    def peak(rows: int) -> int:
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, suffix, str(rows), str(pytestconfig.rootpath)],
            capture_output=True,
            text=True,
            check=True,
        )
        return int(ran.stdout.split()[0])

    assert peak(750_000) - peak(250_000) < 40


def test_parquet_is_what_pyarrows_own_writer_makes() -> None:
    """The writer beneath it is no part of pyarrow's documented API: it may change, or its defaults may."""
    table = pa.Table.from_batches([make_batch(1_000)])
    written, expected = io.BytesIO(), io.BytesIO()
    encoder = Encoder(".parquet", written.write)
    for batch in table.to_batches():
        encoder.write(batch)
    encoder.finish()
    with pq.ParquetWriter(expected, SCHEMA, compression="zstd") as writer:
        writer.write_table(table)
    assert written.getvalue() == expected.getvalue()
