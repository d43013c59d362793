"""The file next to an object that lists the profiles a pull passed over, on real stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, SupportsFailureReport
from airflow_provider.altcraft.targets.object_storage.stores.local import StagedFile

if TYPE_CHECKING:
    from tests.integration.conftest import S3

FAILED = [{"lookup": {"matching": "email", "email": "ж@example.com"}, "error": "no"}]
SCOPE = Scope(1, None)


def test_local(tmp_path: Path) -> None:
    target = ObjectStorageTarget(str(tmp_path / "a.csv"))
    for failed, names in ((FAILED, ["a.csv", "a.csv.failed.jsonl"]), ((), ["a.csv"]), ((), ["a.csv"])):
        writer = target.open(SCOPE)
        assert isinstance(writer, SupportsFailureReport)
        uri = writer.keep_failures(failed)
        writer.commit()
        assert sorted(path.name for path in tmp_path.iterdir()) == names
        assert uri == (f"file://{tmp_path}/a.csv.failed.jsonl" if failed else None)
        if failed:
            assert [json.loads(line) for line in (tmp_path / names[1]).read_text().splitlines()] == FAILED


def test_s3(s3: S3) -> None:
    target = ObjectStorageTarget(s3.uri("failures/a.csv"))
    for failed, keys in ((FAILED, ["failures/a.csv", "failures/a.csv.failed.jsonl"]), ((), ["failures/a.csv"])):
        writer = target.open(SCOPE)
        assert writer.keep_failures(failed) == (s3.uri("failures/a.csv.failed.jsonl") if failed else None)
        writer.commit()
        assert s3.keys("failures/") == keys
        if failed:
            assert json.loads(s3.read(keys[1])) == FAILED[0]


def test_what_cannot_be_listed_ends_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: StagedFile) -> None:
        raise OSError(28, "No space left on device")

    writer = ObjectStorageTarget(str(tmp_path / "a.csv")).open(SCOPE)
    monkeypatch.setattr(StagedFile, "commit", full)
    with pytest.raises(OSError, match="No space"):
        writer.keep_failures(FAILED)
    assert list(tmp_path.iterdir()) == []
