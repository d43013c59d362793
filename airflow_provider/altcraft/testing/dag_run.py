"""Runs a DAG against an emulator, in a process and an Airflow of its own: the fixture ``altcraft_dag_run``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

NOW: Final = "now"
"""As ``logical_date``, the moment at which the fixture was set up."""

_STUB = """# Makes a DAG file of another folder known to Airflow, which looks for DAGs of airflow here.
import importlib.util
import sys

spec = importlib.util.spec_from_file_location({name!r}, {path!r})
module = importlib.util.module_from_spec(spec)
sys.modules[{name!r}] = module
spec.loader.exec_module(module)
globals().update({{name: value for name, value in vars(module).items() if not name.startswith("__")}})
"""


@dataclass(frozen=True)
class DagRun:
    """How a run of a DAG ended.

    Attributes:
        state: ``success`` or ``failed``.
        tasks: the state of each task by its id; of an instance of a mapped task by ``task_id[0]``.
        results: what each task returned, by the same.
        log: all that the run printed and logged.
    """

    state: str
    tasks: Mapping[str, str]
    results: Mapping[str, Any]
    log: str = field(repr=False)


class DagRunner:
    """Runs DAGs against one emulator, in an Airflow whose tables are there.

    Args:
        home: the folder of that Airflow, see ``make_home``.
        url: the emulator's.
        token: the emulator's.
    """

    def __init__(self, home: Path, url: str, token: str) -> None:
        self._home = home
        self._connection = {"conn_type": "altcraft", "host": url, "password": token}
        self._due = datetime.now(UTC)
        self._runs = 0

    def __call__(
        self,
        dag: Any,
        *,
        conf: Mapping[str, Any] | None = None,
        logical_date: datetime | str | None = NOW,
        conn_id: str = "altcraft_default",
        list_id: int = 1,
        timeout: float = 300.0,
    ) -> DagRun:
        """Run a DAG once, to its end.

        It was due when the fixture was set up, so what a test then adds to the emulator happens after that, as a sensor
        expects of what it waits for.

        Args:
            dag: a DAG of a file, or the path of a file with one DAG.
            conf: the run's parameters.
            logical_date: aware; ``None`` for a run without one (Airflow 3).
            conn_id: the connection that leads to the emulator.
            list_id: its database.
            timeout: seconds after which the run is ended.

        Raises:
            RuntimeError: there is no such DAG, or Airflow could not run it; the message ends with its log.
            TimeoutError: it took longer; likewise.
        """
        path, dag_id = (dag.fileloc, dag.dag_id) if hasattr(dag, "fileloc") else (os.fspath(dag), None)
        if not Path(path).is_file():
            raise RuntimeError(f"dag: expected a DAG of a file, or its path, got {path}")
        due = self._due + self._runs * timedelta(microseconds=1)  # Airflow names a run by it, so no two share one
        self._runs += 1
        when = due if logical_date == NOW else logical_date
        asked = {
            "dag_id": dag_id,
            "conf": dict(conf or {}),
            "logical_date": when.isoformat() if isinstance(when, datetime) else when,
            "run_after": due.isoformat(),
        }
        connection = json.dumps(self._connection | {"extra": {"list_id": list_id}})
        with tempfile.TemporaryDirectory(dir=self._home) as folder:
            dags = Path(folder, "dags")
            dags.mkdir()
            stub = dags / "dag_of_the_test.py"
            stub.write_text(_STUB.format(name=Path(path).stem, path=str(Path(path).resolve())))
            given, found = Path(folder, "asked.json"), Path(folder, "found.json")
            given.write_text(json.dumps(asked))
            paths = [str(Path(path).resolve().parent), *filter(None, [os.environ.get("PYTHONPATH")])]
            environment = environment_of(self._home, dags) | {
                f"AIRFLOW_CONN_{conn_id.upper()}": connection,
                "PYTHONPATH": os.pathsep.join(paths),
            }
            _, log = _run(["-m", f"{__package__}._dag_runner", str(stub), str(given), str(found)], environment, timeout)
            if not found.exists():
                raise RuntimeError(f"The DAG could not be run. The end of Airflow's log:\n{log[-4000:]}")
            return DagRun(**json.loads(found.read_text()), log=log)


def make_home(home: Path) -> Path:
    """Make an Airflow's tables in a folder, which takes 10 to 20 seconds.

    Raises:
        RuntimeError: Airflow could not make them; the message ends with its log.
    """
    home.mkdir(parents=True, exist_ok=True)
    code, log = _run(["-m", "airflow", "db", "migrate"], environment_of(home, home / "dags"), 300.0)
    if code:
        raise RuntimeError(f"Airflow's tables could not be made. The end of its log:\n{log[-4000:]}")
    return home


def environment_of(home: Path, dags: Path) -> dict[str, str]:
    """The environment of that Airflow: this one's, but for what would lead to another database or other DAGs."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW__DATABASE__", "AIRFLOW__DAG_PROCESSOR__", "AIRFLOW__CORE__", "AIRFLOW_HOME"))
        and not name.startswith("PYTEST_")
    }
    return own | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def _run(arguments: list[str], environment: Mapping[str, str], timeout: float) -> tuple[int, str]:
    try:
        ended = subprocess.run(  # noqa: S603 - this Python, with modules of Airflow's and ours
            [sys.executable, "-W", "ignore", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        log = (late.stdout or b"").decode(errors="replace")
        raise TimeoutError(f"The run took longer than {timeout:g} s. The end of its log:\n{log[-4000:]}") from None
    return ended.returncode, ended.stdout.decode(errors="replace")
