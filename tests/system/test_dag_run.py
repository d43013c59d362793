"""The fixture ``altcraft_dag_run``: what it gives of a run, and what it says where there is none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import airflow
import pytest

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.testing.dag_run import DagRunner
from tests.system.test_examples import ROOT, load

DAGS = '''
"""Two DAGs in a file, with a neighbour from which they import."""
import datetime as dt
from airflow.providers.common.compat.sdk import DAG, Variable, task
from neighbour import NAME

with DAG("first", schedule=None, params={"by": 1}) as first:

    @task
    def count(params=None):
        return [params["by"], 2 * params["by"]]

    @task
    def double(number):
        return 2 * number

    @task
    def fail():
        raise ValueError(NAME + Variable.get("lake"))

    double.expand(number=count()) >> fail()

with DAG("second", schedule=None):

    @task
    def when(dag_run=None):
        return str(dag_run.logical_date)

    when()
'''

WHO = """
import os
from airflow.providers.common.compat.sdk import DAG, Variable, task

with DAG("who", schedule=None):

    @task
    def who():
        return [os.getpid(), os.getppid(), Variable.get("lake"), os.environ["CITY"]]

    who()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("NAME = 'ann'\n")
    path = tmp_path / "two.py"
    path.write_text(DAGS)
    return path


def test_states_results_and_log(altcraft_dag_run: DagRunner, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_LAKE", "/somewhere")
    with pytest.raises(RuntimeError, match=r"expected one of the file's DAGs \(first, second\), got None"):
        altcraft_dag_run(file)
    first = type("Dag", (), {"fileloc": str(file), "dag_id": "first"})
    run = altcraft_dag_run(first, conf={"by": 3})
    assert run.state == "failed"
    assert run.tasks == {"count": "success", "double[0]": "success", "double[1]": "success", "fail": "failed"}
    assert run.results == {"count": [3, 6], "double[0]": 6, "double[1]": 12, "fail": None}
    assert "ValueError: ann/somewhere" in run.log
    second = type("Dag", (), {"fileloc": str(file), "dag_id": "second"})
    at = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
    for day in (at, at + dt.timedelta(days=1)):
        assert altcraft_dag_run(second, logical_date=day).results == {"when": str(day)}
    if airflow.__version__.startswith("3."):
        assert altcraft_dag_run(second, logical_date=None).results == {"when": "None"}


def test_an_example_by_its_dag(altcraft_dag_run: DagRunner, altcraft_api: Emulator, tmp_path: Path) -> None:
    altcraft_api.add_profile(email="ann@example.com")
    altcraft_api.add_event("ann@example.com", "form_post")
    altcraft_api.seed(profiles=3, events_per_profile=30, start=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), days=9)
    conf = {"profiles": ["user0@example.com", "user1@example.com"], "file": str(tmp_path / "demo.parquet")}
    run = altcraft_dag_run(load("altcraft_demo"), conf=conf)
    assert run.state == "success", run.log
    assert run.results["export_history"]["rows"] == 60
    assert (tmp_path / "demo.parquet").exists()


def test_what_cannot_be_run(altcraft_dag_run: DagRunner, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"expected a DAG of a file, or its path, got nowhere\.py"):
        altcraft_dag_run("nowhere.py")
    broken = tmp_path / "broken.py"
    broken.write_text("from airflow import DAG\n1 / 0\n")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        altcraft_dag_run(broken)
    with pytest.raises(TimeoutError, match=r"longer than 0\.1 s"):
        altcraft_dag_run(ROOT / "example_dags" / "altcraft_branch.py", timeout=0.1)


def test_airflow_is_loaded_once_for_an_environment(
    altcraft_dag_run: DagRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is a process of its own with the test's environment, all of one that has loaded Airflow."""
    (tmp_path / "who.py").write_text(WHO)
    monkeypatch.setenv("AIRFLOW_VAR_LAKE", "first")
    processes = []
    for lake, city in (("first", ""), ("second", ""), ("second", "Moscow")):
        monkeypatch.setenv("AIRFLOW_VAR_LAKE", lake)
        monkeypatch.setenv("CITY", city)
        *process, found_lake, found_city = altcraft_dag_run(tmp_path / "who.py").results["who"]
        assert (found_lake, found_city) == (lake, city)
        processes.append(process)
    (first, parent), (second, same), (third, other) = processes
    assert len({first, second, third}) == 3
    assert parent == same != other


def test_an_airflow_that_cannot_be_loaded(
    altcraft_dag_run: DagRunner, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "airflow_local_settings.py").write_text("raise ValueError('no settings')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"(?s)Airflow could not be loaded.*no settings"):
        altcraft_dag_run(file)
