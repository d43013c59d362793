"""The command line as a user has it: processes, their exit codes, and what stands on stdout and stderr."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from getpass import getuser
from pathlib import Path

import airflow
import pytest
from airflow.utils.session import create_session

from airflow_provider.altcraft._airflow.connection_tests import last_tests
from airflow_provider.altcraft.testing import Emulator

BIN = Path(sys.executable).parent
MODULE = [sys.executable, "-m", "airflow_provider.altcraft"]
ON_AIRFLOW_3 = not airflow.__version__.startswith("2.")
COMMANDS = [pytest.param(MODULE, id="python -m")]
if ON_AIRFLOW_3:
    COMMANDS.append(pytest.param([f"{BIN}/airflow", "altcraft"], id="airflow"))
ANN = "ann@example.com"

pytestmark = pytest.mark.usefixtures("airflow_db")


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email=ANN)
    altcraft_api.add_event(ANN, "click", message_name="Привет")
    return altcraft_api


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("command", COMMANDS)
def test_json_alone_is_on_stdout(command: list[str]) -> None:
    ended = run(*command, "history", ANN, "--output", "json", PYTHONIOENCODING="utf-8")
    assert ended.returncode == 0, ended.stderr
    assert [row["message_name"] for row in json.loads(ended.stdout)] == ["Привет"]
    verbose = run(*command, "databases", "--output", "json", "--verbose")
    assert [row["id"] for row in json.loads(verbose.stdout)] == [1]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_is_one_line(command: list[str], api: Emulator, connect: Callable[..., str]) -> None:
    connect(api, token="wrong-t0ken")
    ended = run(*command, "history", ANN)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: subscribers/history_get: ")
    assert ended.stderr.count("\n") == 1
    assert not any(secret in ended.stderr for secret in ("wrong-t0ken", ANN, "Traceback"))
    assert run(*command, "history", "ann").returncode == 2


def test_a_connection_in_the_database_needs_no_port(api: Emulator) -> None:
    """The Test button of Airflow 3.3.2 answers 400 for such a connection."""
    stored = json.dumps({"conn_type": "altcraft", "host": api.url, "password": api.token})
    added = run(f"{BIN}/airflow", "connections", "add", "stored", "--conn-json", stored)
    assert added.returncode == 0, added.stderr
    ended = run(*COMMANDS[-1].values[0], "test", "stored")
    run(f"{BIN}/airflow", "connections", "delete", "stored")
    said = "The platform answers; the token sees 1 database: 1 Database #1."
    assert (ended.returncode, ended.stdout) == (0, f"{said}\n")
    with create_session() as session:
        kept = last_tests(session)["stored"]
    assert (kept.status, kept.message, kept.owner) == (True, said, getuser())


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_reads_only_the_beginning_ends_it_quietly(unbuffered: str, api: Emulator) -> None:
    api.add_database(2)
    api.seed(list_id=2, profiles=1, events_per_profile=5000)
    script = f"set -o pipefail; {' '.join(MODULE)} history user0@example.com --list-id 2 -o csv | head -n 1"
    ended = run("bash", "-c", script, PYTHONUNBUFFERED=unbuffered)
    assert (ended.returncode, ended.stderr) == (141, "")
    assert ended.stdout.startswith("datetime,")
    assert ended.stdout.count("\n") == 1


def _ended_by(number: signal.Signals, command: list[str], api: Emulator, folder: Path) -> int:
    """The exit code of a command that a signal ends while the platform has yet to answer."""
    api.latency = 60
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        # Tests in a shell's background have it ignored, and what they start too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no thread of ours holds a lock
    )
    try:
        until = time.monotonic() + 60
        while not api.requests and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(number)
        assert process.communicate(timeout=20) == ("", "")
        return process.returncode
    finally:
        process.kill()


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_ends_it_quietly(command: list[str], api: Emulator, tmp_path: Path) -> None:
    assert _ended_by(signal.SIGINT, [*command, "history", ANN], api, tmp_path) == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_pull_that_is_ended_leaves_nothing(number: signal.Signals, api: Emulator, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("as it was")
    code = _ended_by(number, [*MODULE, "pull", "--target", "a.parquet", "--profile", ANN], api, tmp_path)
    assert code == 128 + number
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.parquet", "as it was")]


@pytest.mark.parametrize("arguments", [[], ["--verbose"]])
def test_a_bar_is_shown_on_a_terminal_alone(arguments: list[str], api: Emulator, tmp_path: Path) -> None:
    api.latency = 0.3
    command = [*MODULE, "pull", "--target", f"{tmp_path}/a.csv", "--profile", ANN, "--output", "json", *arguments]
    piped = run(*command)
    assert (piped.returncode, "━" in piped.stderr, ANN in piped.stderr) == (0, False, False)
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        shown = ""
        with suppress(OSError):  # by which a terminal says that nobody writes to it any more
            while piece := os.read(ours, 65536):
                shown += piece.decode()
        os.close(ours)
        printed = process.stdout.read() if process.stdout else ""
    assert (process.returncode, json.loads(printed)["rows"]) == (0, 1)
    assert ("1 of 1 profile" in shown, "of 1 profiles" in shown, "━" in shown) == (True, False, not arguments)
