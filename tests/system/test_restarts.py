"""Waits and watchers on a whole Airflow 3 whose triggerers stand still and die: nothing missed, nothing done twice."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow
import psycopg2
import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.system.stack import Stack, database

ON_AIRFLOW_3_3 = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)

pytestmark = [
    pytest.mark.soak,  # a whole Airflow takes its time to come up
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not ON_AIRFLOW_3_3, reason="before it nothing keeps a watcher's state, and polls are not shared"
    ),
]

DAGS = Path(__file__).parent / "stack_dags"
MODES = ("poke", "reschedule", "deferrable")
PATIENCE = 300.0
AFTER_TWO = {"forms": 1, "opens": 1, "both": 2, "named": 1}


class Scene:
    """The stack, the emulator it asks, and what they have come to."""

    def __init__(self, home: Path, address: str, api: Emulator) -> None:
        self.api = api
        self.address = address
        self._notes = home / "notes"
        connection = {"conn_type": "altcraft", "host": api.url, "password": api.token}
        extra = {"list_id": 1, "timeout": 20}
        self.stack = Stack(
            home / "airflow",
            address,
            AIRFLOW_CONN_ALTCRAFT_DEFAULT=json.dumps(connection | {"extra": extra}),
            # So that what the consuming task asks is not taken for what the watchers ask.
            AIRFLOW_CONN_ALTCRAFT_TASKS=json.dumps(connection | {"extra": extra | {"auth": "header"}}),
            AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC="2",
            AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD="8",
            NOTES=str(self._notes),
        )

    def noted(self, what: str) -> Counter[str]:
        """What was noted of one kind: how often each."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        return Counter(line.partition(" ")[2] for line in lines if line.startswith(f"{what} "))

    def start_run(self, dag: str) -> str:
        """Start a run of a DAG; the path of its instances in Airflow's API."""
        self.stack.until(lambda: self.stack.ask(f"/api/v2/dags/{dag}")["dag_id"] == dag, PATIENCE)
        run = self.stack.ask(f"/api/v2/dags/{dag}/dagRuns", logical_date=None)["dag_run_id"]
        return f"/api/v2/dags/{dag}/dagRuns/{run}"

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        return {task["task_id"]: task for task in self.stack.every(f"{run}/taskInstances", "task_instances")}

    def states(self, run: str, *names: str) -> dict[str, str]:
        return {name: task["state"] for name, task in self.tasks(run).items() if not names or name in names}

    def emails(self, run: str, name: str) -> list[tuple[str, str]]:
        """Of whom, and when, the events are that a wait has come to."""
        value = self.stack.ask(f"{run}/taskInstances/{name}/xcomEntries/return_value?deserialize=true")["value"]
        return [(event["email"], event["datetime"]) for event in value]

    def polls(self, email: str) -> int:
        """How often a profile was polled."""
        return sum(request.body.get("email") == email for request in self.api.requests)

    def looked_again(self, *emails: str, times: int = 2) -> None:
        """Wait until each was polled some more times."""
        had = {email: self.polls(email) for email in emails}
        self.stack.until(lambda: all(self.polls(email) >= had[email] + times for email in emails), PATIENCE)

    def fired(self) -> dict[str, Counter[str]]:
        """By watched asset: how often each event's key was fired for."""
        found: dict[str, Counter[str]] = {}
        for event in self.stack.every("/api/v2/assets/events", "asset_events"):
            found.setdefault(event["name"], Counter()).update(event["extra"]["payload"]["keys"])
        return found

    def watermarks(self) -> list[str]:
        """Up to when the watchers have polled all, as kept by Airflow; sorted."""
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT value FROM asset_state_store WHERE key LIKE 'altcraft-%/head'")
            return sorted(_json(value)["watermark"] for (value,) in cursor.fetchall())

    def triggerers(self) -> int:
        """How many have lately reported that they live."""
        with psycopg2.connect(self.address) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM job WHERE job_type = 'TriggererJob' AND state = 'running' "
                "AND latest_heartbeat > now() - interval '8 seconds'"
            )
            return int(cursor.fetchone()[0])


def _json(value: Any) -> Any:
    while isinstance(value, str):
        value = json.loads(value)
    return value


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    try:
        with database() as address, Emulator() as api:
            made = Scene(tmp_path_factory.mktemp("restarts"), address, api)
            shutil.copy(DAGS / "restarts.py", made.stack.home / "dags")
            for name in [
                "met",
                "vain",
                "waiting",
                *(f"wait{number}" for number in range(4)),
                "ann",
                "bob",
                "eve",
                "zoe",
            ]:
                api.add_profile(email=f"{name}@example.com")
            try:
                made.stack.start_all()
                made.stack.until(lambda: len(made.watermarks()) == 4, PATIENCE)
                yield made
            finally:
                made.stack.end()
    except psycopg2.OperationalError as error:
        pytest.skip(f"PostgreSQL cannot be reached: {error}")


def test_watchers_of_a_database_share_their_looks(scene: Scene) -> None:
    def polls() -> list[float]:
        """When the watchers began a walk through the whole database: at the first of its days."""
        asked = [
            request
            for request in scene.api.requests
            if request.method.endswith("history_get_all") and "authorization" not in request.headers
        ]
        first = min((request.body["date_from"] for request in asked), default=None)  # none where none has begun yet
        return [
            request.at.timestamp()
            for request in asked
            if request.body["date_from"] == first and not request.body.get("from_id")
        ]

    had = len(polls())
    scene.stack.until(lambda: len(polls()) > had + 12, PATIENCE)
    gaps = [later - sooner for sooner, later in itertools.pairwise(polls()[had:])]
    # By itself each of the three would poll every two seconds. One that comes late hastens a single poll.
    assert sum(gap < 1.9 for gap in gaps) <= 2, gaps


