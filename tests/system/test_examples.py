"""The example DAGs, each run by ``dag.test()`` on a real Airflow against the emulator."""

from __future__ import annotations

import datetime as dt
import importlib.util
import inspect
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any

import airflow
import pendulum
import pyarrow.parquet as pq
import pytest

from airflow_provider.altcraft.operators._base import PullOperator
from airflow_provider.altcraft.testing import Emulator, faults

ROOT = Path(__file__).parents[2]
# Airflow 2 has no watchers and no partitions.
_NEWER = {"altcraft_follow_up", "altcraft_partitioned_export"}
ON_AIRFLOW_3_ONLY = set() if airflow.__version__.startswith("3.") else _NEWER
EXAMPLES = [path for path in sorted((ROOT / "example_dags").glob("*.py")) if path.stem not in ON_AIRFLOW_3_ONLY]
NOON = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
EMAILS = [f"user{number}@example.com" for number in range(20)]

pytestmark = pytest.mark.usefixtures("airflow_db")


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


def load(name: str, folder: Path = ROOT / "example_dags") -> Any:
    return load_module(name, folder).dag


def load_module(name: str, folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look for their names
    spec.loader.exec_module(module)
    return module


def run(dag: Any, at: dt.datetime | None = None, **conf: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Run the DAG; its state, those of its tasks, and what they returned (a list where mapped)."""
    if airflow.__version__.startswith("2."):
        dag.sync_to_db()  # it keeps events of outlets only of DAGs that it knows
    when = {"logical_date" if "logical_date" in inspect.signature(dag.test).parameters else "execution_date": at}
    dag_run = dag.test(run_conf=conf, **({} if at is None else when))
    tasks = dag_run.get_task_instances()
    returned = {task.task_id: task.xcom_pull(task_ids=task.task_id) for task in tasks}
    # A mapped task's values may come as a lazy sequence.
    values = {name: value if isinstance(value, str | dict | None) else list(value) for name, value in returned.items()}
    return str(dag_run.state), {task.task_id: str(task.state) for task in tasks}, values


def written(path: Path) -> Counter[tuple[Any, ...]]:
    return Counter((row["email"], row["action"], row["datetime"]) for row in pq.read_table(path).to_pylist())


def held(api: Emulator, *emails: str) -> Counter[tuple[Any, ...]]:
    rows = ((row["email"], row["action"], dt.datetime.fromisoformat(row["datetime"])) for row in api.events())
    return Counter(row for row in rows if row[0] in emails)


def names_of_instances(dag_id: str, task_id: str) -> list[str]:
    """What the UI calls the instances of a mapped task of the DAG's last run."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        last = select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc()).limit(1)
        names = select(TaskInstance.rendered_map_index).where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.task_id == task_id,
            TaskInstance.run_id == last.scalar_subquery(),
        )
        return list(session.scalars(names.order_by(TaskInstance.map_index)))


def outlet_events(dag_id: str) -> dict[int, dict[str, Any]]:
    """What the outlet's event of each instance of a mapped task carries, of the DAG's only run here."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if airflow.__version__.startswith("2."):
        from airflow.models.dataset import DatasetEvent as AssetEvent
    else:
        from airflow.models.asset import AssetEvent
    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.source_dag_id == dag_id))
        return {event.source_map_index: event.extra for event in found}


def seed(api: Emulator) -> None:
    api.seed(profiles=20, events_per_profile=30, start=NOON - dt.timedelta(days=2), days=5)


def test_daily_export(api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(api)
    monkeypatch.setenv("AIRFLOW_VAR_ALTCRAFT_LAKE", f"file://{tmp_path}")
    state, _, values = run(load("altcraft_daily_export"), dt.datetime(2026, 1, 5, tzinfo=dt.UTC))
    assert state == "success"
    emails = [f"user{number}@example.com" for number in range(10)]
    expected = Counter({row: count for row, count in held(api, *emails).items() if row[2].date() == NOON.date()})
    assert expected.total() > 20
    assert written(tmp_path / "history" / "2026-01-05.parquet") == expected
    assert values["export_history"]["rows"] == expected.total()


def test_lakehouse(api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed(api)
    monkeypatch.setenv("AIRFLOW_VAR_ALTCRAFT_LAKEHOUSE", str(tmp_path / "history"))
    for day in (5, 6):
        state, _, values = run(load("altcraft_lakehouse"), dt.datetime(2026, 1, day, tzinfo=dt.UTC))
        assert state == "success"
    emails = [f"user{number}@example.com" for number in range(10)]
    days = {NOON.date(), NOON.date() + dt.timedelta(days=1)}
    expected: Counter[str] = Counter()
    for (_, action, at), count in held(api, *emails).items():
        expected[action] += count * (at.date() in days)
    assert values["count_actions"] == {action: count for action, count in expected.items() if count}


if airflow.__version__.startswith("3."):

    def _last_asset_event(dag_id: str) -> Any:
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session
        from sqlalchemy import select

        with create_session() as session:
            of_dag = select(AssetEvent).where(AssetEvent.source_dag_id == dag_id)
            return session.scalars(of_dag.order_by(AssetEvent.id.desc()).limit(1)).one()

    @pytest.mark.parametrize("name", ["altcraft_daily_export", "altcraft_database_export"])
    def test_daily_exports_that_are_triggered_without_a_logical_date(
        api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
    ) -> None:
        """As ``airflow dags trigger`` does. They are in order by when they were due."""
        seed(api)
        monkeypatch.setenv("AIRFLOW_VAR_ALTCRAFT_LAKE", f"file://{tmp_path}")
        late = []
        # In a test Airflow keeps one run without a logical date, so the first one has it.
        for logical_date, due in (
            (dt.datetime(2026, 1, 5, tzinfo=dt.UTC), None),
            (None, dt.datetime(2026, 1, 6, 8, tzinfo=dt.UTC)),
        ):
            done = load(name).test(logical_date=logical_date, run_after=due)
            assert str(done.state) == "success"
            (export,) = [task for task in done.get_task_instances() if task.task_id.startswith("export")]
            result = export.xcom_pull(task_ids=export.task_id)
            assert result["window"]["end"] == "2026-01-06T00:00:00+00:00"
            late.append(result.get("lateness"))
            extra = _last_asset_event(name).extra
            assert (extra["rows"], extra["window"]) == (result["rows"], result["window"])
        emails = EMAILS if "database" in name else EMAILS[:10]
        expected = {row: count for row, count in held(api, *emails).items() if row[2].date() == NOON.date()}
        (day,) = [path for path in tmp_path.rglob("*.parquet") if "2026-01-05" in str(path)]
        assert written(day) == Counter(expected)
        if "database" in name:
            assert late[0] is None
            assert late[1]["events"] == 0
        assert "XCom not found" not in "".join(capfd.readouterr())


if airflow.__version__.startswith("3."):

    def test_a_partition_is_moscows_day(
        api: Emulator, connect: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from airflow.models.asset import AssetEvent
        from airflow.serialization.definitions.dag import SerializedDAG
        from airflow.serialization.encoders import coerce_to_core_timetable
        from airflow.utils.session import create_session

        api.timezone = "Europe/Moscow"
        connect(api, timezone="Europe/Moscow")
        api.seed(profiles=20, events_per_profile=300, start=NOON - dt.timedelta(days=3), days=6)
        monkeypatch.setenv("AIRFLOW_VAR_ALTCRAFT_LAKE", f"file://{tmp_path}")
        dag, key = load("altcraft_partitioned_export"), "2026-01-05T00:00:00"
        date = coerce_to_core_timetable(dag.timetable).resolve_partition_date(key)
        assert date == dt.datetime(2026, 1, 4, 21, tzinfo=dt.UTC)
        # A run of `dag.test` can be given no partition.
        partition = {"partition_key": key, "partition_date": date}
        monkeypatch.setattr(SerializedDAG, "create_dagrun", partialmethod(SerializedDAG.create_dagrun, **partition))
        done = dag.test(logical_date=None)
        assert str(done.state) == "success"
        window = {"start": "2026-01-04T21:00:00+00:00", "end": "2026-01-05T21:00:00+00:00"}
        expected = Counter({
            row: count
            for row, count in held(api, *EMAILS).items()
            if date <= row[2] < date + dt.timedelta(days=1)
        })  # fmt: skip
        assert expected.total() > 100
        assert written(tmp_path / "partitions" / "date=2026-01-05" / "history.parquet") == expected
        assert {(each.body["date_from"], each.body["date_to"]) for each in api.requests} >= {("2026-01-05",) * 2}
        with create_session() as session:
            (event,) = session.query(AssetEvent).filter(AssetEvent.source_dag_id == dag.dag_id)
            assert event.partition_key == key
            assert (event.extra["rows"], event.extra["window"]) == (expected.total(), window)


def test_the_daily_export_is_of_the_day_that_is_over() -> None:
    midnight = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)
    interval = load("altcraft_daily_export").timetable.infer_manual_data_interval(run_after=pendulum.instance(midnight))
    assert (interval.start, interval.end) == (midnight - dt.timedelta(days=1), midnight)


def test_who_confirms_gets_the_campaign(api: Emulator) -> None:
    dag = load("altcraft_wait_for_confirm")
    dag.get_task("wait_for_confirm").poke_interval = 0.5
    api.play(faults.ok())
    api.add_event("ann@example.com", "confirm", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1), visible_after=8)
    state, tasks, values = run(dag)
    assert (state, tasks["campaign"], tasks["reminder"]) == ("success", "success", "skipped")
    assert [event["action"] for event in values["wait_for_confirm"]] == ["confirm"]
    assert values["campaign"] == "Campaign for ann@example.com"


def test_who_does_not_confirm_in_time_gets_the_reminder(api: Emulator) -> None:
    dag = load("altcraft_wait_for_confirm")
    wait = dag.get_task("wait_for_confirm")
    wait.poke_interval, wait.timeout = 0.2, 1
    state, tasks, values = run(dag)
    assert (state, tasks["wait_for_confirm"], tasks["campaign"]) == ("success", "skipped", "skipped")
    assert values["reminder"] == "Reminder for ann@example.com"


def test_a_wrong_token_is_neither(api: Emulator, connect: Callable[..., str]) -> None:
    connect(api, token="wrong")
    state, tasks, _ = run(load("altcraft_wait_for_confirm"))
    assert state == "failed"
    assert tasks["wait_for_confirm"] == "failed"
    assert "success" not in {tasks["campaign"], tasks["reminder"]}


@pytest.mark.parametrize(("days", "way"), [(1, "offer"), (8, "another_letter")])
def test_branch(api: Emulator, days: int, way: str) -> None:
    api.add_event("ann@example.com", "click", at=dt.datetime.now(dt.UTC) - dt.timedelta(days=days))
    state, tasks, _ = run(load("altcraft_branch"))
    assert state == "success"
    assert {name for name, task in tasks.items() if task == "success"} == {"has_clicked", way}


def test_mapped_export(api: Emulator, tmp_path: Path) -> None:
    seed(api)
    groups = {
        "trial": ["user0@example.com", "user1@example.com"],
        "paying": [{"matching": "custom", "field_name": "CRM_ID", "field_value": "2"}],
    }
    state, _, values = run(load("altcraft_mapped_export"), groups=groups, folder=f"file://{tmp_path}")
    assert state == "success"
    assert written(tmp_path / "trial.parquet") == held(api, "user0@example.com", "user1@example.com")
    assert written(tmp_path / "paying.parquet") == held(api, "user2@example.com")
    assert (values["total"]["profiles"], values["total"]["rows"]) == (3, 90)
    assert names_of_instances("altcraft_mapped_export", "export_history") == ["trial", "paying"]
    events = outlet_events("altcraft_mapped_export")
    assert {index: (event["profiles"], event["rows"]) for index, event in events.items()} == {0: (2, 60), 1: (1, 30)}


def test_sharded_export(api: Emulator, tmp_path: Path) -> None:
    seed(api)
    customers = tmp_path / "customers.csv"
    customers.write_text("crm_id\n" + "".join(f"{number}\n" for number in range(20)))
    conf = {"profiles": str(customers), "shards": 3, "target": f"file://{tmp_path}/{{shard}}.parquet"}
    state, _, values = run(load("altcraft_sharded_export"), **conf)
    assert state == "success"
    files = sorted(tmp_path.glob("*.parquet"))
    assert [path.name for path in files] == [f"000{number}-of-0003.parquet" for number in range(3)]
    assert names_of_instances("altcraft_sharded_export", "export_shard") == ["1 of 3", "2 of 3", "3 of 3"]
    events = outlet_events("altcraft_sharded_export")
    assert [events[shard]["rows"] for shard in range(3)] == [written(path).total() for path in files]
    assert all(map(written, files))
    emails = [f"user{number}@example.com" for number in range(20)]
    assert sum(map(written, files), Counter()) == held(api, *emails)
    assert (values["total"]["profiles"], values["total"]["rows"]) == (20, 600)


def test_demo(api: Emulator, tmp_path: Path) -> None:
    seed(api)
    api.add_event("ann@example.com", "form_post", at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    emails = [f"user{number}@example.com" for number in range(20)]
    state, _, values = run(load("altcraft_demo"), profiles=emails, file=str(tmp_path / "demo.parquet"))
    assert state == "success"
    assert written(tmp_path / "demo.parquet") == held(api, *emails)
    sent = Counter(row["action"] for row in api.events())["send"]
    assert f"{sent:>10,}" in values["funnel"]


def test_database_export(api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days in turn; an event that comes up late is written into its day, and reported."""
    seed(api)
    monkeypatch.setenv("AIRFLOW_VAR_ALTCRAFT_LAKE", f"file://{tmp_path}")
    days = [NOON.date() + dt.timedelta(days=number) for number in range(3)]
    said = []
    for day in days:
        at = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        state, _, values = run(load("altcraft_database_export"), at)
        assert state == "success"
        said.append(values["report"])
        if day != days[-1]:
            api.add_event("user7@example.com", "form_post", at=NOON)
    objects = {path.parent.name: written(path) for path in (tmp_path / "database").glob("date=*/history.parquet")}
    assert set(objects) == {f"date={NOON.date() + dt.timedelta(days=number)}" for number in range(-3, 3)}
    for day in days:
        of_day = {row: count for row, count in held(api, *EMAILS).items() if row[2].date() == day}
        assert objects[f"date={day}"] == Counter(of_day)
    assert "nothing to compare with" in said[0]
    assert "1 came late, recommended lookback: P1D" in said[1]
    assert "1 came late, recommended lookback: P2D" in said[2]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_they_say_what_they_are(path: Path) -> None:
    module = load_module(path.stem, path.parent)
    dag = module.dag
    assert dag.description
    assert len(dag.description) < 80
    assert dag.doc_md == module.__doc__.rstrip() or dag.doc_md == module.__doc__
    for name in dag.params:
        assert dag.params.get_param(name).schema.get("title"), name
    for task in dag.tasks:
        mapped = getattr(task, "partial_kwargs", {})
        if issubclass(getattr(task, "operator_class", type(task)), PullOperator):
            assert mapped.get("outlets") or task.outlets, f"{task.task_id}: its events show what was written"


IMPORTED = """
import os, runpy, sys
import airflow.models.dagbag
for path in sys.argv[1:]:
    if os.fork() == 0:
        status = 1
        try:
            assert "dag" in runpy.run_path(path)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.wait()[1] == 0, path
"""


def test_each_imports_without_any_connection() -> None:
    """Each in a process of its own, of one that has loaded Airflow alone."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_CONN_")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", IMPORTED, *map(str, EXAMPLES)], check=True, env=environment)


def test_a_backfill_pulls_no_day_next_to_the_run_of_another() -> None:
    """Airflow does not count it against ``max_active_runs``."""
    daily = [load(path.stem) for path in EXAMPLES]
    pulls = {
        f"{dag.dag_id}.{task.task_id}": task.max_active_tis_per_dag
        for dag in daily
        if dag.timetable.can_be_scheduled
        for task in dag.tasks
        if isinstance(task, PullOperator)
    }
    assert len(pulls) >= 3
    assert set(pulls.values()) == {1}, pulls


def test_nothing_in_them_is_on_its_way_out() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--preview", "--select", "AIR", "example_dags"]
    subprocess.run(command, check=True, cwd=ROOT)
