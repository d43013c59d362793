"""`make release-check`: build wheel and sdist, check them, and use the wheel on both Airflow lines, oldest and newest.

Each environment is made in a temporary folder from the pins of `constraints/`, holds no source of ours, and pulls a
profile's history from the emulator: with the newest versions by Airflow's own `dags test`. With the lowest ones the
operator runs by itself, since the command of Airflow 3.3.2 does not start with the pydantic 2.11.1 that it admits.

With `TAG=v0.1.0` the tag is refused first where it is not the package's version, or where the version's section in
CHANGELOG.md has no day.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
ENVIRONMENTS = ("airflow-3.3", "lowest-3.3", "airflow-2.11", "lowest-2.11")
"""Files of pins: the newest and the lowest of each line."""

IN_WHEEL = ("airflow_provider/altcraft/py.typed", "airflow_provider/altcraft/get_provider_info.py")
IN_SDIST = ("LICENSE", "README.md", "CHANGELOG.md", "docs/conf.py", "constraints/airflow-3.3.txt", "example_dags")

DAG = """
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator

    with DAG("release", schedule=None) as dag:
        AltcraftHistoryOperator(task_id="pull", profiles="user0@example.com", target="file:///{out}/history.parquet")
"""


def main(tag: str = "") -> int:
    """Check all; the exit code is 1 where something is wrong."""
    if tag:
        check_tag(tag, ROOT)
    with tempfile.TemporaryDirectory() as folder:
        dist = Path(folder) / "dist"
        run(sys.executable, "-m", "build", "--installer", "uv", "--outdir", dist, ROOT)
        run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
        (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
        check_contents(wheel, sdist)
        for name in ENVIRONMENTS:
            check_environment(Path(folder) / name, wheel, ROOT / "constraints" / f"{name}.txt")
            print(f"{name}: pulled", flush=True)
    return 0


def check_tag(tag: str, root: Path) -> None:
    """Refuse a tag that is not the version's, and a version whose changes have no day of release.

    Args:
        tag: such as ``v0.1.0``.
        root: the folder of the project.
    """
    source = (root / "airflow_provider" / "altcraft" / "__init__.py").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    expected = f"v{version[1]}" if version else "the version in airflow_provider/altcraft/__init__.py"
    if tag != expected:
        raise SystemExit(f"tag: expected {expected}, got {tag}; set __version__, or tag another name")
    headings = re.findall(r"^## (.+)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    heading = next((each for each in headings if each.split()[0] == tag[1:]), "none")
    try:
        dt.date.fromisoformat(heading.removeprefix(f"{tag[1:]} — "))
    except ValueError:
        raise SystemExit(
            f"CHANGELOG.md: expected a section '## {tag[1:]} — YYYY-MM-DD', got {heading!r}; write the day of release"
        ) from None


def check_contents(wheel: Path, sdist: Path) -> None:
    """Refuse archives that lack what must be in them, or that hold what is nobody's business."""
    packed = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        source = [name.partition("/")[2] for name in archive.getnames()]
    missing = {name for name in IN_WHEEL if name not in packed} | {
        name for name in IN_SDIST if not any(each.startswith(name) for each in source)
    }
    extra = [name for name in [*packed, *source] if "__pycache__" in name or ".venv" in name]
    if missing or extra:
        raise SystemExit(f"expected {sorted(missing)} in the archives, and not {extra[:5]}")
    if not any(name.endswith("licenses/LICENSE") for name in packed):
        raise SystemExit("expected the licence in the wheel")


def check_environment(folder: Path, wheel: Path, pins: Path) -> None:
    """Install the wheel with these versions, and pull a history by it."""
    python = folder / "bin" / "python"
    run(*UV, "venv", "--quiet", "--python", sys.executable, folder)
    run(*UV, "pip", "install", "--quiet", "--python", python, "--constraint", pins, f"{wheel}[testing]")
    home = folder / "home"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "release.py").write_text(textwrap.dedent(DAG).replace("{out}", str(home).lstrip("/")))
    script = """
        import os, subprocess, sys
        from airflow_provider.altcraft.testing import Emulator
        with Emulator() as api:
            api.seed(profiles=1, events_per_profile=10)
            os.environ["AIRFLOW_CONN_ALTCRAFT_DEFAULT"] = (
                '{"conn_type": "altcraft", "host": "%s", "password": "%s", "extra": {"list_id": 1}}'
                % (api.url, api.token)
            )
            if "lowest" in os.environ["AIRFLOW_HOME"]:
                sys.path.insert(0, os.environ["AIRFLOW_HOME"] + "/dags")
                from release import dag
                dag.get_task("pull").execute({})
            else:
                for command in (["db", "migrate"], ["dags", "test", "release", "2026-01-01"]):
                    subprocess.run([sys.executable, "-W", "ignore", "-m", "airflow", *command], check=True)
        import pyarrow.parquet
        rows = pyarrow.parquet.read_table(os.environ["AIRFLOW_HOME"] + "/history.parquet").num_rows
        sys.exit(rows != 10 and f"expected 10 rows, got {rows}")
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    ended = subprocess.run(
        [python, "-c", textwrap.dedent(script)], env=environment, cwd=home, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{pins.stem}: the pull failed\n{ended.stdout[-4000:]}\n{ended.stderr[-4000:]}")


def run(*command: object) -> None:
    """Run a command; its failure ends all."""
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
