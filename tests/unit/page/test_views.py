"""What the page makes of results: also of those that a task of another kind, or another version, returned."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_provider.altcraft._airflow.instance_names import name_by_profiles
from airflow_provider.altcraft.client._lookup import MATCHING
from airflow_provider.altcraft.page._dag_view import dag_view, duration
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._pull_view import HEIGHT, WIDTH, pull_view, size, stage_of

AT = dt.datetime(2026, 1, 14, tzinfo=dt.UTC)
HOURS = {"at_least": {"median": 1.0, "p99": 2.5, "max": 3.0}, "at_most": {"median": 4.0, "p99": 30.0, "max": 31.5}}


def summary(**more: Any) -> dict[str, Any]:
    return {
        "events": 6,
        "timezone": "Europe/Moscow",
        "by_action": [
            {"channel": "email", "action": "send", "events": 3},
            {"channel": "email", "action": "pixel", "events": 1},
            {"channel": None, "action": "form_post", "events": 2},
        ],
        "by_time": {"unit": "day", "starts": ["2026-01-13"], "events": {"send": [3], "form_post": [2]}, "earlier": 1},
        "by_campaign": [{"id": 7, "name": "Autumn", "events": 3, "actions": {"send": 3}}],
        "other_campaigns": {"campaigns": 0, "events": 0},
        "without_campaign": 2,
    } | more


def instance(result: dict[str, Any], **more: Any) -> Instance:
    base = {"dag_id": "shop", "run_id": "r", "task_id": "pull", "map_index": -1, "state": "success", "run_after": AT}
    return Instance(result=result, started=AT, ended=AT + dt.timedelta(seconds=90), **(base | more))


def result(**more: Any) -> dict[str, Any]:
    window = {"start": "2026-01-12T21:00:00+00:00", "end": "2026-01-13T21:00:00+00:00"}
    return {"uris": ["file:///a"], "rows": 6, "bytes": 2_500_000, "window": window, "summary": summary()} | more


def test_a_pull() -> None:
    view = pull_view(instance(result()))
    assert view is not None
    assert view.window == "from 2026-01-13 00:00 to 2026-01-14 00:00 (Europe/Moscow)"
    assert view.size == "2.5 MB"
    (funnel,) = view.funnels
    assert (funnel.name, funnel.others) == ("E-mail", [("pixel", 1)])
    assert [(bar.name, bar.events, bar.length, bar.share) for bar in funnel.bars] == [("sent", 3, WIDTH, None)]
    assert view.without_channel == [("form_post", 2)]
    assert view.chart is not None
    assert sum(block.height for block in view.chart.blocks) == HEIGHT
    assert view.chart.earlier == 1
    assert [(row.name, row.stages) for row in view.campaigns] == [("Autumn", [3])]


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"rows": 1},
        {"summary": None},
        {"summary": {"events": "many"}},
        {"summary": {"events": -1}},
        {"summary": {"events": 1}, "rows": []},
        {"summary": {"events": 1}, "uris": "file:///a"},
        {"summary": summary(by_action=[{"action": 5}])},
        {"summary": summary(by_time={"starts": ["no day"]})},
        {"summary": summary(by_campaign=[{"id": "<b>", "events": 1}])},
    ],
)
def test_what_is_no_result_of_a_pull_is_not_shown(broken: dict[str, Any]) -> None:
    assert pull_view(instance(broken)) is None
    assert dag_view([instance(broken)]).lines == []


def test_columns_that_do_not_fit_are_left_out() -> None:
    view = pull_view(instance(result(summary=summary(by_time={"starts": ["2026-01-13"], "events": {"send": [1, 2]}}))))
    assert view is not None
    assert view.chart is None


def test_addresses_are_shown_without_their_secrets() -> None:
    uris = ["s3://user:secret@bucket/a", "https://host/a?X-Amz-Signature=secret"] + ["file:///a"] * 30
    view = pull_view(instance(result(uris=uris, failed_profiles_uri="https://host/f?sig=secret")))
    assert view is not None
    assert "secret" not in f"{view.uris} {view.failed_uri}"
    assert (len(view.uris), view.more_uris) == (20, 12)


def test_late_events() -> None:
    late = {"events": 2, "hours": HOURS, "by_action": {"click": {"events": 2, "hours": HOURS}}}
    view = pull_view(instance(result(lateness=late | {"recommended_lookback": "P2D"})))
    assert view is not None
    assert view.lateness[0] == ("all", 2, "1 to 4 h", "2.5 to 30 h", "3 to 31.5 h")
    assert [line[0] for line in view.lateness] == ["all", "click"]
    assert dag_view([instance(result(lateness=late))]).lines[0].late == "up to 31.5 h"


def test_an_unknown_zone_is_no_error() -> None:
    view = pull_view(instance(result(summary=summary(timezone="../../etc/passwd"))))
    assert view is not None
    assert "2026-01-12 21:00 UTC" in view.window


def test_runs_stand_side_by_side_and_instances_of_a_mapped_task_are_one() -> None:
    pulls = [
        instance(result(rows=10 * number + index), run_id=f"r{number}", map_index=index)
        for number in (3, 2, 1)
        for index in (0, 1)
    ]
    view = dag_view(pulls)
    (task,) = view.tasks
    assert [column.title for column in task.rows] == [f"2026-01-14 00:00: {rows} rows" for rows in (21, 41, 61)]
    assert task.rows[-1].height == 60
    assert task.late == []
    assert [line.task for line in task.lines][:2] == ["pull [0]", "pull [1]"]
    assert task.lines[0].href == "task?dag_id=shop&run_id=r3&task_id=pull&map_index=0"


def test_a_mapped_task_of_many_instances_has_one_column_and_a_line_for_each() -> None:
    view = dag_view([instance(result(rows=1000), map_index=index) for index in range(60)])
    (task,) = view.tasks
    assert [column.title for column in task.rows] == ["2026-01-14 00:00: 60,000 rows"]
    assert [line.task for line in view.lines] == [f"pull [{index}]" for index in range(60)]
    assert [line.href.rpartition("=")[2] for line in view.lines] == [str(index) for index in range(60)]


@pytest.mark.parametrize(
    ("action", "stage"),
    [
        ("send", "sent"),
        ("telegram_bot_deliv", "delivered"),
        ("undeliv_sms", None),
        ("whatsapp_read", "read"),
        ("click_push", "clicked"),
        ("open_push", "opened"),
        ("unsubscribe_email", None),
    ],
)
def test_the_stages_of_a_message(action: str, stage: str | None) -> None:
    assert stage_of(action) == stage


def test_words_of_numbers() -> None:
    assert [size(number) for number in (0, 999, 1000, 5e12)] == ["0 bytes", "999 bytes", "1.0 kB", "5.0 TB"]
    assert [duration(seconds) for seconds in (None, 1.25, 61, 3700, 1e6)] == [
        "",
        "1.2 s",
        "1 min 1 s",
        "1 h 1 min",
        "11 days",
    ]


@pytest.mark.parametrize(
    ("index_name", "name"),
    [
        ("3 of 8", "pull [3 of 8]"),
        ("1 profile", "pull [2: 1 profile]"),
        ("2,000 profiles", "pull [2: 2,000 profiles]"),
        ("a***@example.com", "pull [2: a***@example.com]"),
        (None, "pull [2]"),
        ("2", "pull [2]"),
        ("ann@example.com", "pull [2]"),  # by a map_index_template of the DAG's own
        ("+79001234567", "pull [2]"),
        ("phone +79001234567", "pull [2]"),
        ("ann@example.com=***", "pull [2]"),
        ("x***ann@example.com", "pull [2]"),
        ("of ***+79001234567", "pull [2]"),
    ],
)
def test_an_instance_is_named_as_in_airflow(index_name: str | None, name: str) -> None:
    assert instance(result(), map_index=2, index_name=index_name).name == name
    assert instance(result(), index_name=index_name).name == "pull"


@pytest.mark.parametrize("value", ["1 Long Street 2", "Jo Long Name", "x y@example.com", "7"])
def test_an_instance_is_named_by_a_value_with_spaces(value: str) -> None:
    name = name_by_profiles({"matching": "custom", "field_name": "home", "field_value": value})
    assert "***" in name
    assert instance(result(), map_index=2, index_name=name).name == f"pull [2: {name}]"


@pytest.mark.parametrize("matching", ["xxh", *MATCHING])
def test_an_instance_is_named_by_whatever_its_profile_is_looked_up(matching: str) -> None:
    values = {
        "xxh": "0123456789abcdef",
        "email": "ann@example.com",
        "phone": "+79001234567",
        "profile_id": "5" * 24,
        "provider": "ios apn",
        "subscription_id": "0123456789",
        "field_name": "CRM ID",
        "field_value": 123456,
    }
    fields = {"matching": matching} | {name: values[name] for name in MATCHING.get(matching, ())}
    name = name_by_profiles({"xxh": values["xxh"]} if matching == "xxh" else fields)
    assert "***" in name
    assert instance(result(), map_index=2, index_name=name).name == f"pull [2: {name}]"
