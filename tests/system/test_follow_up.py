"""The example that follows up, by ``airflow standalone`` whose triggerer and scheduler are killed during the events."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.system.stack import Stack, database

ROOT = Path(__file__).parents[2]
PEOPLE = 500
SECONDS = 120.0
DAG = "altcraft_follow_up"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(2400)]


@pytest.fixture
def stack(tmp_path: Path, altcraft_api: Emulator) -> Iterator[Stack]:
    connection = {"conn_type": "altcraft", "host": altcraft_api.url, "password": altcraft_api.token}
    extra = {"list_id": 1, "timeout": 20}
    try:
        with database() as address:
            made = Stack(
                tmp_path / "airflow",
                address,
                AIRFLOW_CONN_ALTCRAFT_DEFAULT=json.dumps(connection | {"extra": extra}),
                FOLLOWED_UP=str(tmp_path / "followed_up"),
            )
            try:
                yield made
            finally:
                made.end()
    except psycopg2.OperationalError as error:
        pytest.skip(f"PostgreSQL cannot be reached: {error}")


def impatient(example: str) -> str:
    """The example as it is, but looking often, and noting whom it follows up with."""
    changes = {
        "poll_interval=60": "poll_interval=2",
        "*/10 * * * *": "* * * * *",
        "retry_delay=dt.timedelta(minutes=1)": "retry_delay=dt.timedelta(seconds=2)",
        "asset=forms, retries=3": "asset=forms, retries=3, retry_delay=dt.timedelta(seconds=2)",
        '    return f"Thank you': (
            "    import os\n"
            "    with open(os.environ['FOLLOWED_UP'], 'a') as file:\n"
            "        print(event['email'], file=file)\n"
            '    return f"Thank you'
        ),
    }
    for old, new in changes.items():
        assert example.count(old) == 1, old
        example = example.replace(old, new)
    return example


def test_each_person_is_followed_up_with_exactly_once(
    stack: Stack, altcraft_api: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    emails = [f"user{number}@example.com" for number in range(PEOPLE)]
    for email in emails:
        altcraft_api.add_profile(email=email)
    example = ROOT / "example_dags" / f"{DAG}.py"
    (stack.home / "dags" / example.name).write_text(impatient(example.read_text()))
    stack.start_standalone()
    stack.until(lambda: any(request.method.endswith("history_get_all") for request in altcraft_api.requests), 120)

    posted: dict[str, dt.datetime] = {}
    began = time.monotonic()
    kills = iter([(30.0, "triggerer"), (60.0, "scheduler"), (90.0, "triggerer")])
    at, victim = next(kills)
    down: list[tuple[float, str]] = []
    for number, email in enumerate(emails):
        time.sleep(max(0.0, began + number * SECONDS / PEOPLE - time.monotonic()))
        altcraft_api.add_event(email, "form_post", visible_after=5 if number % 50 == 7 else None)
        posted[email] = dt.datetime.now(dt.UTC)
        now = time.monotonic() - began
        if now >= at:
            stack.kill(victim)
            down.append((now + 5, victim))
            at, victim = next(kills, (float("inf"), ""))
        if down and now >= down[0][0]:
            stack.start(down.pop(0)[1])
    for _, victim in down:
        stack.start(victim)

    followed_up = tmp_path / "followed_up"
    path = f"/api/v2/dags/{DAG}/dagRuns/~/taskInstances?task_id=follow_up"

    def done() -> bool:
        found = followed_up.read_text().split() if followed_up.exists() else []
        return {*found} == {*emails} and all(
            run["state"] not in {"queued", "running"} for run in stack.every(f"/api/v2/dags/{DAG}/dagRuns", "dag_runs")
        )

    stack.until(done, 1500)
    time.sleep(5)  # for what must not come
    runs = stack.every(f"/api/v2/dags/{DAG}/dagRuns", "dag_runs")
    # A run without events has one instance that stands for none, and is skipped.
    mapped = [task for task in stack.every(path, "task_instances") if task["map_index"] >= 0]
    ended = {task["rendered_map_index"]: dt.datetime.fromisoformat(task["end_date"]) for task in mapped}
    delays = sorted((ended[email] - posted[email]).total_seconds() for email in emails)
    sizes = Counter(task["dag_run_id"] for task in mapped)
    noted = Counter(followed_up.read_text().split())
    with capsys.disabled():
        print(
            f"\n{PEOPLE} people in {SECONDS:.0f} s, triggerer killed twice, scheduler with its tasks once: {len(runs)} "
            f"runs, of which {len(sizes)} followed up with {min(sizes.values())} to {max(sizes.values())} people; "
            f"{len(altcraft_api.requests)} requests; given to a run twice {len(mapped) - len(ended)}, lost "
            f"{PEOPLE - len(ended)}, tasks that Airflow queued again {sum(task['try_number'] > 1 for task in mapped)}, "
            f"of which had done their work {sum(times > 1 for times in noted.values())}; "
            f"from the post to the follow-up's end {statistics.median(delays):.0f} s at the median, "
            f"{statistics.quantiles(delays, n=100)[-1]:.0f} s at p99, {delays[-1]:.0f} s at most; all over "
            f"{time.monotonic() - began:.0f} s after the first post"
        )
    assert Counter(task["rendered_map_index"] for task in mapped) == Counter(emails)
    assert {task["state"] for task in mapped} == {"success"}
    assert {run["state"] for run in runs} == {"success"}
    # Airflow itself queues again what was queued, and runs again what ran, when the scheduler was killed; no other.
    tries = {task["rendered_map_index"]: task["try_number"] for task in mapped}
    assert [email for email, times in noted.items() if times > tries[email]] == []
    assert sum(number > 1 for number in tries.values()) <= stack.orphaned(f"{DAG}.follow_up")
    assert sum(times > 1 for times in noted.values()) <= 4  # as many run at once
