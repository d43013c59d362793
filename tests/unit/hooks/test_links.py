"""Links on a task instance's page: to the output, and to the profile and campaign in the platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.hooks.links import CampaignLink, DocsLink, OutputLink, ProfileLink
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor

DAY: Any = {"date_from": "2026-01-01", "date_to": "2026-01-01"}
DOCS = Path(__file__).parents[3] / "docs"
PROFILE = "https://example.com/db/{list_id}/profiles/{profile_id}"
EVENTS = [{"profile_id": "f00", "xxh": "9202595093f237d4", "list_id": 7, "action": "confirm"}]


class Instance:
    """As Airflow 3 hands on the running task instance."""

    task_id, map_index = "wait", -1

    def __init__(self, returned: Any) -> None:
        self.returned = returned

    def xcom_pull(self, *, task_ids: str, map_indexes: int) -> Any:
        assert (task_ids, map_indexes) == ("wait", -1)
        return self.returned


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    def define(**extra: Any) -> None:
        value = {"conn_type": "altcraft", "host": "https://example.com", "password": "t", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps(value))

    return define


def sensor(profile: Any = "ann@example.com", **more: Any) -> AltcraftActionSensor:
    return AltcraftActionSensor(task_id="wait", profile=profile, actions="confirm", **more)


def profile_link(operator: AltcraftActionSensor, returned: Any) -> str:
    return ProfileLink().get_link(operator, ti_key=Instance(returned))


def test_to_the_profile_of_the_event(connection: Any) -> None:
    connection(profile_url=PROFILE)
    assert profile_link(sensor(), EVENTS) == "https://example.com/db/7/profiles/f00"
    assert profile_link(sensor(), None) == ""  # an e-mail is no placeholder
    connection(profile_url="https://example.com/{xxh}")
    assert profile_link(sensor(), EVENTS) == "https://example.com/9202595093f237d4"


def test_to_the_profile_of_the_argument(connection: Any) -> None:
    connection(profile_url=PROFILE, list_id=3)
    profile_id = "66f66973096b3b454bbbccec"
    lookup = {"matching": "profile_id", "profile_id": profile_id}
    assert profile_link(sensor(lookup), None) == f"https://example.com/db/3/profiles/{profile_id}"
    assert profile_link(sensor(lookup, list_id=4), None) == f"https://example.com/db/4/profiles/{profile_id}"
    assert profile_link(sensor(), [{"profile_id": "a/b?c"}]) == "https://example.com/db/3/profiles/a%2Fb%3Fc"


def test_to_the_campaign(connection: Any) -> None:
    connection(campaign_url="https://example.com/campaigns/{campaign_id}/report")
    link = CampaignLink()
    assert link.get_link(sensor(campaign_id=5), ti_key=None) == "https://example.com/campaigns/5/report"
    assert link.get_link(sensor(), ti_key=None) == ""


def test_without_templates_there_are_none(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection()
    assert profile_link(sensor(), EVENTS) == ""
    assert CampaignLink().get_link(sensor(campaign_id=5), ti_key=None) == ""
    monkeypatch.delenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT")
    assert profile_link(sensor(altcraft_conn_id="nowhere"), EVENTS) == ""


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("profile_url", "javascript:alert({profile_id})"),
        ("profile_url", "https://example.com/profiles"),
        ("profile_url", "https://example.com/{email}"),
        ("profile_url", "https://example.com/{profile_id.__class__}"),
        ("profile_url", "https://example.com/{profile_id!r}"),
        ("profile_url", "https://example.com/{}"),
        ("profile_url", "https://example.com/{profile_id"),
        ("campaign_url", "https://example.com/{profile_id}"),
        ("campaign_url", 7),
    ],
)
def test_a_template_that_does_not_fit_is_refused(connection: Any, name: str, template: Any) -> None:
    connection(**{name: template})
    with pytest.raises(ValueError, match=f"^{name}: expected an address such as https://example.com/"):
        AltcraftHook().client_arguments()
    assert profile_link(sensor(), EVENTS) == ""


@pytest.mark.parametrize(
    ("uri", "link"),
    [
        ("s3://aws@lake/a b/c.parquet", "https://s3.console.aws.amazon.com/s3/object/lake?prefix=a%20b/c.parquet"),
        ("s3://lake/parts/", "https://s3.console.aws.amazon.com/s3/buckets/lake?prefix=parts/"),
        ("gs://lake/a.parquet", "https://console.cloud.google.com/storage/browser/_details/lake/a.parquet"),
        ("s3://minio@lake/a.parquet", ""),
        ("s3://nowhere@lake/a.parquet", ""),
        ("file:///a.parquet", ""),
        ("sql://warehouse/events", ""),
    ],
)
def test_to_the_output(monkeypatch: pytest.MonkeyPatch, uri: str, link: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS", json.dumps({"conn_type": "aws"}))
    minio = {"conn_type": "aws", "extra": {"endpoint_url": "http://127.0.0.1:9000"}}
    monkeypatch.setenv("AIRFLOW_CONN_MINIO", json.dumps(minio))
    assert OutputLink().get_link(None, ti_key=Instance({"uris": [uri]})) == link


def test_of_a_pull_that_failed_there_is_none() -> None:
    assert OutputLink().get_link(None, ti_key=Instance(None)) == ""


@pytest.mark.parametrize(
    ("operator", "page"),
    [
        (AltcraftHistoryOperator(task_id="pull", profiles=["ann@example.com"], target="/a.parquet"), "history.html"),
        (
            AltcraftDatabaseHistoryOperator(
                task_id="all", date_from="{{ ds }}", date_to="{{ ds }}", target="/a.parquet"
            ),
            "database.html",
        ),
        (sensor(), "waiting.html"),
        (AltcraftEventsOperator(task_id="events", actions="form_post"), "waiting.html#the-first-task"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_to_the_docs(monkeypatch: pytest.MonkeyPatch, operator: Any, page: str) -> None:
    """Where Airflow's configuration says at what address they are."""
    (link,) = [each for each in operator.operator_extra_links if each.name == "Docs"]
    assert isinstance(link, DocsLink)
    assert link.get_link(operator, ti_key=None) == ""
    for docs_url in ("https://docs.example.com/altcraft", "https://docs.example.com/altcraft/"):
        monkeypatch.setenv("AIRFLOW__ALTCRAFT__DOCS_URL", docs_url)
        assert link.get_link(operator, ti_key=None) == f"https://docs.example.com/altcraft/{page}"
    assert (DOCS / page.partition(".html")[0]).with_suffix(".md").exists()


def test_docs_of_an_operator_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnSensor(AltcraftActionSensor):
        pass

    monkeypatch.setenv("AIRFLOW__ALTCRAFT__DOCS_URL", "https://docs.example.com/altcraft")
    own = OwnSensor(task_id="wait", profile="ann@example.com", actions="confirm")
    assert DocsLink().get_link(own, ti_key=None) == "https://docs.example.com/altcraft/"


@pytest.mark.parametrize("docs_url", ["javascript:alert(1)", "docs", "  ", "https://[docs", "https://", "https:docs"])
def test_docs_without_a_web_address(monkeypatch: pytest.MonkeyPatch, docs_url: str) -> None:
    monkeypatch.setenv("AIRFLOW__ALTCRAFT__DOCS_URL", docs_url)
    assert DocsLink().get_link(sensor(), ti_key=None) == ""
