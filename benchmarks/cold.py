"""What a task costs that does next to nothing: a cold process, one profile; side by side with another revision's."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import POSTGRES, ROOT, environment, origin

Took = dict[str, float]
CODE = Path(__file__).with_name("cold_task.py")


@dataclass(frozen=True, slots=True)
class Task:
    """A task to start cold.

    Attributes:
        name: in the table.
        kind: of ``benchmarks.cold_task``.
        target: of a pull; ``{folder}`` and ``{name}`` are those of the run.
        most: of the processor's time of the other revision, at most.
    """

    name: str
    kind: str = "pull"
    target: str = ""
    most: float | None = None


TASKS = (
    Task("pull into a local Parquet file", target="file://{folder}/out/history.parquet", most=0.4),
    Task("pull into SQLite", target="sql://bench_sqlite/history", most=0.5),
    Task("pull into PostgreSQL", target="sql://bench_postgres/{name}.history", most=0.5),
    Task("pull into S3", target="s3://bench_s3@bench/{name}/history.parquet", most=0.7),
    Task("poll of the sensor, rescheduled", kind="sensor", most=0.9),
    Task("HttpOperator, the same request", kind="http"),
)
FILE, POLL = TASKS[0], TASKS[4]
MEMORY = 0.5
"""Of the other revision's memory beyond Airflow's own, at most, in a pull into a file."""


@dataclass(slots=True)
class Cold:
    """What was measured.

    Attributes:
        against: the other revision, if any.
        now: runs of each task by its name.
        then: the same with the other revision.
    """

    against: str = ""
    now: dict[str, list[Took]] = field(default_factory=dict)
    then: dict[str, list[Took]] = field(default_factory=dict)


def measure(runs: int, against: str, tree: Path | None, schema: str) -> Cold:
    """Start each task so many times, in turn with those of the other revision.

    Args:
        runs: of each.
        against: a revision of this repository; nothing for none.
        tree: its package.
        schema: where in PostgreSQL tables may be made; nothing where there is no server.

    Raises:
        RuntimeError: a task failed.
    """
    cold = Cold(against)
    trees = [(cold.now, ROOT)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="altcraft-cold-")))
        if tree:
            trees.append((cold.then, tree))
        url = stack.enter_context(origin(1, 0, "full"))
        s3 = stack.enter_context(_s3())
        for number in range(-1, runs):  # the first is not counted: it compiles what it imports
            for task in TASKS:
                for found, where in trees:
                    if ("postgres" in task.target and not schema) or ("s3://" in task.target and not s3):
                        continue
                    took = _run(task, where, folder / "run", url, s3, schema)
                    if number >= 0:
                        found.setdefault(task.name, []).append(took)
    return cold


def _run(task: Task, tree: Path, folder: Path, url: str, s3: str, schema: str) -> Took:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    target = task.target.format(folder=folder, name=schema if "postgres" in task.target else f"run{time.time_ns()}")
    extra = {"endpoint_url": s3, "region_name": "eu-central-1"}
    own = {
        "AIRFLOW_CONN_BENCH_SQLITE": json.dumps({"conn_type": "sqlite", "host": str(folder / "history.db")}),
        "AIRFLOW_CONN_BENCH_POSTGRES": POSTGRES,
        "AIRFLOW_CONN_BENCH_S3": json.dumps(
            {"conn_type": "aws", "login": "bench", "password": "benchbench", "extra": extra}
        ),
    }
    took = run_task(task.kind, target, tree, folder, environment(url, str(folder)) | own)
    if "postgres" in task.target:
        _drop(target.rpartition("/")[2])
    return took


def run_task(kind: str, target: str, tree: Path, folder: Path, env: dict[str, str]) -> Took:
    """Run ``benchmarks.cold_task`` in a process of its own, with the package of a revision.

    Args:
        kind: of the task.
        target: of a pull.
        tree: where the package is.
        folder: an empty one, for what the task makes.
        env: of the process.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    result = folder / "took.json"
    done = subprocess.run(
        [sys.executable, "-P", str(CODE), kind, target, str(result)],
        env=env | {"PYTHONPATH": str(tree)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{kind}, code of {tree}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    took: Took = json.loads(result.read_text())
    return took


def _drop(table: str) -> None:
    import psycopg

    with psycopg.connect(POSTGRES) as connection:
        connection.execute(f"DROP TABLE {table}")


@contextlib.contextmanager
def _s3() -> Iterator[str]:
    """A server of S3 with a bucket; an empty address where there is none to start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                request = urllib.request.Request(f"{url}/bench", method="PUT")
                with urllib.request.urlopen(request):
                    break
            if server.poll() is not None:
                print("No moto, so S3 is left out.")
                url = ""
                break
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def table(cold: Cold) -> str:
    """The table, in Markdown."""
    then = f"at {cold.against}" if cold.against else "before"
    lines = [
        "## A cold task\n",
        (
            "A process of its own for one profile with 100 events, Airflow loaded beforehand; where another revision "
            "is given (`make bench AGAINST=…`), the two take turns. Medians; memory is what stays, beyond Airflow's "
            "own.\n"
        ),
        f"| | CPU s | {then} | ratio | wanted | | modules | {then} | MB | {then} | runs |",
        "| --- | ---: | ---: | ---: | ---: | --- |" + " ---: |" * 5,
    ]
    measured = [task for task in TASKS if task.name in cold.now]
    lines += [_line(task, cold.now[task.name], cold.then.get(task.name, [])) for task in measured]
    return "\n".join([*lines, ""])


def _line(task: Task, now: list[Took], then: list[Took]) -> str:
    ratio, word = "", ""
    if then:
        share = _median(now, "cpu") / _median(then, "cpu")
        ratio = f"{share:.2f}"
        if task.most is not None:
            word = "reached" if share <= task.most else "**not reached**"
    wanted = "" if task.most is None else f"at most {task.most:g}"
    cells = [
        task.name,
        f"{_median(now, 'cpu'):.2f}",
        f"{_median(then, 'cpu'):.2f}" if then else "",
        ratio,
        wanted,
        word,
    ]
    for name in ("modules", "mb"):
        cells += [f"{_median(runs, name):,.0f}" if runs else "" for runs in (now, then)]
    return f"| {' | '.join(cells)} | {len(now)} |"


def _median(runs: list[Took], name: str) -> float:
    return statistics.median(run[name] for run in runs)
