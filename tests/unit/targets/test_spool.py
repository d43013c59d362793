"""What is put aside comes back whole, in order, by key."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets._spool import Spool


def read(spool, key=None):
    return pa.Table.from_batches(spool.read(key), SCHEMA)


@pytest.mark.parametrize("held", [1, 50, 10_000])
def test_by_key_and_in_order(batch, held):
    chance, expected = random.Random(1), {"a": [], "b": [], None: []}
    with Spool(held) as spool:
        for start in range(0, 1000, 20):
            key = chance.choice(list(expected))
            expected[key].append(batch(20, start))
            spool.add(expected[key][-1], key)
        assert spool.rows == 1000
        for _ in range(2):  # it may be read again
            for key, batches in expected.items():
                assert read(spool, key).equals(pa.Table.from_batches(batches, SCHEMA))
        spool.add(batch(3, 5000), "a")
        assert read(spool, "a").num_rows == sum(each.num_rows for each in expected["a"]) + 3


def test_large_rows_are_not_held(batch):
    large = batch(100, extra=json.dumps("x" * 100_000))
    with Spool() as spool:
        before = pa.total_allocated_bytes()
        for _ in range(20):
            spool.add(large.take(pa.array(range(100))))  # a copy, of 10 MB
        assert pa.total_allocated_bytes() - before < 100 << 20
        assert read(spool).num_rows == 2000


def test_nothing(batch):
    with Spool() as spool:
        spool.add(batch(0))
        assert (spool.rows, list(spool.read()), list(spool.read("never"))) == (0, [], [])


def test_it_leaves_no_file(batch, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool()
    spool.add(batch(10))
    assert read(spool).num_rows == 10
    assert list(tmp_path.iterdir()) == []
    spool.close()
