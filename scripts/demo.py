"""`make demo`: runs example_dags/altcraft_demo.py on a real Airflow against the emulator, and tells what happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from stage import AWAITED, PEOPLE, ROOT, airflow_environment, connection_to, populate

from airflow_provider.altcraft.testing import Emulator

HOME = Path(os.environ.get("DEMO_HOME", ROOT / ".demo"))
LOG = HOME / "airflow.log"
FILE = HOME / "history.parquet"
started = time.monotonic()


def main() -> int:
    """Run the demo; the exit code is 1 where it failed."""
    HOME.mkdir(parents=True, exist_ok=True)
    screen = _all_else_into(LOG)

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:4.0f} s  {text}", file=screen, flush=True)

    _end_on_signals(screen)
    try:
        with Emulator() as api:
            events = populate(api)
            say(f"Altcraft emulator at {api.url}: {PEOPLE} people, {events} events in January 2026, and Ann")
            os.environ.clear()
            os.environ.update(airflow_environment(HOME))
            os.environ["AIRFLOW_CONN_ALTCRAFT_DEFAULT"] = json.dumps(connection_to(api))
            _migrate(say)
            done = threading.Event()
            ann = threading.Thread(target=_ann, args=(api, say, done), daemon=True)
            ann.start()
            try:
                results = _run_dag()
            finally:
                done.set()
                ann.join()
    except Exception as error:
        say(f"Failed: {error or type(error).__name__}")
        tail = LOG.read_text(errors="replace").splitlines()[-25:]
        print(f"\nThe end of {_short(LOG)}:", *tail, sep="\n  ", file=screen, flush=True)
        return 1
    exported, table = results["export_history"], results["funnel"]
    say(
        f"export_history: {exported['rows']} events of {exported['profiles']} profiles are written to {_short(FILE)} "
        f"({exported['bytes'] / 1024:.0f} KB)"
    )
    say("funnel: reads the file back:\n")
    print(*(f"        {line}".rstrip() for line in table.splitlines()), sep="\n", file=screen)
    print(f"\nAirflow's own log: {_short(LOG)}. Look around in its UI: make airflow", file=screen, flush=True)
    return 0


def _all_else_into(log: Path) -> IO[str]:
    """Send all that this process and its children print into a file; returns what still reaches the screen."""
    screen = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # it is the real one, nothing replaced it
    return screen


def _end_on_signals(screen: IO[str]) -> None:
    """End at once on Ctrl-C or SIGTERM, without handlers: Airflow sets its own while a task runs.

    Everything lives in this process, and what tasks write is either complete or not there, so nothing is left behind.
    """
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)

    def wait() -> None:
        signal.sigwait(ends)
        print("\nInterrupted.", file=screen, flush=True)
        os._exit(130)

    threading.Thread(target=wait, daemon=True).start()


def _migrate(say: Callable[[str], None]) -> None:
    """Give Airflow its database. It is kept between runs, for it takes a third of the time."""
    from importlib.metadata import version

    made_by = HOME / "made-by-airflow"
    if made_by.exists() and made_by.read_text() == version("apache-airflow"):
        say(f"Airflow {version('apache-airflow')} starts on the database of the last run")
        return
    say(f"Airflow {version('apache-airflow')} starts and makes its database in {_short(HOME)}/")
    for old in HOME.glob("airflow.db*"):
        old.unlink()
    shutil.rmtree(HOME / "logs", ignore_errors=True)
    from airflow.__main__ import main as airflow

    arguments, sys.argv = sys.argv, ["airflow", "db", "migrate"]
    airflow()  # type: ignore[no-untyped-call]
    sys.argv = arguments
    made_by.write_text(version("apache-airflow"))


def _run_dag() -> dict[str, Any]:
    """Run the workflow; returns what its tasks returned.

    Raises:
        RuntimeError: it did not succeed; the message names the tasks that did not.
    """
    sys.path.insert(0, str(ROOT))
    from example_dags.altcraft_demo import dag

    run = dag.test(run_conf={"file": str(FILE)})
    tasks = {task.task_id: task for task in run.get_task_instances()}
    if run.state != "success":
        states = ", ".join(f"{name}: {task.state}" for name, task in tasks.items() if task.state != "success")
        raise RuntimeError(f"the DAG's run ended as {run.state} ({states})")
    return {name: task.xcom_pull(task_ids=name) for name, task in tasks.items()}


def _ann(api: Emulator, say: Callable[[str], None], done: threading.Event) -> None:
    """Tell what the emulator is asked, and let Ann post the form once the sensor has asked for her twice."""
    reported = 0
    while reported < 3 and not done.wait(0.1):
        emails = [request.body.get("email") for request in api.requests]
        if reported == 0 and AWAITED in emails:
            say("wait_for_form: has found no form_post in Ann's history, and waits in the trigger")
            reported = 1
        elif reported == 1 and emails.count(AWAITED) > 1:
            api.add_event(AWAITED, "form_post")
            say("Ann posts the form")
            reported = 2
        elif reported == 2 and emails[-1] != AWAITED:
            say("wait_for_form: done; export_history asks for the others' history of January")
            reported = 3


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
