"""A disk that is full amid a write: what was there stays, the error says which folder; with room a rerun is right."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, read_manifest
from airflow_provider.altcraft.window import Window

SCOPE = Scope(1, None, Window.of("2024-01-01", "2024-01-02"))
SHAPES = {"object": "a.parquet", "days": "date={date}/a.parquet", "parts": "parts/"}
DAY = 86_400


@pytest.fixture
def small(tmp_path):
    """A folder on a disk of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def put(target, batches):
    """Write a pull as an operator does."""
    writer = target.open(SCOPE)
    try:
        for each in batches:
            writer.write(each)
        writer.commit()
    except BaseException:
        writer.abort()
        raise


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
    target = ObjectStorageTarget(f"{small}/{SHAPES[shape]}")
    old, new = ([batch(100, start=day * DAY, email=email) for day in (0, 1)] for email in ("old", "new"))
    put(target, old)
    ballast = small / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, os.statvfs(small).f_bavail * os.statvfs(small).f_frsize - (8 << 10))
    with pytest.raises(OSError, match=rf"No space left in {small}\S*: 0\.\d of 1\.0 MiB are free") as full:
        put(target, [batch(20_000, email="new"), batch(20_000, start=DAY, email="new")])
    assert full.value.errno == 28
    assert rows_of(small, shape).equals(pa.Table.from_batches(old))
    assert unseen(small) == []
    ballast.unlink()
    put(target, new)
    assert rows_of(small, shape).equals(pa.Table.from_batches(new))
    assert unseen(small) == []


def test_the_disk_of_temporary_files(small, tmp_path, batch, monkeypatch):
    """Days are put aside there first."""
    monkeypatch.setattr("tempfile.tempdir", str(small))
    target = ObjectStorageTarget(f"{tmp_path}/lake/{{date}}/a.parquet")
    put(target, [batch(10)])
    with pytest.raises(OSError, match=rf"No space left in {small}: 0\.\d of 1\.0 MiB are free"):
        put(target, [batch(60_000)])
    assert rows_of(tmp_path / "lake", "days").num_rows == 10
    assert unseen(tmp_path) == []
