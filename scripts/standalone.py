"""`make airflow`: a whole Airflow 3 with its UI, the emulator, a connection to it and the example DAGs, to look around.

It starts what `airflow standalone` starts, but one by one: standalone's log servers listen on all interfaces, and its
children outlive it. Everything here is on the loopback interface and ends with this script. PORT names the UI's port.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from stage import AWAITED, JANUARY, ROOT, airflow_environment, connection_to, populate

from airflow_provider.altcraft.testing import Emulator

HOME = Path(os.environ.get("AIRFLOW_DEMO_HOME", ROOT / ".airflow"))
LOG = HOME / "airflow.log"
COMPONENTS = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)
HEALTHY_WITHIN = 300  # seconds; a minute is usual
PATIENCE = 15  # seconds that the components have to end by themselves


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code is 1 where Airflow did not start, or ended by itself."""
    if not version("apache-airflow").startswith("3."):
        print("make airflow wants Airflow 3; leave AIRFLOW=2.11 out.", file=sys.stderr)
        return 1
    port = _port()
    if port is None:
        print(f"The port {os.environ['PORT']} is taken or none; set PORT to another, or not at all.", file=sys.stderr)
        return 1
    url = f"http://127.0.0.1:{port}"
    end = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: end.set())
    HOME.mkdir(parents=True, exist_ok=True)
    _adopt_orphans()
    yesterday = dt.datetime.now(dt.UTC).replace(hour=9, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)
    with Emulator() as api, LOG.open("w") as log:
        populate(api, [*JANUARY, yesterday])
        environment = airflow_environment(HOME) | _settings(url)
        print(f"Altcraft emulator at {api.url}", flush=True)
        print(f"Airflow {version('apache-airflow')} starts, which takes a minute; its log is {LOG} …", flush=True)
        processes: list[subprocess.Popen[bytes]] = []

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # else Ctrl-C would reach it before us
            )
            processes.append(process)
            return process

        def running() -> bool:
            return all(process.poll() is None for process in processes)

        try:
            with _connections_file(api) as path:
                prepared = all(
                    _ended_well(start(*command), processes, end)
                    for command in (("db", "migrate"), ("connections", "import", "--overwrite", str(path)))
                )
            if prepared:
                for component in COMPONENTS:
                    start(*component)
                if _wait_until_healthy(url, running, end):
                    print(_guide(url, api), flush=True)
                    _let_ann_act(api, running, end)
        finally:
            asked_for = end.is_set()
            # Read now, before all that ends says so.
            tail = LOG.read_text(errors="replace").splitlines()[-25:]
            print("Ending Airflow …", flush=True)
            _end_all(processes)
    if not asked_for:
        print("Airflow did not start, or ended by itself. The end of its log:", *tail, sep="\n  ", file=sys.stderr)
    return 0 if asked_for else 1


@contextlib.contextmanager
def _connections_file(api: Emulator) -> Iterator[Path]:
    """A file for ``airflow connections import``: the UI shows what it stores, and a command line is seen by all."""
    path = HOME / "connections.json"
    path.unlink(missing_ok=True)
    path.touch(0o600)
    try:
        path.write_text(json.dumps({"altcraft_default": connection_to(api)}))
        yield path
    finally:
        path.unlink()


def _ended_well(
    process: subprocess.Popen[bytes], processes: list[subprocess.Popen[bytes]], end: threading.Event
) -> bool:
    """Wait for a command that is short, or the end; one that ended well is none of the processes any more."""
    while process.poll() is None and not end.wait(0.2):
        """It is short."""
    if process.poll() == 0:
        processes.remove(process)
    return process.poll() == 0


def _port() -> int | None:
    """The port that is asked for, or a free one; None where it cannot be had."""
    try:
        with socket.create_server(("127.0.0.1", int(os.environ.get("PORT") or 0))) as free:
            port: int = free.getsockname()[1]
            return port
    except (OSError, OverflowError, ValueError):
        return None


def _settings(url: str) -> dict[str, str]:
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW_VAR_ALTCRAFT_LAKE": f"file://{HOME}/lake",
    }


def _wait_until_healthy(url: str, running: Callable[[], bool], end: threading.Event) -> bool:
    """Whether all components came up before the end."""
    give_up = time.monotonic() + HEALTHY_WITHIN
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not end.wait(1) and running() and time.monotonic() < give_up:
        with contextlib.suppress(OSError, ValueError), direct.open(f"{url}/api/v2/monitor/health", timeout=5) as answer:
            if all(component["status"] == "healthy" for component in json.load(answer).values()):
                return True
    return False


def _guide(url: str, api: Emulator) -> str:
    return f"""
Airflow is ready: {url}

  The examples       {url}/dags?tags=altcraft
  The connection     {url}/connections - altcraft_default, which the examples use; its Test button names the
                     databases. To add another: type Altcraft, base URL {api.url},
                     token {api.token}, port {api.url.rpartition(":")[2]}.
  The emulator       {api.url}/emulator - lets someone do something now, plays faults, lists requests
  altcraft_demo      trigger it: it waits for {AWAITED}, who posts the form and confirms some 15 seconds later.
  altcraft_daily_export  has run for yesterday, into {HOME}/lake

Ctrl-C ends everything.
"""


def _let_ann_act(api: Emulator, running: Callable[[], bool], end: threading.Event) -> None:
    """Until the end: whenever somebody waits for Ann, let her do what is waited for after a while."""
    while not end.wait(1) and running():
        asked = [request.at for request in api.requests if request.body.get("email") == AWAITED]
        if asked and (dt.datetime.now(dt.UTC) - asked[0]).total_seconds() > 15:
            for action in ("form_post", "confirm"):
                api.add_event(AWAITED, action)
            api.reset()


# How everything ends. Airflow's processes open sessions of their own and outlive their parents, so what belongs to us
# is known by descent: on Linux an orphan becomes the child of its nearest ancestor that asked for orphans.


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _end_all(processes: list[subprocess.Popen[bytes]]) -> None:
    """End all that was started: politely, then not."""
    _send(signal.SIGTERM, processes)
    give_up = time.monotonic() + PATIENCE
    while any(process.poll() is None for process in processes) or _descendants():
        if time.monotonic() > give_up:
            _send(signal.SIGKILL, processes)
        time.sleep(0.1)


def _send(number: signal.Signals, processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        with contextlib.suppress(OSError):  # the group is gone already
            os.killpg(process.pid, number)
    for pid in _descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _descendants() -> list[int]:
    """The living processes that descend from this one; empty where there is no /proc."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            """One that was adopted is laid to rest."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended in between
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


if __name__ == "__main__":
    sys.exit(main())
