"""What is made of a row of Airflow's database."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import airflow
import pytest

if airflow.__version__.startswith("2."):
    pytest.skip("left out: Airflow 2.11 has no pages of plugins of this kind", allow_module_level=True)

from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from airflow_provider.altcraft.page._stored import _instance, pulls_under_way, waits_under_way

AT = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)
FOUND: Any = SimpleNamespace(
    dag_id="shop",
    run_id="r",
    task_id="t",
    map_index=-1,
    state="success",
    start_date=AT,
    end_date=AT,
    try_number=1,
    rendered_map_index=None,
)
BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


def test_a_text_is_no_other_backend_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tasks return one, such as each BashOperator."""
    assert not _instance(FOUND, AT, "the last line").elsewhere
    monkeypatch.setenv("AIRFLOW__CORE__XCOM_BACKEND", BACKEND)
    assert _instance(FOUND, AT, "s3://bucket/key").elsewhere
    assert not _instance(FOUND, AT, {"rows": 1}).elsewhere
    assert not _instance(FOUND, AT, None).elsewhere
    for record in ("wait", "progress"):
        assert _instance(FOUND, AT, None, **{record: "s3://bucket/key"}).elsewhere
        assert not _instance(FOUND, AT, None, **{record: {"done": 1}}).elsewhere


def test_a_text_of_a_mapping_is_one() -> None:
    assert _instance(FOUND, AT, '{"rows": 1}').result == {"rows": 1}


def test_a_pull_is_under_way_while_it_runs() -> None:
    """A task that waits for its next try, or was cleared, has the record of the one before; a wait goes on then."""
    engine = create_engine("sqlite://")
    import_all_models()  # whose tables refer to each other
    Base.metadata.create_all(engine)
    run = {"id": 1, "dag_id": "shop", "run_id": "r", "run_after": AT, "run_type": "manual"}
    states = ["running", "up_for_retry", "up_for_reschedule", "deferred", "queued", "scheduled", "failed", None]
    with Session(engine) as session:
        session.execute(DagRun.__table__.insert().values(**run))
        for index, state in enumerate(states):
            task = {"dag_id": "shop", "run_id": "r", "task_id": "t", "map_index": index}
            more = {"pool": "p", "pool_slots": 1, "executor_config": {}, "rendered_map_index": None}
            session.execute(TaskInstance.__table__.insert().values(**task, **more, state=state))
            for key in ("altcraft_pull", "altcraft_wait"):
                kept = {"dag_run_id": 1, "key": key, "value": {"state": state}}
                session.execute(XComModel.__table__.insert().values(**task, **kept))
        session.commit()
        assert [each.state for each in pulls_under_way(session, lambda query: query)] == ["running"]
        assert {each.state for each in waits_under_way(session, lambda query: query)} == set(states[:6])
