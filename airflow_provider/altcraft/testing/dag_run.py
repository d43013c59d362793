"""Runs a DAG against an emulator, in a process and an Airflow of its own: the fixture ``altcraft_dag_run``."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

NOW: Final = "now"
"""As ``logical_date``, the moment at which the fixture was set up."""

# Airflow reads these while a DAG runs. All others may decide what it is while it loads.
_READ_BY_RUNS = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")

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
    """The result of a run of a DAG.

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


class AirflowProcess:
    """An Airflow in a folder of its own, whose tables are made here, and the process that runs its DAGs.

    The process begins with the first run and loads Airflow once; each run is a fork of it, which saves the 5 to 10
    seconds of CPU that loading takes. Where an environment variable has changed that Airflow may read while it loads,
    the next run begins another process. Close it, or use it as a context manager.

    Args:
        home: the folder.

    Raises:
        RuntimeError: Airflow could not make its tables, which takes 10 to 20 seconds; the message ends with its log.
    """

    def __init__(self, home: Path) -> None:
        self.dags = home / "dags"
        self.dags.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._log = home / "loading.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        command = [sys.executable, "-W", "ignore", "-m", "airflow", "db", "migrate"]
        made = subprocess.run(  # noqa: S603 - this Python, with a module of Airflow's
            command, env=environment_of(home, self.dags), stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if made.returncode:
            log = (made.stdout + made.stderr).decode(errors="replace")
            raise RuntimeError(f"Airflow's tables could not be made. The end of its log:\n{log[-4000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, request: Mapping[str, Any], connection: Mapping[str, str], timeout: float) -> bool:
        """Run a DAG.

        Args:
            request: what ``_dag_runner`` reads.
            connection: environment variables of this run only.
            timeout: seconds after which the run is ended, and the process with it.

        Returns:
            Whether it ended in time.

        Raises:
            RuntimeError: Airflow could not be loaded; the message ends with what it said.
        """
        environment = environment_of(self._home, self.dags)
        fixed = {name: text for name, text in environment.items() if not name.startswith(_READ_BY_RUNS)}
        if self._process is None or self._process.poll() is not None or fixed != self._environment:
            self.close()
            self._environment = fixed
            with self._log.open("wb") as said:
                self._process = subprocess.Popen(  # noqa: S603 - this Python, with a module of ours
                    [sys.executable, "-W", "ignore", "-m", f"{__package__}._dag_runner"],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    start_new_session=True,  # so that it can be ended with the runs that it began
                )
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - both are pipes
        process.stdin.write(json.dumps({**request, "environment": {**environment, **connection}}).encode() + b"\n")
        process.stdin.flush()
        if select.select([process.stdout], [], [], timeout)[0]:
            if not process.stdout.readline():
                log = self._log.read_text(errors="replace")
                raise RuntimeError(f"Airflow could not be loaded. The end of what it said:\n{log[-4000:]}")
            return True
        self.close()
        return False

    def close(self) -> None:
        """End the process, and a run that it has begun."""
        process, self._process = self._process, None
        if process is not None:
            with process, contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


class DagRunner:
    """Runs DAGs against one emulator.

    Args:
        airflow: the Airflow that runs them.
        url: the emulator's.
        token: the emulator's.
    """

    def __init__(self, airflow: AirflowProcess, url: str, token: str) -> None:
        self._airflow = airflow
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
        with tempfile.TemporaryDirectory(dir=self._airflow.dags) as folder:
            stub, found, log = (Path(folder, name) for name in ("dag_of_the_test.py", "found.json", "log"))
            stub.write_text(_STUB.format(name=Path(path).stem, path=str(Path(path).resolve())))
            log.touch()
            request = {
                "asked": asked,
                "paths": [str(Path(path).resolve().parent)],
                "stub": str(stub),
                "found": str(found),
                "log": str(log),
            }
            ended = self._airflow.run(request, {f"AIRFLOW_CONN_{conn_id.upper()}": connection}, timeout)
            text = log.read_text(errors="replace")
            if not ended:
                raise TimeoutError(f"The run took longer than {timeout:g} s. The end of its log:\n{text[-4000:]}")
            if not found.exists():
                raise RuntimeError(f"The DAG could not be run. The end of Airflow's log:\n{text[-4000:]}")
            return DagRun(**json.loads(found.read_text()), log=text)


def environment_of(home: Path, dags: Path) -> dict[str, str]:
    """Return the environment of that Airflow: this one's, but for what would lead to another database or other DAGs."""
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
