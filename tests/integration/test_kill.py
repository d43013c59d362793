"""A task that is killed while it writes leaves no partial object, and its retry leaves exactly the right rows."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.integration.killed import hold, kill, start, until

if TYPE_CHECKING:
    from tests.integration.conftest import S3

PROFILES = 60
EVENTS = 400
OLD = b'{"as": "it was"}\n'


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.seed(profiles=PROFILES, events_per_profile=EVENTS, start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    altcraft_api.latency = 0.01
    return altcraft_api


def kill_during(api: Emulator, target: str, requests: int, seen: Callable[[], bytes]) -> None:
    """Run the task and kill it once so many requests have come; what a reader sees in the meantime stays as it was."""
    api.reset()
    hold(api, requests)
    task = start(target, PROFILES, 4)
    while not until(api, task, requests):
        assert seen() == OLD
    kill(task)
    assert seen() == OLD
    api.reset()


def run_to_the_end(target: str) -> None:
    task = start(target, PROFILES, 4)
    task.join(120)
    assert task.exitcode == 0


def of_the_platform(api: Emulator) -> Counter[tuple[str, str, str]]:
    return Counter((row["event_id"], row["action"], row["email"]) for row in api.events())


def of_the_target(content: bytes) -> Counter[tuple[str, str, str]]:
    rows = [json.loads(line) for line in content.splitlines()]
    return Counter((row["event_id"], row["action"], row["email"]) for row in rows)


# The first, some, and the last request, whose answer is all that the commit waits for.
MOMENTS = [1, *sorted(random.Random(7).sample(range(2, PROFILES), 2)), PROFILES]


def test_local(api: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(OLD)
    for moment in MOMENTS:
        kill_during(api, str(path), moment, path.read_bytes)
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["history.jsonl"]
    run_to_the_end(str(path))
    assert of_the_target(path.read_bytes()) == of_the_platform(api)
    assert len(of_the_platform(api)) == PROFILES * EVENTS
    # What the dead attempts had staged is gone too.
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_s3(api: Emulator, s3: S3) -> None:
    key = "kill/history.jsonl"
    s3.put(key, OLD)
    for moment in MOMENTS:
        kill_during(api, s3.uri(key), moment, lambda: s3.read(key))
        assert s3.keys("kill/") == [key]
    run_to_the_end(s3.uri(key))
    assert of_the_target(s3.read(key)) == of_the_platform(api)
    assert s3.keys("kill/") == [key]
