"""The pytest fixtures ``altcraft_api`` and ``altcraft_dag_run``.

Imports only pytest: it loads in every run where the provider is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider.altcraft.testing import Emulator
    from airflow_provider.altcraft.testing.dag_run import AirflowProcess, DagRunner

# What their assertions compared is shown, as in a test module of one's own.
pytest.register_assert_rewrite(
    *(f"airflow_provider.altcraft.testing.conformance.{name}" for name in ("suite", "outages", "writing"))
)


@pytest.fixture
def altcraft_api(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A started emulator of the Altcraft Platform, of this test only.

    Its knobs are given by indirect parameters:
    ``@pytest.mark.parametrize("altcraft_api", [{"style": "old"}], indirect=True)``.
    """
    try:
        from airflow_provider.altcraft.testing import Emulator
    except ImportError as missing:
        pytest.fail(str(missing), pytrace=False)
    with Emulator(**getattr(request, "param", {})) as api:
        yield api


@pytest.fixture(scope="session")
def altcraft_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowProcess]:
    """An Airflow for ``altcraft_dag_run``, whose tables are made once; one's own is not touched."""
    from airflow_provider.altcraft.testing.dag_run import AirflowProcess

    with AirflowProcess(tmp_path_factory.mktemp("altcraft_airflow")) as airflow:
        yield airflow


@pytest.fixture
def altcraft_dag_run(altcraft_api: Emulator, altcraft_airflow: AirflowProcess) -> DagRunner:
    """Runs a DAG against ``altcraft_api``: ``altcraft_dag_run("dags/welcome.py").state == "success"``.

    The DAG runs in a process of its own, in an Airflow of its own whose connection ``altcraft_default`` is the
    emulator's; environment variables, such as Airflow Variables and other connections, are those of the test.
    """
    from airflow_provider.altcraft.testing.dag_run import DagRunner

    return DagRunner(altcraft_airflow, altcraft_api.url, altcraft_api.token)
