"""Consuming tasks on a real Airflow: what a run was given is kept where Airflow keeps things."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import airflow
import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.system.test_examples import ROOT, load, run

pytestmark = pytest.mark.usefixtures("airflow_db")
EMAILS = ["ann@example.com", "bob@example.com"]
ON_AIRFLOW_3_3 = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)
SOON = dt.timedelta(hours=1)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    for email in EMAILS:
        altcraft_api.add_profile(email=email)
        altcraft_api.add_event(email, "form_post", at=dt.datetime.now(dt.UTC) + SOON)
    return altcraft_api


def test_each_run_is_given_what_none_was_given(api: Emulator) -> None:
    dag: Any = load("events", ROOT / "tests" / "system" / "dags")
    state, _, values = run(dag)
    assert state == "success"
    assert [event["email"] for event in values["given"]] == values["in_a_block"] == sorted(values["each"]) == EMAILS
    api.add_event(EMAILS[0], "form_post")
    state, _, values = run(dag)
    assert (state, values["in_a_block"], values["each"]) == ("success", EMAILS[:1], EMAILS[:1])


def test_more_events_than_may_be_mapped_come_with_the_next_runs(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    dag: Any = load("events", ROOT / "tests" / "system" / "dags")
    for email in (f"n{number}@example.com" for number in range(5)):
        api.add_profile(email=email)
        api.add_event(email, "form_post", at=dt.datetime.now(dt.UTC) + SOON)
    found: list[str] = []
    for _ in range(4):
        state, _, values = run(dag)
        assert state == "success"
        assert len(values["given"]) <= 2
        found += values["each"]
    assert len(found) == len(set(found)) == 7


if airflow.__version__.startswith("3."):

    def test_the_example_that_follows_up(api: Emulator) -> None:
        dag = load("altcraft_follow_up")
        state, _, values = run(dag)
        assert state == "success"
        assert sorted(values["follow_up"]) == [f"Thank you, {email}" for email in EMAILS]
        state, tasks, values = run(dag)
        assert (state, values["who_posted"], tasks["follow_up"]) == ("success", [], "skipped")


if ON_AIRFLOW_3_3:

    def test_the_assets_state_store_keeps_it(api: Emulator) -> None:
        from airflow.models.asset_state_store import AssetStateStoreModel
        from airflow.models.variable import Variable
        from airflow.utils.session import create_session
        from sqlalchemy import delete, select

        def kept(model: Any) -> list[str]:
            with create_session() as session:
                return [key for key in session.scalars(select(model.key)) if key.startswith("altcraft_events_")]

        with create_session() as session:
            for model in (AssetStateStoreModel, Variable):
                session.execute(delete(model))
        dag = load("altcraft_follow_up")
        assert len(run(dag)[2]["who_posted"]) == len(EMAILS)
        (key,) = kept(AssetStateStoreModel)
        assert Variable.get(key, deserialize_json=True) == {"moved": True}
        assert kept(Variable) == [key]
        assert run(dag)[2]["who_posted"] == []
        # What is kept there is what tells the next run, and a run that does not find it is refused.
        with create_session() as session:
            session.execute(delete(AssetStateStoreModel).where(AssetStateStoreModel.key == key))
        assert run(dag)[1]["who_posted"] == "failed"
