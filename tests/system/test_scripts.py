"""``make demo`` and ``make airflow``, as a new user runs them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import airflow
import psutil
import pytest

from airflow_provider.altcraft.get_provider_info import FORM_FIELDS

ROOT = Path(__file__).parents[2]
ON_AIRFLOW_3 = airflow.__version__.startswith("3.")


def table_of(output: str) -> list[str]:
    return output[output.index("profiles    events") :].splitlines()[:5]


def test_the_demo_twice_gives_the_same_table(tmp_path: Path) -> None:
    tables = []
    for _ in range(2):
        ended = subprocess.run(
            [sys.executable, "-W", "ignore", ROOT / "scripts" / "demo.py"],
            env={**os.environ, "DEMO_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert len(ended.stdout.splitlines()) <= 30
        assert "Ann posts the form" in ended.stdout
        assert (tmp_path / "history.parquet").stat().st_size > 1000
        tables.append(table_of(ended.stdout))
    assert tables[0] == tables[1]
    assert [line.split()[0] for line in tables[0][1:]] == ["sent", "delivered", "opened", "clicked"]


def processes_of(home: Path) -> list[int]:
    """The living processes whose Airflow lives there."""
    marker = f"AIRFLOW_HOME={home}\0".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in environ.read_bytes() + b"\0":
                found.append(int(environ.parent.name))
        except OSError:  # gone in the meantime
            continue
    return found


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", ROOT / "scripts" / "standalone.py"],
        env={**os.environ, "AIRFLOW_DEMO_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield process
    # Where it is still there, it is asked to end its children before it is made to.
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(40)
    process.kill()
    process.communicate()
    for pid in processes_of(tmp_path):
        os.kill(pid, signal.SIGKILL)


def test_a_whole_airflow_shows_the_form_and_leaves_nothing(standalone: subprocess.Popen[str], tmp_path: Path) -> None:
    if not ON_AIRFLOW_3:
        assert standalone.wait(60) == 1
        assert standalone.stdout is not None
        assert "Airflow 3" in standalone.stdout.read()
        return
    url = _address(standalone)
    form = next(each for each in _ask(url, "/ui/connections/hook_meta") if each["connection_type"] == "altcraft")
    assert set(form["extra_fields"]) == set(FORM_FIELDS)
    assert form["hook_name"] == "Altcraft"
    standard = form["standard_fields"]
    assert (standard["url_schema"]["hidden"], standard["login"]["hidden"]) == (True, True)
    assert (standard["host"]["title"], standard["password"]["title"]) == ("Base URL *", "API token *")
    (connection,) = _ask(url, "/api/v2/connections")["connections"]
    assert (connection["connection_id"], connection["password"]) == ("altcraft_default", "***")
    asked = {name: connection[name] for name in ("connection_id", "conn_type", "host", "port", "password", "extra")}
    tested = _ask(url, "/api/v2/connections/test", **asked)  # as the page's button asks
    assert tested["message"].startswith("The platform answers; the token sees 1 database: 1 "), tested
    assert not list(tmp_path.glob("connections*")), "the file with the token is gone"
    # Workers that rename themselves no longer show their environment, so descent is looked at as well.
    family = psutil.Process(standalone.pid).children(recursive=True)
    assert any("worker" in name for name in map(_title, family)), "the executor's workers are those that stay behind"
    standalone.send_signal(signal.SIGINT)
    assert standalone.wait(60) == 0
    assert [member for member in family if member.is_running()] == []
    assert processes_of(tmp_path) == []
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_server((host, int(port))):
        """It is free again."""


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # gone in the meantime
        return ""


def _address(standalone: subprocess.Popen[str]) -> str:
    assert standalone.stdout is not None
    said = ""
    for line in standalone.stdout:
        said += line
        if found := re.search(r"Airflow is ready: (\S+)", line):
            return found[1]
    raise AssertionError(said)


def _ask(url: str, path: str, **body: Any) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(50):  # the UI's part may come up after the rest
        with direct.open(f"{url}/auth/token", timeout=30) as answer:
            token = json.load(answer)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, json.dumps(body).encode() if body else None, headers)
        try:
            with direct.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise
            time.sleep(1)
    raise AssertionError(f"{path} did not come up")
