"""What every test stands on: an Airflow of its own in a temporary folder, and connections to the emulator."""

from __future__ import annotations

import functools
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from airflow_provider.altcraft.testing import Emulator

# Airflow reads these when it is first imported, so they come before any test module.
_ROOT = Path(__file__).parent.parent
_HOME = tempfile.TemporaryDirectory(prefix="altcraft-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(_HOME.name, "dags")),
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
}
for name in [name for name in os.environ if name.startswith("AIRFLOW_CONN_")]:
    del os.environ[name]

# The same examples in each run, however slow the machine is.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

BUNDLE = "airflow.dag_processing.bundles.local.LocalDagBundle"
BUNDLES = {"examples": _ROOT / "example_dags", "tests": _ROOT / "tests" / "system" / "dags"}
os.environ["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] = json.dumps(
    [{"name": name, "classpath": BUNDLE, "kwargs": {"path": str(path)}} for name, path in BUNDLES.items()]
)


@pytest.fixture(scope="session")
def airflow_db() -> Path:
    """Airflow's own database, migrated once; its folder."""
    subprocess.run([sys.executable, "-W", "ignore", "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    return Path(_HOME.name)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define an ``altcraft`` connection to an emulator; returns its id. A failing call is tried five times."""

    def define(api: Emulator, conn_id: str = "altcraft_default", *, token: str | None = None, **extra: Any) -> str:
        value = {"conn_type": "altcraft", "host": api.url, "password": api.token if token is None else token}
        fields = {"list_id": 1, "timeout": 5, "outage_timeout": 0} | extra
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value | {"extra": fields}))
        return conn_id

    return define


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries that a test can wait for. The number of tries stays."""
    from tests.retries import set_retries

    set_retries(monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """Clients that trust what is trusted by default share a context, which takes 20 ms of CPU to make."""
    create, trusted = ssl.create_default_context, {"cafile": os.environ.get("SSL_CERT_FILE") or certifi.where()}
    shared = functools.cache(lambda: create(**trusted))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", lambda *a, **k: create(*a, **k) if a or k != trusted else shared())
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where every server is there, as in CI, a test that skips has failed."""
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a worker; the session that it works for sees all reports
        return
    reasons = [str(each.longrepr) for each in reporter.stats.get("skipped", ())]
    # Engines too large for every run are there where a run is for them, and then none of their tests may skip.
    without_engine = [each for each in reasons if "no engine: " in each]
    # What a class of conformance tests declares to leave out lacks nothing on this machine.
    skipped = [each for each in reasons if "left out: " not in each and each not in without_engine]
    may_not_skip, has_engines = (os.environ.get(f"ALTCRAFT_TESTS_{name}") for name in ("MAY_NOT_SKIP", "HAVE_ENGINES"))
    if (may_not_skip and skipped) or (has_engines and without_engine):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
