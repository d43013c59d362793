"""The process in which ``dag_run`` has Airflow run a DAG: file of the DAG, what is asked, where the answer goes."""

from __future__ import annotations

import inspect
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any


def main(stub: str, given: str, found: str) -> None:
    """Run the DAG and write how it ended as JSON.

    Raises:
        SystemExit: the file has no such DAG.
    """
    asked = json.loads(Path(given).read_text())
    dag = _dag_of(stub, asked["dag_id"])
    logical_date, run_after = (
        None if asked[name] is None else datetime.fromisoformat(asked[name]) for name in ("logical_date", "run_after")
    )
    known = inspect.signature(dag.test).parameters
    how: dict[str, Any] = {"logical_date" if "logical_date" in known else "execution_date": logical_date}
    if "run_after" in known:  # before Airflow 3.1 a run is due now, or at its logical date
        how["run_after"] = run_after
    run = dag.test(run_conf=asked["conf"], **how)
    tasks, results = {}, {}
    for ti in run.get_task_instances():
        name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
        tasks[name] = str(ti.state)
        results[name] = ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index)
    # Written whole or not at all: its being there says that the run has ended.
    text = json.dumps({"state": str(run.state), "tasks": tasks, "results": results}, default=str)
    Path(found).write_text(text)


def _dag_of(stub: str, dag_id: str | None) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow before 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    bag: Any = DagBag(dag_folder=stub)
    if bag.import_errors:
        raise SystemExit("\n".join(map(str, bag.import_errors.values())))
    if dag_id is None and len(bag.dags) == 1:
        (dag_id,) = bag.dags
    if dag_id not in bag.dags:
        raise SystemExit(f"dag: expected one of the file's DAGs ({', '.join(sorted(bag.dags))}), got {dag_id}")
    return bag.dags[dag_id]


if __name__ == "__main__":
    main(*sys.argv[1:])