def test_what_a_watcher_fired_for_outlives_the_triggerer(scene: Scene) -> None:
    stack, api = scene.stack, scene.api
    api.add_event("ann@example.com", "form_post")
    api.add_event("bob@example.com", "open")
    posted = dt.datetime.now(dt.UTC).isoformat()
    stack.until(lambda: {name: len(keys) for name, keys in scene.fired().items()} == AFTER_TWO, PATIENCE)
    # That they fired is kept once a poll that came later is.
    stack.until(lambda: scene.watermarks()[0] > posted, PATIENCE)
    stack.kill("triggerer")
    api.add_event("eve@example.com", "form_post")
    stack.start("triggerer")
    stack.until(lambda: len(scene.fired()["forms"]) == 2 and len(scene.fired()["both"]) == 3, PATIENCE)
    stack.until(lambda: scene.noted("taken").total() >= 3, PATIENCE)
    assert {name: [*keys.values()] for name, keys in scene.fired().items()} == {
        "forms": [1, 1],
        "opens": [1],
        "both": [1, 1, 1],
        "named": [1],
    }
    assert sorted(line.split()[1] for line in scene.noted("taken").elements()) == [
        f"{name}@example.com" for name in ("ann", "bob", "eve")
    ]


def test_a_triggerer_that_stands_still_and_one_that_dies(scene: Scene) -> None:
    stack, api = scene.stack, scene.api
    emails = [f"wait{number}@example.com" for number in range(4)]
    run = scene.start_run("waits")
    scene.looked_again(*emails, times=6)  # the executor has noticed by now that they have deferred
    stack.start("second triggerer")
    stack.until(lambda: scene.triggerers() == 2, PATIENCE)

    stack.freeze("triggerer")
    scene.looked_again(*emails)
    for name in ("wait0", "wait1"):
        api.add_event(f"{name}@example.com", "confirm")
    api.add_event("zoe@example.com", "form_post")
    stack.thaw("triggerer")  # both poll now
    stack.until(lambda: {*scene.states(run, "wait0", "wait1").values()} == {"success"}, PATIENCE)

    stack.kill("second triggerer")
    api.add_event(emails[2], "confirm")
    stack.until(lambda: scene.states(run, "wait2") == {"wait2": "success"}, PATIENCE)
    api.add_event(emails[3], "confirm")
    stack.until(lambda: stack.ask(run)["state"] not in {"queued", "running"}, PATIENCE)

    assert {name: (task["state"], task["try_number"]) for name, task in scene.tasks(run).items()} == {
        f"wait{number}": ("success", 1) for number in range(4)
    }
    assert [[email for email, _ in scene.emails(run, f"wait{number}")] for number in range(4)] == [[e] for e in emails]
    resumed = scene.noted("resumed")
    assert {name: times for name, times in resumed.items() if name.startswith("wait")} == {
        f"wait{number}": 1 for number in range(4)
    }
    # Nothing keeps two triggerers from firing for the same, nor one that takes over from one that dies at that moment:
    # it is the consuming task that has each once.
    stack.until(lambda: any("zoe@" in line for line in scene.noted("taken")), PATIENCE)
    assert {*scene.noted("taken").values()} == {1}
    assert {*scene.fired()["forms"]} == {*scene.fired()["both"]} - {*scene.fired().get("opens", ())}


def test_what_is_cleared_comes_to_the_same(scene: Scene) -> None:
    stack, api = scene.stack, scene.api
    run = scene.start_run("again")
    api.add_event("met@example.com", "confirm")
    ended = {f"met-{mode}": "success" for mode in MODES} | {f"vain-{mode}": "failed" for mode in MODES}

    def has_ended() -> bool:
        return scene.states(run) == ended | {"waiting": "deferred"}

    def tries(name: str) -> list[int]:
        """But for those that Airflow itself ended, by apache/airflow#71172."""
        tasks = scene.tasks(run)
        return [tasks[f"{name}-{mode}"]["try_number"] - stack.overtaken(f"again.{name}-{mode}") for mode in MODES]

    stack.until(has_ended, PATIENCE)
    before = {name: task["start_date"] for name, task in scene.tasks(run).items()}
    found = {mode: scene.emails(run, f"met-{mode}") for mode in MODES}
    assert found["poke"] == found["reschedule"] == found["deferrable"]
    assert tries("vain") == [1, 1, 1]  # what failed for good is not tried again, in no mode

    stack.ask(
        "/api/v2/dags/again/clearTaskInstances",
        dag_run_id=run.rpartition("/")[2],
        only_failed=False,
        dry_run=False,
        reset_dag_runs=True,
    )
    stack.until(lambda: all(task["start_date"] != before[name] for name, task in scene.tasks(run).items()), PATIENCE)
    stack.until(has_ended, PATIENCE)
    # What met them lies before they were cleared: it is the run's due time that counts.
    assert {mode: scene.emails(run, f"met-{mode}") for mode in MODES} == found
    assert tries("vain") == [2, 2, 2]
    api.add_event("waiting@example.com", "confirm")
    stack.until(lambda: scene.states(run, "waiting") == {"waiting": "success"}, PATIENCE)
    time.sleep(3)  # for what must not come
    assert scene.noted("resumed")["waiting"] == 1
