"""A whole Airflow 3 on CeleryExecutor, with a database and a broker of its own on the servers of this machine."""

from __future__ import annotations

import base64
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
import psycopg
import pytest
import redis

from airflow_provider.altcraft.testing import Emulator
from tests.ports import free_port

POSTGRES = os.environ.get("ALTCRAFT_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432")
REDIS = os.environ.get("ALTCRAFT_TEST_REDIS", "redis://127.0.0.1:6379")
SLOTS = 2
PATIENCE = 240  # seconds for anything to come up


class Cluster:
    """Its processes, and what its API says."""

    def __init__(self, home: Path, url: str, environment: dict[str, str]) -> None:
        self.home, self.url = home, url
        self._environment = environment
        self._processes: list[psutil.Popen] = []
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def run(self, *command: str) -> None:
        """Run one of Airflow's commands to its end."""
        ended = subprocess.run(
            [sys.executable, "-m", "airflow", *command],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]

    def start(self, name: str, *command: str) -> psutil.Popen:
        """Start one of its components; what it prints is in ``<name>.log``."""
        with (self.home / f"{name}.log").open("wb") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def start_worker(self, name: str) -> psutil.Popen:
        """Start a Celery worker with ``SLOTS`` slots."""
        pid_file = str(self.home / f"{name}.pid")
        return self.start(name, "celery", "worker", "-H", f"{name}@%h", "--pid", pid_file, "--skip-serve-logs")

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask its API."""
        with self._open(f"{self.url}/auth/token", timeout=30) as answer:
            token = json.load(answer)["access_token"]
        request = urllib.request.Request(
            f"{self.url}/api/v2{path}", data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Authorization", f"Bearer {token}")
        request.add_header("Content-Type", "application/json")
        with self._open(request, timeout=60) as answer:
            return json.load(answer)

    def until(self, what: str, look: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Wait until ``look`` sees something; return it."""
        deadline = time.monotonic() + patience
        while True:
            with contextlib.suppress(OSError, psutil.Error):  # an HTTP error is one as well
                if seen := look():
                    return seen
            gone = [process.args for process in self._processes if process.poll() not in {None, -9}]
            assert not gone, f"{gone} ended by itself: {self.logs()}"
            assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s. {self.logs()}"
            time.sleep(0.3)

    def logs(self) -> str:
        """The ends of what the components printed."""
        ends = {log.name: log.read_text(errors="replace")[-1500:] for log in sorted(self.home.glob("*.log"))}
        return "\n".join(f"--- {name}\n{end}" for name, end in ends.items())

    def stop(self) -> None:
        """End all that was started, and what has come of it."""
        family = {process.pid: process for process in self._processes}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AIRFLOW_HOME") == str(self.home):
                    family.setdefault(process.pid, process)
        for process in list(family.values()):
            with contextlib.suppress(psutil.Error):
                for child in process.children(recursive=True):
                    family.setdefault(child.pid, child)
        for process in family.values():
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(list(family.values()), timeout=20)


@contextlib.contextmanager
def cluster(home: Path, dags: Path, api: Emulator) -> Iterator[Cluster]:
    """Start all but the workers, healthy, and end everything at the end."""
    with _database() as database, _broker() as broker:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        made = Cluster(home, url, _environment(home, dags, api, database, broker, url))
        try:
            made.run("db", "migrate")
            made.start("api-server", "api-server", "--port", str(port), "--host", "127.0.0.1", "--workers", "1")
            made.start("scheduler", "scheduler", "--skip-serve-logs", "--pid", str(home / "scheduler.pid"))
            made.start("dag-processor", "dag-processor", "--pid", str(home / "dag-processor.pid"))
            yield made
        finally:
            made.stop()


def _environment(home: Path, dags: Path, api: Emulator, database: str, broker: str, url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    bundle = {"name": "dags", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    extra = {"list_id": 1, "max_connections": 4, "timeout": 60}
    connection = {"conn_type": "altcraft", "host": api.url, "password": api.token, "extra": extra}
    plain = database.removeprefix("postgresql://")
    settings = {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__PARALLELISM": "8",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "API__BASE_URL": url,
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{plain}",
        "DATABASE__SQL_ALCHEMY_POOL_SIZE": "3",
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle | {"kwargs": {"path": str(dags)}}]),
        "CELERY__BROKER_URL": broker,
        "CELERY__RESULT_BACKEND": f"db+postgresql://{plain}",
        "CELERY__WORKER_CONCURRENCY": str(SLOTS),
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "600",
        # A task without a heartbeat for so long is retried. The default is 300.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return (
        own
        | {f"AIRFLOW__{name}": value for name, value in settings.items()}
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_ALTCRAFT_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_SOAK_SQL": f"postgresql://{plain}",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )


@contextlib.contextmanager
def _database() -> Iterator[str]:
    """A new database; its URL."""
    name = f"altcraft_soak_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True, connect_timeout=5) as connection:
            connection.execute(f"CREATE DATABASE {name}")
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        yield f"{POSTGRES}/{name}"
    finally:
        with psycopg.connect(f"{POSTGRES}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextlib.contextmanager
def _broker() -> Iterator[str]:
    """An empty database of Redis; its URL."""
    mark = "altcraft-soak"  # who sets it first has the database
    for number in range(15, 0, -1):
        connection = redis.Redis.from_url(f"{REDIS}/{number}")
        try:
            if connection.dbsize() or not connection.set(mark, "1", nx=True, ex=3600):
                continue
        except redis.ConnectionError as error:
            pytest.skip(f"no Redis: {error}")
        try:
            yield f"{REDIS}/{number}"
        finally:
            connection.flushdb()
            connection.close()
        return
    pytest.skip("every database of Redis is in use")
