"""The example of docs/emulator.md as it is printed: its files in a folder, pytest as a user runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
DAG, TESTS, ALONE, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(COMMAND,) = re.findall(r"```bash\n(pytest .*?)\n```", PAGE)


def test_it_runs_as_printed(tmp_path: Path) -> None:
    for name in ("dags/reminder.py", "tests/test_reminder.py"):
        assert f"`{name}`" in PAGE
    for name, text in {"dags/reminder.py": DAG, "tests/test_reminder.py": TESTS, "tests/test_alone.py": ALONE}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    home = tmp_path / "home"
    home.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-euc", COMMAND],
        cwd=tmp_path,
        env=own | {"PATH": path, "HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout
    assert not (home / "airflow" / "airflow.db").exists(), "the user's own Airflow is not touched"
