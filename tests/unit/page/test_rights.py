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
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from fastapi import HTTPException, Request
from fastapi.testclient import TestClient

from airflow_provider.altcraft.extract._progress import Progress
from airflow_provider.altcraft.page._instance import Instance

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

        def is_authorized_connection(self, *, method: str, details: Any, **_: Any) -> bool:
            return (method, details.conn_id) in {("GET", "mine"), ("POST", "mine"), ("GET", "seen"), ("POST", "unseen")}

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
    monkeypatch.setattr(app._stored, "any_instance", lambda *_: None)
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


@pytest.mark.parametrize(
    ("conn_id", "config", "site", "status"),
    [
        ("mine", "Enabled", None, 303),
        ("mine", "enabled ", "same-origin", 303),
        ("mine", "Enabled", "same-site", 403),
        ("mine", "Enabled", "cross-site", 403),
        ("mine", "Disabled", None, 403),
        ("mine", "Hidden", None, 403),
        ("another", "Enabled", None, 403),
        ("seen", "Enabled", None, 403),
        ("unseen", "Enabled", None, 403),
    ],
)
def test_a_connection_is_tested_by_those_who_may(
    page: TestClient, monkeypatch: pytest.MonkeyPatch, conn_id: str, config: str, site: str | None, status: int
) -> None:
    """As in Airflow: where its configuration lets connections be tested, and the viewer may read and write this one."""
    tested: list[tuple[str, str]] = []
    app = sys.modules[APP]
    monkeypatch.setattr(app._connections, "run_test", lambda _, *of: not tested.append(of))
    monkeypatch.setattr(Connection, "get_team_name", lambda *_, **__: None)
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", config)
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    answer = page.post(f"/test?conn_id={conn_id}", headers=headers, follow_redirects=False)
    assert answer.status_code == status
    assert tested == ([("mine", "ann")] if status == 303 else [])


def test_a_team_s_connection_is_not_tested(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow hands it to the tasks of that team, and says to this page that there is none."""
    monkeypatch.setattr(sys.modules[APP]._connections, "run_test", lambda *_: True)
    monkeypatch.setattr(Connection, "get_team_name", lambda *_, **__: "growth")
    monkeypatch.setenv("AIRFLOW__CORE__TEST_CONNECTION", "Enabled")
    assert page.post("/test?conn_id=mine", follow_redirects=False).status_code == 403


def test_a_pull_that_failed_shows_how_far_it_was(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {**Progress(4).record(), "done": 1, "seconds_left": 30.0}
    for state, ended in (("failed", True), ("up_for_retry", True), ("running", False)):
        at = {"started": None, "ended": None, "run_after": None}
        found = Instance("shop", "r", "t", -1, state=state, progress=record, **at)
        monkeypatch.setattr(sys.modules[APP]._stored, "instance", lambda *_, found=found: found)
        html = page.get("/task?dag_id=shop&run_id=r&task_id=t").text
        assert "1 of 4 profiles" in html
        assert ("The pull has not ended well" in html, "30.0 s" in html) == (ended, not ended)


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "restarting", "deferred"])
def test_a_record_of_an_earlier_attempt_says_so(page: TestClient, monkeypatch: pytest.MonkeyPatch, state: Any) -> None:
    """A task that is cleared keeps it until it runs again."""
    html = shown(page, monkeypatch, state=state)
    assert "1 of 4 profiles" in html
    assert "an earlier attempt" in html
    assert "not ended well" not in html


def test_a_pull_that_ended_well_shows_no_record(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result is with another XCom backend, or the task pushes none."""
    for elsewhere, said in ((True, "an XCom backend that this page does not read"), (False, "returned no counts")):
        html = shown(page, monkeypatch, state="success", elsewhere=elsewhere)
        assert said in html
        assert "1 of 4 profiles" not in html


def test_half_of_a_surrogate_pair_is_shown_somehow(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "t\ud800" not in shown(page, monkeypatch, state="running", task_id="t\ud800")


def test_a_mapped_task_of_which_no_pull_has_ended(page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Instance("shop", "r", "t", 3, state="running", started=None, ended=None, run_after=None)
    monkeypatch.setattr(sys.modules[APP]._stored, "any_instance", lambda *_: found)
    answer = page.get("/task?dag_id=shop&run_id=r&task_id=t")
    assert answer.status_code == 200
    assert "nothing to show yet" in answer.text
    assert "[3]" not in answer.text
    assert "running" not in answer.text
    assert page.get("/task?dag_id=shop&run_id=r&task_id=t&map_index=7").status_code == 404


def shown(page: TestClient, monkeypatch: pytest.MonkeyPatch, task_id: str = "t", **more: Any) -> str:
    at = {"started": None, "ended": None, "run_after": None}
    found = Instance("shop", "r", task_id, -1, progress={**Progress(4).record(), "done": 1}, **at, **more)
    monkeypatch.setattr(sys.modules[APP]._stored, "instance", lambda *_: found)
    answer = page.get("/task?dag_id=shop&run_id=r&task_id=t")
    assert answer.status_code == 200
    return answer.text
