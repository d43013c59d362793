"""The right that is asked for is that of the DAG that is shown, also where Airflow asks for another."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import airflow
import pytest

if airflow.__version__.startswith("2."):
    pytest.skip("left out: Airflow 2.11 has no pages of plugins of this kind", allow_module_level=True)

from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api import security
from airflow.models.dag import DagModel
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient

APP = "airflow_provider.altcraft.page.app"


def as_of_airflow_3_1(method: Any, access_entity: Any = None) -> Callable[[Request], None]:
    """It knows the DAG of a path alone, and asks for the right to see any where there is none."""

    def inner(request: Request) -> None:
        if not security.get_auth_manager().is_authorized_dag(
            method=method, access_entity=access_entity, details=SimpleNamespace(id=request.path_params.get("dag_id"))
        ):
            raise HTTPException(403)

    return inner


@pytest.fixture(params=[security.requires_access_dag, as_of_airflow_3_1], ids=["this Airflow", "3.1"])
def page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    class Manager:
        """Lets its user see the DAG "shop" only, and no XComs of "tasks"."""

        def is_authorized_dag(self, *, details: Any, access_entity: Any, **_: Any) -> bool:
            return details.id in (None, "shop") or (details.id == "tasks" and access_entity.name != "XCOM")

    for place in (security, importlib.import_module("airflow.api_fastapi.app")):
        monkeypatch.setattr(place, "get_auth_manager", Manager)
    monkeypatch.setattr(security, "requires_access_dag", request.param)
    monkeypatch.setattr(DagModel, "get_team_name", lambda _: None)
    monkeypatch.delitem(sys.modules, APP, raising=False)
    app = importlib.import_module(APP)
    monkeypatch.setattr(app._stored, "pulls_of_dag", lambda *_: [])
    monkeypatch.setattr(app._stored, "instance", lambda *_: None)
    monkeypatch.setattr(app._stored, "mapped", lambda *_: [])
    made = app.create_app()
    made.dependency_overrides[security.get_user] = lambda: SimpleAuthManagerUser(username="ann", role="viewer")
    made.dependency_overrides[_get_session] = lambda: None
    yield TestClient(made)
    sys.modules.pop(APP)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ([("dag_id", "shop")], 200),
        ([("dag_id", "secret")], 403),
        ([("dag_id", "tasks")], 403),
        ([("dag_id", "shop"), ("dag_id", "secret")], 403),
        ([("dag_id", "secret"), ("dag_id", "shop")], 200),
    ],
)
def test_of_the_dag_that_is_shown(page: TestClient, asked: list[tuple[str, str]], status: int) -> None:
    assert page.get(f"/dag?{urlencode(asked)}").status_code == status
    task = urlencode([*asked, ("run_id", "r"), ("task_id", "t")])
    assert page.get(f"/task?{task}").status_code == (404 if status == 200 else status)


@pytest.mark.parametrize("odd", [{"map_index": "9" * 10}, {"map_index": "9" * 20}, {"run_id": "\0"}])
def test_what_no_database_takes_is_refused(page: TestClient, odd: dict[str, str]) -> None:
    asked = {"dag_id": "shop", "run_id": "r", "task_id": "t"} | odd
    assert page.get(f"/task?{urlencode(asked)}").status_code == 422
