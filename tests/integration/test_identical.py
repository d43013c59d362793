"""Two pulls of the same profiles and data write the same bytes, in whatever order the answers come."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import ObjectStorageTarget
from airflow_provider.altcraft.testing import Emulator, faults

PROFILES, EVENTS = 240, 100
"""More rows than two batches hold."""

KINDS = {
    "one.parquet": ("all.parquet", 1),
    "one.jsonl": ("all.jsonl", 1),
    "days.parquet": ("{date}.parquet", 5),
    "days.jsonl": ("{date}.jsonl", 5),
    "parts.parquet": ("", 4),
    "parts.jsonl": ("", 4),
}
"""Of each the path below its folder, and how many files there are."""


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.seed(profiles=PROFILES, events_per_profile=EVENTS, days=5)
    return altcraft_api


def pulled(api: Emulator, kind: str, folder: Path, seed: int) -> tuple[dict[str, bytes], list[str]]:
    """Pull with latencies and faults drawn by the seed: each file's content by name, and the order of the requests."""
    draw = random.Random(seed)
    api.reset()
    troubles = [faults.status(503), faults.reset(), faults.truncated(20)]
    api.play(*(draw.choice(troubles) if draw.random() < 0.03 else late(draw) for _ in range(2 * PROFILES)))
    folder.mkdir()
    path, _ = KINDS[kind]
    target = ObjectStorageTarget(f"{folder}/{path}", format=None if path else kind.partition(".")[2], part_rows=7_000)
    AltcraftHistoryOperator(
        task_id="pull",
        profiles=[f"user{number}@example.com" for number in range(PROFILES)],
        target=target,
        date_from="2026-01-01",
        date_to="2026-01-05",
        concurrency=16,
    ).execute({})
    order = [str(sent.body["email"]) for sent in api.requests]
    return {neutral(path.name): content(path) for path in folder.iterdir()}, order


def late(draw: random.Random) -> faults.Fault:
    """An answer that comes after up to 20 ms."""
    return faults.latency(draw.uniform(0, 0.02))


def neutral(text: str) -> str:
    """Parts' names without the number of the attempt, by which two at once stay out of each other's way."""
    return re.sub(r"\bpart-[0-9a-f]{16}-", "part-", text)


def content(path: Path) -> bytes:
    """The file; a manifest without the moments at which its pull began and ended."""
    if path.name != "_manifest.json":
        return path.read_bytes()
    manifest: dict[str, Any] = json.loads(path.read_bytes())
    del manifest["began"], manifest["written_at"]
    return neutral(json.dumps(manifest)).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_two_pulls_write_the_same_bytes(api: Emulator, tmp_path: Path, kind: str) -> None:
    first, one_order = pulled(api, kind, tmp_path / "first", 1)
    second, other_order = pulled(api, kind, tmp_path / "second", 2)
    assert sum(map(len, first.values())) > 20_000
    assert len(first) == KINDS[kind][1]
    assert one_order != other_order
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
