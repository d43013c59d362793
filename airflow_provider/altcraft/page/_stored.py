"""Reads pulls and waits from Airflow's database: their task instances, results and records."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from airflow.configuration import conf
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select  # noqa: TID253 - only the API server imports this module
from sqlalchemy.orm import Session  # noqa: TID253 - the same

from airflow_provider.altcraft.extract._progress import PULL_KEY
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.waiting.progress import WAIT_KEY

RUNS: Final = 30
"""Runs of a DAG that its page shows."""

LOOKED_AT: Final = 500
"""Runs, of all DAGs, in which the menu's page searches for pulls."""

_PULLS_OF_DAG: Final = 600
_PULLS_OF_MENU: Final = 50
_RETURN_VALUE: Final = "return_value"

_UNDER_WAY_OF_MENU: Final = 200
_RUNNING: Final = ("running",)
_UNFINISHED: Final = ("running", "deferred", "up_for_reschedule", "up_for_retry", "queued", "scheduled")
_OF_INSTANCE: Final = (
    (XComModel.dag_id == TaskInstance.dag_id)
    & (XComModel.run_id == TaskInstance.run_id)
    & (XComModel.task_id == TaskInstance.task_id)
    & (XComModel.map_index == TaskInstance.map_index)
)

Restrict = Callable[[Any], Any]
"""Leaves of a query what the viewer may read."""


def instance(session: Session, dag_id: str, run_id: str, task_id: str, map_index: int) -> Instance | None:
    """Return a task instance; ``None`` where there is none."""
    query = (
        select(TaskInstance, DagRun.run_after)
        .join(DagRun, (DagRun.dag_id == TaskInstance.dag_id) & (DagRun.run_id == TaskInstance.run_id))
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.task_id == task_id,
            TaskInstance.map_index == map_index,
        )
    )
    row = session.execute(query).first()
    if row is None:
        return None
    records = select(XComModel.key, XComModel.value).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.task_id == task_id,
        XComModel.map_index == map_index,
        XComModel.key.in_([_RETURN_VALUE, WAIT_KEY, PULL_KEY]),
    )
    kept = {record.key: record.value for record in session.execute(records)}
    return _instance(*row, kept.get(_RETURN_VALUE), wait=kept.get(WAIT_KEY), progress=kept.get(PULL_KEY))


def any_instance(session: Session, dag_id: str, run_id: str, task_id: str) -> Instance | None:
    """Return one of the instances of a mapped task; ``None`` where there is none."""
    query = select(TaskInstance).where(
        TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == task_id
    )
    found = session.scalars(query.limit(1)).first()
    return None if found is None else _instance(found, None, None)


def waits_under_way(session: Session, restrict: Restrict) -> list[Instance]:
    """Return the sensors that wait now, of all DAGs that the viewer may read."""
    return [_instance(*row, None, wait=value) for row, value in _under_way(session, restrict, WAIT_KEY, _UNFINISHED)]


def pulls_under_way(session: Session, restrict: Restrict) -> list[Instance]:
    """Return the pulls that run now and have kept a record, of all DAGs that the viewer may read.

    What a task that waits for its next try has kept is of the one before.
    """
    return [_instance(*row, None, progress=value) for row, value in _under_way(session, restrict, PULL_KEY, _RUNNING)]


def _under_way(
    session: Session, restrict: Restrict, key: str, states: Sequence[str]
) -> Iterator[tuple[tuple[TaskInstance, dt.datetime], Any]]:
    """Yield task instances in these states, when their runs were due, and the record that they keep by a key."""
    query = (
        select(TaskInstance, DagRun.run_after, XComModel.value)
        .join(XComModel, _OF_INSTANCE)
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(XComModel.key == key, TaskInstance.state.in_(states))
        .order_by(DagRun.run_after)
        .limit(_UNDER_WAY_OF_MENU)
    )
    for instance, run_after, value in session.execute(restrict(query)):
        yield (instance, run_after), value


def pulls_of_dag(session: Session, dag_id: str) -> list[Instance]:
    """Return the pulls of a DAG's last runs, the last ones first."""
    runs = select(DagRun.id).where(DagRun.dag_id == dag_id).order_by(DagRun.run_after.desc()).limit(RUNS)
    return _pulls(session, runs, lambda query: query, _PULLS_OF_DAG)


def mapped(session: Session, dag_id: str, run_id: str, task_id: str) -> list[Instance]:
    """Return the pulls of a mapped task of one run."""
    run = select(DagRun.id).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    return _pulls(session, run, lambda query: query.where(TaskInstance.task_id == task_id), _PULLS_OF_DAG)


def last_pulls(session: Session, restrict: Restrict) -> list[Instance]:
    """Return the pulls of the last runs of all DAGs that the viewer may read, the last ones first.

    Args:
        session: of Airflow's database.
        restrict: takes a query of XComs.
    """
    runs = select(DagRun.id).order_by(DagRun.run_after.desc()).limit(LOOKED_AT)
    return _pulls(session, runs, restrict, _PULLS_OF_MENU)


def _pulls(session: Session, runs: Any, restrict: Restrict, most: int) -> list[Instance]:
    ids = list(session.scalars(runs))  # MySQL takes no LIMIT within an IN
    query = (
        select(TaskInstance, DagRun.run_after, XComModel.value)
        .join(XComModel, _OF_INSTANCE)
        .join(DagRun, DagRun.id == XComModel.dag_run_id)
        .where(
            XComModel.dag_run_id.in_(ids),
            XComModel.key == _RETURN_VALUE,
            # What other tasks returned may be large, and is left where it is.
            XComModel.value["summary"]["events"].as_string().is_not(None),
        )
        .order_by(DagRun.run_after.desc(), TaskInstance.task_id, TaskInstance.map_index)
        .limit(most)
    )
    return [_instance(*row) for row in session.execute(restrict(query))]


def _instance(
    found: TaskInstance, run_after: dt.datetime | None, value: Any, *, wait: Any = None, progress: Any = None
) -> Instance:
    kept = (value, wait, progress)
    mappings = [_mapping(each) for each in kept]
    return Instance(
        dag_id=found.dag_id,
        run_id=found.run_id,
        task_id=found.task_id,
        map_index=-1 if found.map_index is None else found.map_index,
        state=None if found.state is None else str(found.state),
        started=found.start_date,
        ended=found.end_date,
        run_after=run_after,
        try_number=found.try_number or 0,
        result=mappings[0] or {},
        wait=mappings[1],
        progress=mappings[2],
        index_name=found.rendered_map_index,
        elsewhere=_has_another_backend()
        and any(isinstance(each, str) and read is None for each, read in zip(kept, mappings, strict=True)),
    )


def _has_another_backend() -> bool:
    """Return whether a text may be the place where another XCom backend keeps a result or a record."""
    return not conf.get("core", "xcom_backend").endswith(".BaseXCom")


def _mapping(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str):  # tasks outside of Airflow's own runner push texts
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None
