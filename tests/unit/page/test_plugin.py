"""What every process of Airflow pays for the page, and that both Airflow lines take the plugin."""

from __future__ import annotations

import subprocess
import sys

import airflow

from airflow_provider.altcraft.page.plugin import AltcraftPlugin

LOADED = """
import sys
from airflow.providers.common.compat.sdk import AirflowPlugin
before = set(sys.modules)
import airflow_provider.altcraft.page.plugin
print(*[name for name in sys.modules if name not in before])
"""
FOUND = """
import logging
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
get = getattr(plugins_manager, "_get_plugins", None)
plugins, errors = get() if get else (plugins_manager.plugins, plugins_manager.import_errors)
print(*[plugin.name for plugin in plugins], len(errors))
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)


def test_a_process_loads_three_small_modules() -> None:
    loaded = run(LOADED).stdout.split()
    assert {name for name in loaded if not name.startswith("airflow_provider")} == set()
    assert len(loaded) <= 4


def test_airflow_finds_it() -> None:
    found = run(FOUND)
    assert "altcraft" in found.stdout.splitlines()[-1].split()
    assert found.stdout.split()[-1] == "0"
    assert "altcraft" not in found.stderr


def test_its_addresses_are_relative_to_those_of_airflow() -> None:
    """Its base URL may have a path. No two have the same route, by which Airflow tells them apart."""
    views = AltcraftPlugin.external_views
    assert [view["destination"] for view in views] == ["task_instance", "dag", "nav"]
    assert all(view["href"].startswith("altcraft/") for view in views)
    assert len({view["url_route"] for view in views}) == len(views)


def test_airflow_knows_the_destinations() -> None:
    if airflow.__version__.startswith("2."):
        assert not hasattr(AltcraftPlugin.__base__, "external_views")
        return
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    for view in AltcraftPlugin.external_views:
        ExternalViewResponse.model_validate(view)
