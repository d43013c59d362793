"""A pull of 20,000 profiles that is killed at random moments and run again hardly asks for anybody twice."""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.targets import read_manifest
from airflow_provider.altcraft.testing import Emulator
from tests.integration.killed import kill, start, until

PROFILES = 20_000
KILLS = 3
MOST = 1.1

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("events", [5, 100])  # of a profile: parts are closed by profiles, and by rows
def test_killed_at_random_moments(
    altcraft_api: Emulator, connect: Callable[..., str], tmp_path: Path, events: int
) -> None:
    connect(altcraft_api, timeout=60)
    altcraft_api.record = False
    altcraft_api.seed(profiles=PROFILES, events_per_profile=events, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    seed = random.randrange(10**6)
    moments = sorted(random.Random(seed).sample(range(1, PROFILES), KILLS))
    folder, began = f"{tmp_path}/history/", time.monotonic()
    for moment in moments:
        task = start(folder, PROFILES, 16)
        while not until(altcraft_api, task, moment):
            pass
        kill(task)
        assert not Path(folder, "_manifest.json").exists()
    task = start(folder, PROFILES, 16)
    task.join(900)
    assert task.exitcode == 0
    asked = altcraft_api.request_count
    parts = read_manifest(folder).parts
    print(f"\n{PROFILES} profiles of {events} events, killed at requests {moments} (seed {seed}): {asked} requests,")
    print(f"  {asked / PROFILES:.3f} of the profiles; {len(parts)} parts; {time.monotonic() - began:.0f} s")
    assert asked <= MOST * PROFILES
    rows: Counter[int] = Counter()
    keys = set()
    for part in parts:
        table = pq.read_table(Path(folder, part.name), columns=["email", "event_key"])
        rows.update(table["email"].to_pylist())
        keys.update(table["event_key"].to_pylist())
    assert rows == {f"user{number}@example.com": events for number in range(PROFILES)}
    assert len(keys) == PROFILES * events
