"""A disk that is full during a write: what was there stays, the error says which folder; with room a rerun is right."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, read_manifest
from airflow_provider.altcraft.testing.conformance import writing
from airflow_provider.altcraft.testing.conformance.pulls import Pull
from airflow_provider.altcraft.window import Window

SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
SHAPES = {"object": "a.parquet", "days": "date={date}/a.parquet", "parts": "parts/"}
DAY = 86_400


def put(target, batches):
    writing.put(target, Pull(SCOPE, tuple(batches)))


def rows_of(folder: Path, shape: str) -> pa.Table:
    """All rows that a reader sees, by time."""
    if shape == "parts":
        paths = [folder / "parts" / part.name for part in read_manifest(f"{folder}/parts/").parts]
    else:
        paths = sorted(folder.rglob("a.parquet"))
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in paths)


def unseen(folder: Path) -> list[str]:
    """Files that no reader is to see."""
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if name.startswith((".", "_")) and name != "_manifest.json"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_local_disk(small, shape, batch):
    folder = small.path
    target = ObjectStorageTarget(f"{folder}/{SHAPES[shape]}")
    old, new = ([batch(100, start=day * DAY, email=email) for day in (0, 1)] for email in ("old", "new"))
    put(target, old)
    small.fill()
    with pytest.raises(OSError, match=rf"No space left in {folder}\S*: 0\.\d of 16\.0 MiB are free") as full:
        put(target, [batch(20_000, email="new"), batch(20_000, start=DAY, email="new")])
    assert full.value.errno == 28
    assert rows_of(folder, shape).equals(pa.Table.from_batches(old))
    assert unseen(folder) == []
    small.free()
    put(target, new)
    assert rows_of(folder, shape).equals(pa.Table.from_batches(new))
    assert unseen(folder) == []


def test_the_disk_of_temporary_files(small, tmp_path, batch, monkeypatch):
    """Days are put aside there first."""
    monkeypatch.setattr("tempfile.tempdir", str(small.path))
    small.fill()
    target = ObjectStorageTarget(f"{tmp_path}/lake/{{date}}/a.parquet")
    put(target, [batch(10)])
    with pytest.raises(OSError, match=rf"No space left in {small.path}: 0\.\d of 16\.0 MiB are free"):
        put(target, [batch(60_000)])
    assert rows_of(tmp_path / "lake", "days").num_rows == 10
    assert unseen(tmp_path) == []
