"""A whole Airflow 3 on the loopback interface whose components a test can kill and start again, one by one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from tests.ports import free_port

SERVER = os.environ.get("ALTCRAFT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")
_TRIGGERER = ("triggerer", "--skip-serve-logs")
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": _TRIGGERER,
}
SPARE = {"second triggerer": _TRIGGERER}
# What each task's process would import, its parents have imported: then hundreds of tasks take half the time.
_READY = """
import airflow.dag_processing.dagbag
import airflow_provider.altcraft.operators.events
import airflow_provider.altcraft.sensors.action
"""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stack:
    """Components by name, their environment and Airflow's API.

    Args:
        home: an empty folder; ``dags`` in it is where DAG files are looked for.
        database: address of an empty PostgreSQL database.
        environment: what more they are given.
    """

    def __init__(self, home: Path, database: str, **environment: str) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{free_port()}"
        (home / "dags").mkdir(parents=True)
        (home / "plugins").mkdir()
        (home / "plugins" / "ready.py").write_text(_READY)
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        self.environment = own | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": self.url.rpartition(":")[2],
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "False",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
            # What died is taken over soon.
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "NO_PROXY": "127.0.0.1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "no_proxy": "127.0.0.1",
            **environment,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._all: list[subprocess.Popen[bytes]] = []
        self._token = ""

    def start(self, name: str) -> None:
        """Start a component."""
        self._running[name] = self._run(name, *(COMPONENTS | SPARE)[name])

    def kill(self, name: str) -> None:
        """Kill a component and all its children without a word, as a machine does that loses its power."""
        process = self._running.pop(name, None)
        for each in self._family(process) if process else self._within(name):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()

    def freeze(self, name: str) -> None:
        """Have a component and all its children stand still, as a machine does that is overloaded or cut off."""
        for process in self._family(self._running[name]):
            process.suspend()

    def thaw(self, name: str) -> None:
        """Have it go on where it was."""
        for process in self._family(self._running[name]):
            process.resume()

    def start_all(self) -> None:
        """Make Airflow's tables and start all components; returns when they are healthy."""
        migration = self._run("migration", "db", "migrate")
        assert migration.wait(300) == 0, self.tail()
        for name in COMPONENTS:
            self.start(name)
        self.until(self._healthy, 300)

    def start_standalone(self) -> None:
        """As ``start_all``, by ``airflow standalone``: a component that dies there is not started again by itself."""
        self._running["standalone"] = self._run("standalone", "standalone")
        self.until(self._healthy, 300)

    def end(self) -> None:
        """End all that was started, however it was left."""
        family = [each for process in self._all for each in self._family(process)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        for process in self._all:
            process.wait(20)

    def ask(self, path: str, **body: Any) -> Any:
        """Airflow's API; with fields it is a POST."""
        data = json.dumps(body).encode() if body else None
        for _ in range(2):
            headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
            try:
                with _DIRECT.open(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 401:
                    raise
            with _DIRECT.open(f"{self.url}/auth/token", timeout=60) as answer:
                self._token = json.load(answer)["access_token"]
        raise AssertionError(f"{path}: not let in")

    def every(self, path: str, key: str) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.ask(f"{path}{'&' if '?' in path else '?'}limit=100&offset={len(rows)}")
            rows += page[key]
            if len(rows) >= page["total_entries"] or not page[key]:
                return rows

    def until(self, met: Callable[[], bool], seconds: float) -> None:
        """Wait until it is so."""
        give_up = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, ValueError):
                if met():
                    return
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            assert not ended, f"{ended} ended by themselves\n{self.tail()}"
            assert time.monotonic() < give_up, self.tail()
            time.sleep(1)

    def overtaken(self, task: str) -> int:
        """How many tries of ``dag.task`` the scheduler ended, as it took the end of one look for that of the next."""
        lines = (self.home / "scheduler.log").read_text(errors="replace").splitlines()
        # Queued or running, by how far the next look has come.
        return sum(f" {task} " in line and "but the task instance's state attribute is" in line for line in lines)

    def orphaned(self, task: str) -> int:
        """How many instances of ``dag.task`` a scheduler took back that another, which died, had queued or begun."""
        lines = (self.home / "scheduler.log").read_text(errors="replace").splitlines()
        return sum(line.startswith(f"\t<TaskInstance: {task} ") for line in self._listed(lines))

    @staticmethod
    def _listed(lines: list[str]) -> Iterator[str]:
        listed = False
        for line in lines:
            if "Reset the following" in line and "orphaned TaskInstances" in line:
                listed = True
            elif listed and line.startswith("\t<TaskInstance: "):
                yield line
            else:
                listed = False

    def tail(self) -> str:
        """The end of each component's log."""
        return "\n".join(
            f"--- {log.stem}\n{log.read_text(errors='replace')[-3000:]}" for log in self.home.glob("*.log")
        )

    def _healthy(self) -> bool:
        with _DIRECT.open(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
            return all(component["status"] == "healthy" for component in json.load(answer).values())

    def _within(self, name: str) -> list[psutil.Process]:
        """A component that ``airflow standalone`` started, and all its descendants."""
        # Those that died are waited for by nobody.
        all_of_them = psutil.Process(self._running["standalone"].pid).children()
        children = [each for each in all_of_them if each.status() != psutil.STATUS_ZOMBIE]
        (component,) = [each for each in children if name in " ".join(each.cmdline())]
        return [component, *component.children(recursive=True)]

    @staticmethod
    def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The process and all its descendants; none where it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.poll() is None:
                parent = psutil.Process(process.pid)
                return [parent, *parent.children(recursive=True)]
        return []

    def _run(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._all.append(process)
        return process


@contextlib.contextmanager
def database() -> Iterator[str]:
    """An empty PostgreSQL database of one's own; dropped afterwards."""
    name = f"altcraft_stack_{secrets.token_hex(4)}"
    server = psycopg2.connect(f"{SERVER}/postgres", connect_timeout=5)
    server.autocommit = True
    with contextlib.closing(server), server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{SERVER}/{name}"
        finally:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
