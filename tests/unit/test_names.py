"""What users import: each name is at home where it is documented, and former names still lead there."""

from __future__ import annotations

import importlib
import traceback
from typing import Any

import pytest

PACKAGE = "airflow_provider.altcraft"
PUBLIC = ["client", "targets", "extract.sources", "operators.history", "triggers.action", "testing"]


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_class_is_at_home_where_it_is_imported_from(name: str) -> None:
    module: Any = importlib.import_module(f"{PACKAGE}.{name}")
    found = [getattr(module, each) for each in module.__all__]
    assert {each.__module__ for each in found if isinstance(each, type)} == {module.__name__}


def test_a_traceback_names_the_public_home() -> None:
    from airflow_provider.altcraft.client._errors import TokenError

    assert traceback.format_exception_only(TokenError("no"))[0].startswith(f"{PACKAGE}.client.TokenError: ")


@pytest.mark.parametrize(
    ("module", "former", "name"),
    [
        ("client", "Answer", "Response"),
        ("client", "RequestError", "BadRequestError"),
        ("client", "Settings", "ClientSettings"),
        ("targets", "KeepsFailures", "SupportsFailureReport"),
        ("targets", "Resumable", "SupportsResume"),
        ("testing.faults", "reset_amid_body", "reset_during_body"),
    ],
)
def test_former_names_lead_to_the_same(module: str, former: str, name: str) -> None:
    found = importlib.import_module(f"{PACKAGE}.{module}")
    assert getattr(found, former) is getattr(found, name)
