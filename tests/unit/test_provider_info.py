"""What Airflow discovers: valid by the schemas that Airflow ships, and true."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import airflow
import jsonschema
import pytest

from airflow_provider.altcraft.get_provider_info import FORM_FIELDS, get_provider_info
from airflow_provider.altcraft.hooks._connection import URLS


def test_the_entry_point_is_this_function() -> None:
    (entry,) = [found for found in entry_points(group="apache_airflow_provider") if "altcraft" in found.value]
    assert entry.load() is get_provider_info


def test_valid_by_the_schema_of_the_runtime() -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_the_connection_type_is_valid_by_the_schema_that_knows_forms() -> None:
    path = files("airflow").joinpath("provider.yaml.schema.json")
    schema = json.loads(path.read_text())["properties"].get("connection-types")
    assert schema is not None
    jsonschema.validate(get_provider_info()["connection-types"], schema)


def _modules() -> list[str]:
    info = get_provider_info()
    return [
        name
        for key in ("hooks", "operators", "sensors", "triggers")
        for item in info[key]
        for name in item["python-modules"]
    ]


@pytest.mark.parametrize("module", _modules())
def test_every_module_named_is_there(module: str) -> None:
    import_module(module)


def test_airflow_takes_it_all_in() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    manager.initialize_providers_hooks()
    assert manager.providers["airflow-provider-altcraft"].data["name"] == "Altcraft"
    hook = manager.hooks["altcraft"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("Altcraft", "altcraft_conn_id")
    assert hook.hook_class_name == "airflow_provider.altcraft.hooks.altcraft.AltcraftHook"
    widgets = {name for name in manager.connection_form_widgets if name.startswith("extra__altcraft__")}
    assert widgets == {f"extra__altcraft__{name}" for name in FORM_FIELDS}
    behaviour: Any = manager.field_behaviours["altcraft"]
    assert behaviour["relabeling"]["host"] == "Base URL *"


def test_its_commands_become_those_of_airflow() -> None:
    """On Airflow 2.11 nothing reads them, and nothing refuses them either."""
    from airflow.cli.cli_parser import get_parser

    parsed = get_parser().parse_args
    if airflow.__version__.startswith("2."):
        with pytest.raises(SystemExit):
            parsed(["altcraft", "databases"])
        return
    options = parsed(["altcraft", "history", "ann@example.com", "--actions", "click"])
    assert (options.profile, options.actions, options.output) == ("ann@example.com", "click", "table")
    assert callable(options.func)


def test_the_form_offers_what_the_client_takes() -> None:
    from airflow_provider.altcraft.client._core import ClientOptions

    assert set(FORM_FIELDS) - set(URLS) == set(ClientOptions.__annotations__) - {"retry"}
