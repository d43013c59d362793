"""README.md as it is printed, in its order, on a fresh Airflow: all but the port and the folder is the reader's."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAKE, SETUP, RUN = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
VENV, INSTALL, SERVE = SETUP.split("\n", 2)
(DAG,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_it_is_one_screen() -> None:
    assert len(README.splitlines()) <= 60
    assert len(DAG.splitlines()) <= 10


def test_it_ends_in_success(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    script = "\n".join([
        "trap 'kill $(jobs -p)' EXIT",
        SERVE,
        f"mkdir -p ~/airflow/dags; cat > ~/airflow/dags/welcome.py <<'DAG'\n{DAG}DAG",
        RUN,
    ]).replace("8811", port).replace("/tmp/altcraft", f"{tmp_path}/altcraft")  # fmt: skip
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=own | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0, said
    assert "state=success" in said, said
    assert pq.read_metadata(tmp_path / "altcraft" / "welcome.parquet").num_rows == 100
    assert "Traceback" not in said, said
    assert "with 100 events in `/tmp/altcraft/welcome.parquet`" in README


def test_it_installs_what_the_tests_run_on() -> None:
    assert VENV == "python3 -m venv venv && . venv/bin/activate"
    constraints = INSTALL.removeprefix("pip install '.[testing]' --constraint ")
    assert (ROOT / constraints).is_file()


def test_every_command_of_make_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make ([a-z]+)", MAKE, re.MULTILINE)
    assert commands == ["demo", "airflow", "test"]
    assert all(re.search(rf"^{name}:", makefile, re.MULTILINE) for name in commands)
