"""docs/tutorial.md, step by step as it is printed: ports and the database alone are ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import airflow
import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.integration.databases import Database

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.skipif(not airflow.__version__.startswith("3."), reason="the tutorial installs Airflow 3")
def test_it_ends_with_rows_in_ones_own_database(postgres: Database, altcraft_api: Emulator, tmp_path: Path) -> None:
    altcraft_api.seed(profiles=5, events_per_profile=100)
    install, serve, connect, write, run, look = BLOCKS
    assert "pip install '.[postgres,testing]'" in install
    assert look == "airflow standalone\n"
    assert "airflow_provider.altcraft.testing --port 8811" in serve
    table = f"history_{uuid.uuid4().hex[:12]}"
    place = postgres.arguments
    script = (
        "\n".join([connect, write, run])
        .replace("http://127.0.0.1:8811", altcraft_api.url)
        .replace("emulator-token", altcraft_api.token)
        .replace("127.0.0.1:5432/test", f"127.0.0.1:{place['port']}/{place['dbname']}")
        .replace("altcraft_history", table)
    )
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 of 1 profile, 100 events" in ended.stdout
    assert f"written to sql://warehouse/{table}" in ended.stdout
    assert postgres.count(table) == 100
