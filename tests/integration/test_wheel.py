"""The wheel, installed with nothing but Airflow, is found by Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import airflow
import pytest

ROOT = Path(__file__).parents[2]
LINE = ".".join(airflow.__version__.split(".")[:2])
UV = [sys.executable, "-m", "uv"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--installer", "uv", "--outdir", out, ROOT], check=True)
    return out


def test_what_is_in_the_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("airflow_provider_altcraft-*-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "airflow_provider/altcraft/py.typed" in names
    assert "airflow_provider/altcraft/operators/history.py" in names
    # A namespace package: other vendors' providers can share the name.
    assert "airflow_provider/__init__.py" not in names
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"airflow_provider", "airflow_provider_altcraft"}


def test_what_is_in_the_sdist(dist: Path) -> None:
    (sdist,) = dist.glob("airflow_provider_altcraft-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = ["pyproject.toml", "README.md", "LICENSE", "example_dags/altcraft_demo.py", "constraints/airflow-3.3.txt"]
    assert not set(wanted) - names


def test_airflow_finds_it_in_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([*UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"], check=True)
    pins = ROOT / "constraints" / f"airflow-{LINE}.txt"
    install = [*UV, "pip", "install", "--quiet", "--python", python, "--constraint", pins, wheel, "apache-airflow"]
    subprocess.run(install, check=True)
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "home"), "COLUMNS": "400"}

    def airflow_says(*arguments: str) -> str:
        command = [python, "-W", "ignore", "-m", "airflow", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    (found,) = [line for line in airflow_says("providers", "list").splitlines() if "altcraft" in line]
    assert "airflow-provider-altcraft" in found
    hooks = [line.split() for line in airflow_says("providers", "hooks").splitlines()]
    (hook,) = [words for words in hooks if words[:1] == ["altcraft"]]
    assert "airflow_provider.altcraft.hooks.altcraft.AltcraftHook" in hook
