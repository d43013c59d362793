"""Runs contenders, each time in a new process against a server of its own, and checks what they have written."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.answers import Shape
from benchmarks.job import Job

ROOT = Path(__file__).resolve().parent.parent
EVENTS = 100
CONNECTIONS = 64
PATIENCE = 900  # seconds that one run may take
POSTGRES = os.environ.get("BENCH_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: seconds, megabytes, and what is wrong with its rows (nothing, where they are right)."""

    wall: float
    cpu: float
    base_mb: float
    peak_mb: float
    whole: float
    whole_cpu: float
    rows: int
    wrong: str = ""


@contextlib.contextmanager
def origin(profiles: int, latency_ms: float, shape: Shape) -> Iterator[str]:
    """The platform; its address."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.origin", str(profiles), str(EVENTS), str(latency_ms), shape],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    finally:
        server.stdin.close()
        server.wait(10)
        server.stdout.close()


def run(contender: str, url: str, profiles: int, *, schema: str = "", tree: Path | None = None) -> Run:
    """One run of a contender.

    Args:
        contender: a module of ``benchmarks.contenders``.
        url: the platform's address.
        profiles: how many it pulls.
        schema: where in PostgreSQL it may write.
        tree: of another revision's package, which then runs instead of this one.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    folder = tempfile.mkdtemp(prefix="altcraft-bench-")
    table = f"{schema}.history_{secrets.token_hex(4)}"
    job = Job(url=url, profiles=profiles, out=folder, connections=CONNECTIONS, postgres=table, events=EVENTS)
    result, log = Path(folder, "took.json"), Path(folder, "log")
    try:
        started = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "benchmarks.run", contender, json.dumps(asdict(job)), str(result)],
                cwd=ROOT,
                env=environment(url, folder) | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, (tree, ROOT))))},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            whole_cpu = _wait(process)
        whole = time.perf_counter() - started
        if process.returncode:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{contender} ended with {process.returncode}:\n{end}")
        took: dict[str, Any] = json.loads(result.read_text())
        rows, wrong = _check_table(table) if "postgres" in contender else _check_files(Path(folder))
        if rows != profiles * EVENTS and not wrong:
            wrong = f"{rows:,} rows instead of {profiles * EVENTS:,}"
        return Run(**took, whole=whole, whole_cpu=whole_cpu, rows=rows, wrong=wrong)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end; the processor's seconds of the process and its children."""
    give_up = time.monotonic() + PATIENCE
    while True:
        pid, status, use = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return use.ru_utime + use.ru_stime
        if time.monotonic() > give_up:
            process.kill()
        time.sleep(0.005)


def environment(url: str, folder: str, zone: str = "UTC") -> dict[str, str]:
    """An Airflow of its own, connected to the platform and to PostgreSQL; nothing of the caller's.

    Args:
        url: the platform's address.
        folder: where Airflow's own files go.
        zone: by which the platform counts days.
    """
    extra: dict[str, Any] = {"list_id": 1, "timezone": zone}
    extra |= {"max_connections": CONNECTIONS, "requests_per_second": 1_000_000, "timeout": 60}
    left_out = ("AIRFLOW_", "PYTHONDONTWRITEBYTECODE")
    own = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return own | {
        "AIRFLOW_HOME": folder,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW_CONN_ALTCRAFT_DEFAULT": json.dumps(
            {"conn_type": "altcraft", "host": url, "password": "t", "extra": extra}
        ),
        "AIRFLOW_CONN_PLATFORM": url,
        "AIRFLOW_CONN_BENCH_POSTGRES": POSTGRES,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PYTHONWARNINGS": "ignore",
    }


def _check_files(folder: Path) -> tuple[int, str]:
    """Rows in the files of a run, and what is wrong with them."""
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    wanted = pa.schema([("event_id", pa.string()), ("email", pa.string())])
    only = pa.json.ParseOptions(explicit_schema=wanted, unexpected_field_behavior="ignore")
    tables = []
    for file in folder.rglob("*"):
        if not _hidden(file.relative_to(folder)) and file.suffix == ".parquet":
            tables.append(pq.read_table(file, columns=wanted.names).cast(wanted))
        elif not _hidden(file.relative_to(folder)) and file.suffix == ".jsonl":
            tables.append(pa.json.read_json(file, parse_options=only).cast(wanted))
    if not tables:
        return 0, "it wrote nothing"
    written = pa.concat_tables(tables)
    return len(written), _wrong(written)


def _hidden(file: Path) -> bool:
    """Whether it is a library's own: dlt has tables and a working folder next to the rows."""
    return any(part.startswith((".", "_")) for part in file.parts)


def _wrong(written: Any) -> str:
    import pyarrow.compute as pc

    events = len(pc.unique(written["event_id"]))
    if events != len(written):
        return f"{len(written) - events:,} rows are doubled"
    of_event = pc.utf8_slice_codeunits(written["event_id"], 8, 16)
    of_profile = pc.utf8_slice_codeunits(written["email"], 4, 12)
    mixed = len(written) - (pc.sum(pc.equal(of_event, of_profile)).as_py() or 0)
    return f"{mixed:,} rows are another profile's" if mixed else ""


def _check_table(table: str) -> tuple[int, str]:
    import psycopg
    import pyarrow as pa

    with psycopg.connect(POSTGRES) as connection:
        rows = connection.execute(f"SELECT event_id, email FROM {table}").fetchall()
        connection.execute(f"DROP TABLE {table}")
    ids, emails = zip(*rows, strict=True) if rows else ((), ())
    return len(rows), _wrong(pa.table({"event_id": pa.array(ids, pa.string()), "email": pa.array(emails, pa.string())}))


@contextlib.contextmanager
def unpacked(revision: str) -> Iterator[Path | None]:
    """A folder with the package of a revision of this repository; none where no revision is given.

    Raises:
        RuntimeError: there is no such revision.
    """
    if not revision:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="altcraft-against-") as folder:
        packed = subprocess.run(
            ["git", "archive", "--format=tar", revision, "airflow_provider"], cwd=ROOT, capture_output=True, check=False
        )
        if packed.returncode:
            raise RuntimeError(f"AGAINST={revision}: {packed.stderr.decode().strip()}")
        subprocess.run(["tar", "-x"], input=packed.stdout, cwd=folder, check=True)
        yield Path(folder)


@contextlib.contextmanager
def postgres_schema() -> Iterator[str]:
    """A schema of its own in PostgreSQL; an empty name where there is no server, with the reason on the screen."""
    import psycopg

    name = f"altcraft_bench_{secrets.token_hex(4)}"
    try:
        with psycopg.connect(POSTGRES, connect_timeout=5) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
    except psycopg.OperationalError:
        print("No PostgreSQL (set BENCH_POSTGRES=postgresql://…), so it is left out.")
        yield ""
        return
    try:
        yield name
    finally:
        with psycopg.connect(POSTGRES) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")
