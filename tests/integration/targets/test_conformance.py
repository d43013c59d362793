"""Every target over its real store, by the suite that users run on their own."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import ObjectStorageTarget
from airflow_provider.altcraft.testing.conformance import TargetConformance


def decode(name: str, data: bytes) -> pa.Table:
    """Rows of an object, by its suffix, read with no code that is under test."""
    if name.endswith(".gz"):
        name, data = name.removesuffix(".gz"), gzip.decompress(data)
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(data))
    if name.endswith(".csv"):
        return pa_csv.read_csv(
            io.BytesIO(data),
            read_options=pa_csv.ReadOptions(block_size=64 << 20),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=SCHEMA, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    rows = [json.loads(line) for line in data.split(b"\n")[:-1]]
    columns = {
        field.name: pa.array([row[field.name] for row in rows], pa.string()).cast(field.type)
        if pa.types.is_timestamp(field.type)
        else pa.array([row[field.name] for row in rows], field.type)
        for field in SCHEMA
    }
    return pa.table(columns, SCHEMA)


class Local(TargetConformance):
    @pytest.fixture
    def target(self, tmp_path, suffix):
        self.place = tmp_path / "lake" / f"history{suffix}"
        return ObjectStorageTarget(str(self.place))

    def read(self, target):
        return decode(self.place.name, self.place.read_bytes()) if self.place.exists() else []

    def leftovers(self, target):
        return [path.name for path in self.place.parent.iterdir() if path != self.place]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv.gz"])
class TestLocal(Local):
    pass


class TestS3(TargetConformance):
    @pytest.fixture
    def target(self, s3, request):
        self.s3, self.key = s3, f"conformance/{request.node.name}/history.parquet"
        return ObjectStorageTarget(s3.uri(self.key))

    def read(self, target):
        try:
            return decode(self.key, self.s3.read(self.key))
        except KeyError:
            return []
