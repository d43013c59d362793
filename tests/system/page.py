"""An Airflow with real users whose database holds real pulls, for the tests of the page and for its pictures."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlencode

from airflow_provider.altcraft.testing import Emulator, faults
from tests.system.browser import environment_of, served

DAGS = Path(__file__).parent / "page_dags"
TOKEN = "token-that-no-page-shows"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> for eve@example.com"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LONG = "x" * 240
LONG_DAG = f"long-{LONG}"
RUNS = {
    "shop": ("2026-01-13", "2026-01-14"),
    "secret": ("2026-01-14",),
    "slow": ("2026-01-14",),
    LONG_DAG: ("2026-01-14",),
}

# Everybody may see everything but ann the DAG "secret".
_AUTH_MANAGER = """
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

class PageAuthManager(SimpleAuthManager):
    def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
        if user.username == "ann" and details is not None and details.id == "secret":
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
"""
_RUN = """
import sys
from airflow.cli.cli_parser import get_parser

def run(*command):
    options = get_parser().parse_args(command)
    options.func(options)

run("dags", "reserialize")
for each in sys.argv[1:]:
    run("dags", "test", *each.split())
"""
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Site:
    """An Airflow that is served.

    Attributes:
        url: its address.
        tokens: of its users: ``ann``, a viewer, and ``root``, an admin.
        runs: ids of the runs of each DAG, the first first.
        environment: of its commands.
    """

    url: str
    tokens: Mapping[str, str]
    runs: Mapping[str, list[str]]
    environment: Mapping[str, str]

    def ask(
        self,
        path: str,
        user: str | None = "ann",
        *,
        cookie: bool = False,
        post: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, str, Message]:
        """Status, body and headers of an answer, that of where it redirects to where it does."""
        headers = dict(headers)
        if user is not None:
            token = self.tokens.get(user, user)
            headers |= {"Cookie": f"_token={token}"} if cookie else {"Authorization": f"Bearer {token}"}
        try:
            with _DIRECT.open(urllib.request.Request(self.url + path, post, headers), timeout=60) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def add_connection(self, conn_id: str, host: str) -> None:
        """Store a connection to database 1 of a platform."""
        made = {"connection_id": conn_id, "conn_type": "altcraft", "host": host, "password": TOKEN}
        body = json.dumps(made | {"extra": '{"list_id": 1}'}).encode()
        status, answer, _ = self.ask(
            "/api/v2/connections", "root", post=body, headers={"Content-Type": "application/json"}
        )
        assert status == 201, answer

    def command(self, *arguments: str) -> str:
        """What a command of its ``airflow`` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return done.stdout

    def task(self, task: str, dag: str = "shop", run: int = -1, **more: object) -> str:
        """The path of a task instance's page."""
        asked = {"dag_id": dag, "run_id": self.runs[dag][run], "task_id": task, "map_index": "{MAP_INDEX}", **more}
        return f"/altcraft/task?{urlencode(asked)}"


def fill(api: Emulator) -> None:
    """Give the platform what the DAGs pull."""
    api.seed(profiles=300, events_per_profile=60, start=START, days=15)
    api.play_forever(faults.error(400, "user7@example.com is odd"), lookup="user7@example.com")
    api.play_forever(faults.latency(15), lookup="user80@example.com")  # so long that its pull keeps a record before
    for list_id, email in ((2, "many@example.com"), (3, "<b>eve</b>@example.com")):
        api.add_database(list_id, name=f"Database {list_id}")
        who = api.add_profile(list_id=list_id, email=email)
        count = 10_000 if list_id == 2 else 5
        for number in range(count):
            name = (HOSTILE, "\u202e" + "W" * 400)[number % 2] if list_id == 3 else f"Campaign {number}"
            action = "<i>odd</i>" if number == 4 else "send"
            at = START + dt.timedelta(minutes=13 * number)  # 91 days of many campaigns
            api.add_event(
                who, action, list_id=list_id, at=at, campaign_id=number + 1, campaign_name=name, channel="<u>x</u>"
            )


@contextlib.contextmanager
def site(
    home: Path, database: Path, api: Emulator, *, dags: Path = DAGS, runs: Mapping[str, Sequence[str]] = RUNS
) -> Iterator[Site]:
    """Run the DAGs and serve Airflow's pages.

    Args:
        home: an empty folder.
        database: a folder with Airflow's own database, migrated.
        api: the platform, filled.
        dags: the folder of the DAGs.
        runs: the logical dates of the runs of each.
    """
    shutil.copy(database / "airflow.db", home)
    shutil.copytree(dags, home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    (home / "page_auth_manager.py").write_text(_AUTH_MANAGER)
    (home / "passwords.json").write_text(json.dumps({"ann": "ann", "root": "root"}))
    extra = {"list_id": 1, "campaign_url": "https://example.com/campaigns/{campaign_id}"}
    more = {
        "AIRFLOW__ALTCRAFT__DOCS_URL": "https://docs.example.com",
        "AIRFLOW__CORE__AUTH_MANAGER": "page_auth_manager.PageAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:viewer,root:admin",
        "AIRFLOW__API_AUTH__JWT_SECRET": "of-the-tests-alone" * 4,
        "AIRFLOW_CONN_ALTCRAFT_DEFAULT": json.dumps(
            {"conn_type": "altcraft", "host": api.url, "password": api.token, "extra": extra}
        ),
        "PYTHONPATH": str(home),
    }
    commands = [f"{dag} {day}" for dag, days in runs.items() for day in days]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _RUN, *commands],
        env=environment_of(home, 0) | more,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    # As it would stand in the database had the triggerer and the task not come to their ends yet.
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=5, minutes=1)
    with closing(sqlite3.connect(home / "airflow.db")) as connection, connection:
        connection.execute("UPDATE task_instance SET state = 'deferred' WHERE task_id LIKE 'wait%'")
        connection.execute("UPDATE task_instance SET state = 'running' WHERE dag_id = 'slow'")
        connection.execute("DELETE FROM xcom WHERE dag_id = 'slow' AND key = 'return_value'")
        connection.execute(
            "UPDATE xcom SET value = json_set(value, '$.status', 'waiting', '$.until', ?) WHERE key = 'altcraft_wait'",
            [until.isoformat()],
        )
    with served(home, **more) as (url, environment):
        tokens = {name: _token(url, name) for name in ("ann", "root")}
        made = Site(url, tokens, {}, environment)
        found = {dag: json.loads(made.ask(f"/api/v2/dags/{dag}/dagRuns", "root")[1])["dag_runs"] for dag in runs}
        yield replace(made, runs={dag: [run["dag_run_id"] for run in each] for dag, each in found.items()})


def _token(url: str, name: str) -> str:
    data = json.dumps({"username": name, "password": name}).encode()
    request = urllib.request.Request(f"{url}/auth/token", data, {"Content-Type": "application/json"})
    with _DIRECT.open(request, timeout=60) as answer:
        token: str = json.load(answer)["access_token"]
        return token
