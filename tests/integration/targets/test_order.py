"""Of two pulls of the same the one that began later stays, whichever commits last."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401 - Airflow sets up its logging now

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, Target, TargetWriter, read_manifest
from airflow_provider.altcraft.window import Window
from tests.batches import make_batch

if TYPE_CHECKING:
    from tests.integration.conftest import Store

DAYS = [dt.date(2026, 1, number) for number in range(1, 6)]
SAYS = "a pull of the same that began later"
ANN = [("email", "ann@example.com")]


class Folder:
    """A folder on the local disk, as a store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def uri(self, key: str) -> str:
        return str(self.path / key) + ("/" if key.endswith("/") else "")

    def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    def keys(self, prefix: str = "") -> list[str]:
        return [str(path.relative_to(self.path)) for path in self.path.rglob("*") if path.is_file()]


@pytest.fixture(params=["disk", "s3", "gcs", "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return Folder(tmp_path) if request.param == "disk" else request.getfixturevalue(request.param)


def begin(target: Target, first: int, last: int, *, lookups: Any = None, list_id: int = 1) -> TargetWriter:
    return target.open(Scope(list_id, lookups, Window.of(DAYS[first], DAYS[last])))


def end(writer: TargetWriter, name: str, *days: int) -> Any:
    for day in days:
        at = dt.datetime.combine(DAYS[day], dt.time(12), dt.UTC)
        writer.write(make_batch(1, email=f"{name}@example.com", datetime=at))
    return writer.commit()


def names(data: bytes) -> list[str]:
    return [json.loads(line)["email"].partition("@")[0] for line in data.splitlines()]


def test_days(store: Store, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    """A slow backfill of a day, and the run of the next day that looks back, both in the middle."""
    folder = f"{request.node.callspec.id}-days"
    target = ObjectStorageTarget(store.uri(f"{folder}/{{date}}.jsonl"))
    backfill, scheduled = begin(target, 0, 2), begin(target, 1, 3)
    end(scheduled, "later", 1, 2, 3)
    written = end(backfill, "earlier", 0, 1, 2)
    found = {key.rpartition("/")[2][:10]: names(store.read(key)) for key in store.keys(f"{folder}/")}
    assert found == {str(day): [who] for day, who in zip(DAYS, ["earlier", *["later"] * 3], strict=False)}
    assert (written.rows, len(written.uris)) == (1, 3)
    assert caplog.text.count(SAYS) == 2
    end(begin(target, 0, 2), "again", 0, 1)
    assert names(store.read(f"{folder}/2026-01-02.jsonl")) == ["again"]
    assert names(store.read(f"{folder}/2026-01-03.jsonl")) == []


def test_one_object(store: Store, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    key = f"{request.node.callspec.id}-one/history.jsonl"
    target = ObjectStorageTarget(store.uri(key))
    earlier, later, of_ann = begin(target, 0, 0), begin(target, 0, 0), begin(target, 0, 0, lookups=ANN)
    end(later, "later", 0)
    assert end(earlier, "earlier", 0).rows == 0
    assert names(store.read(key)) == ["later"]
    assert caplog.text.count(SAYS) == 1
    # What covers something else replaces the object, as always.
    end(of_ann, "ann", 0)
    assert names(store.read(key)) == ["ann"]


def test_a_folder(store: Store, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> None:
    folder = f"{request.node.callspec.id}-parts/"
    target = ObjectStorageTarget(store.uri(folder), format="jsonl")
    earlier, later = begin(target, 0, 1), begin(target, 0, 1)
    end(later, "later", 0, 1)
    assert end(earlier, "earlier", 0).rows == 0
    manifest = read_manifest(store.uri(folder))
    assert manifest.rows == 2
    assert caplog.text.count(SAYS) == 1
    assert len(store.keys(folder)) == 2  # the part and the manifest
    end(begin(target, 0, 0), "day", 0)  # another scope
    assert read_manifest(store.uri(folder)).rows == 1


def test_parts_of_an_earlier_attempt_are_as_old_as_they_are(tmp_path: Path) -> None:
    target = ObjectStorageTarget(f"{tmp_path}/", format="jsonl", part_rows=1)
    killed: Any = begin(target, 0, 1)
    killed.resume("pull")
    killed.write(make_batch(1, datetime=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)))
    killed.checkpoint("half")
    killed.abort()
    later = begin(target, 0, 1)
    retry: Any = begin(target, 0, 1)
    assert retry.resume("pull") == "half"
    end(later, "later", 0, 1)
    assert end(retry, "earlier", 1).rows == 0
