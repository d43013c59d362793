"""Paths as arguments: pathlib's, Airflow's, and those that earlier tasks give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider.altcraft.extract.sources import FileProfiles
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget, read_manifest, resolve_target
from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.rendering import (
    rendered,
)


def test_paths_of_any_kind(tmp_path: Path) -> None:
    s3 = ObjectStoragePath("s3://lake@bucket/{{ ds }}/a.jsonl")
    for given, expected in (
        (tmp_path / "{{ ds }}.jsonl", f"{tmp_path}/day.jsonl"),
        (s3, "s3://lake@bucket/day/a.jsonl"),
    ):
        for kind in (AltcraftHistoryOperator, AltcraftDatabaseHistoryOperator):
            assert rendered(kind, context={"ds": "day"}, target=given).target == expected
            inside = rendered(kind, context={"ds": "day"}, target=ObjectStorageTarget(given)).target
            assert inside == ObjectStorageTarget(expected)
        source = rendered(AltcraftHistoryOperator, context={"ds": "day"}, profiles=FileProfiles(given)).profiles
        assert source == FileProfiles(expected)
    for path in (tmp_path / "a.jsonl", ObjectStoragePath(f"file://{tmp_path}/a.jsonl")):
        assert resolve_target(path) == ObjectStorageTarget(str(path))


def test_an_output_may_be_a_path(tmp_path: Path) -> None:
    for path in (tmp_path / "a.jsonl", ObjectStoragePath(f"file://{tmp_path}/a.jsonl")):
        operator = rendered(AltcraftHistoryOperator, True, {"x": path}, target="{{ x }}")
        assert resolve_target(operator.target) == ObjectStorageTarget(str(path))
        target = ObjectStorageTarget("{{ x }}")
        assert rendered(AltcraftHistoryOperator, True, {"x": path}, target=target).target.for_shard(0, 1).path == str(
            path
        )


def test_a_manifest_is_read_by_a_path(altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path) -> None:
    connect(altcraft_api)
    rendered(AltcraftHistoryOperator, target=f"{tmp_path}/folder/").execute({})
    assert read_manifest(tmp_path / "folder") == read_manifest(f"{tmp_path}/folder/")
