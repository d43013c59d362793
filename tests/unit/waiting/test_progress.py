"""What a wait says of itself: lines and a record, at a tenth poll and after ten minutes, that name nobody."""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from airflow_provider.altcraft.client import HistoryEvent, ServerError
from airflow_provider.altcraft.client._lookup import masked
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.waiting.progress import MOST_NAMES, WaitProgress, contrary, not_done
from airflow_provider.altcraft.waiting.state import REPORT_EVERY, Pauses, WaitState

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def wait(count: int = 1, **arguments: Any) -> WaitState:
    given: dict[str, Any] = {
        "profiles": [{"matching": "email", "email": f"ann{number}@example.com"} for number in range(count)],
        "condition": ActionCondition(("click",), fail_on=("complain",)),
        "quorum": None if count == 1 else count // 2,
        "since": START,
        "deadline": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).astimezone(ZoneInfo("Europe/Moscow")),
        "execution_deadline": None,
        "pauses": Pauses(60),
    }
    return WaitState(**given | arguments)


def event(action: str = "click") -> HistoryEvent:
    return HistoryEvent(action=action, datetime=START)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    caplog.clear()
    return found


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (ActionCondition("open"), "'open'"),
        (ActionCondition(("open", "click")), "'open' or 'click'"),
        (ActionCondition(("open", "click"), match="all", campaign_id=7), "'open' and 'click' of campaign 7"),
        (
            ActionCondition("open", min_count=3, message_id=1, campaign_id=2),
            "'open' 3 times of message 1 of campaign 2",
        ),
    ],
)
def test_a_condition_in_words(condition: ActionCondition, words: str) -> None:
    assert condition.words == words


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"matching": "email", "email": "ann@example.com"}, "a***@example.com"),
        ({"matching": "email_profile", "email": "an@example.com"}, "***@example.com"),
        ({"matching": "phone", "phone": "+79000000001"}, "phone +7***01"),
        ({"matching": "email_phone", "email": "ann@example.com", "phone": "+79000000001"}, "a***@example.com +7***01"),
        ({"matching": "email_phone", "phone": "+79000000001"}, "phone +7***01"),
        ({"matching": "custom", "field_name": "CRM_ID", "field_value": 1234567}, "CRM_ID=***67"),
        ({"matching": "custom", "field_name": "CRM_ID", "field_value": "12345"}, "CRM_ID=***"),
        ({"matching": "custom_sub", "field_name": "mail", "field_value": "ann@example.com"}, "mail=a***@example.com"),
        ({"matching": "push_sub", "provider": "fcm", "subscription_id": "abcdefghijkl"}, "fcm=ab***kl"),
        ({"matching": "profile_id", "profile_id": "0123456789abcdef01234567"}, "profile_id 01***67"),
        ({"xxh": "0123456789abcdef"}, "xxh 01***ef"),
    ],
)
def test_masked_names(fields: dict[str, Any], name: str) -> None:
    assert masked(fields) == name


def test_whom_what_and_until_when_in_the_users_zone(caplog: pytest.LogCaptureFixture) -> None:
    it = wait()
    it.announce()
    (line,) = said(caplog)
    begin = "Waiting for a***@example.com to do 'click', since 2026-01-01 03:00:00+03:00, until "
    assert line == f"{begin}{it.deadline.isoformat(' ', 'seconds')}; a poll each 60 s"
    assert "+03:00;" in line


def test_a_wait_from_any_time_with_longer_pauses(caplog: pytest.LogCaptureFixture) -> None:
    wait(10, since=None, pauses=Pauses(300, exponential=True)).announce()
    (line,) = said(caplog)
    assert line.startswith("Waiting for 5 of 10 profiles to do 'click', at any time, until ")
    assert line.endswith("; a poll each 5 min, then less often")


def test_each_tenth_poll(caplog: pytest.LogCaptureFixture) -> None:
    it, news = wait(), []
    for _ in range(20):
        assert it.finish_poll() is None
        news.append(it.news and it.news["polls"])
    assert news == [1] + [None] * 8 + [10] + [None] * 9 + [20]
    until = it.deadline.isoformat(" ", "seconds")
    assert said(caplog) == [
        f"Still waiting for a***@example.com to do 'click', until {until}; poll {poll}: not yet" for poll in (10, 20)
    ]


def test_each_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    it = wait(polls=1)
    assert it.finish_poll() is None
    assert it.news is None
    it.reported_at -= REPORT_EVERY
    assert it.finish_poll([ServerError("down")]) is None
    assert it.news is not None
    (line,) = said(caplog)
    assert line.endswith("poll 3: failed: ServerError")
    assert it.finish_poll() is None
    assert it.news is None


def test_a_cohort_with_its_counts(caplog: pytest.LogCaptureFixture) -> None:
    it = wait(200, polls=8, quorum=3)
    it.record(0, [event()])
    it.record(7, [event("complain")])
    it.finish_poll()
    it.finish_poll()
    (line,) = said(caplog)
    assert line.endswith("; poll 10: not yet; met: 1 of the required 3, missing: 198, taken out by fail_on: 1")
    progress = it.news
    assert progress is not None
    counts = {"profiles": 200, "required": 3, "met": 1, "taken_out": 1, "missing": 198, "polls": 10, "failed_polls": 0}
    assert progress.items() >= counts.items()
    assert progress["met_names"] == ["a***@example.com"]
    assert len(progress["missing_names"]) == MOST_NAMES
    for place in (1, 2):
        it.record(place, [event()])
    ended = it.finish_poll()
    assert ended is not None
    assert ended["progress"]["status"] == "met"
    assert said(caplog) == ["3 of 200 profiles did 'click'; poll 11 found it."]


def test_the_record_is_small_plain_and_names_nobody() -> None:
    it = wait(5000)
    it.finish_poll([ServerError("ann0@example.com is not there")])
    assert it.news is not None
    assert set(it.news) == set(WaitProgress.__annotations__)
    text = json.dumps(it.news)
    assert len(text) < 4000
    assert "ann" not in text
    assert dt.datetime.fromisoformat(it.news["until"]) == it.deadline


def test_what_a_timeout_says() -> None:
    one, many = wait(), wait(4)
    many.record(1, [event()])
    assert not_done(one.progress("timeout"), "timeout of 24 h") == (
        "a***@example.com did not do 'click' within the timeout of 24 h."
    )
    assert not_done(many.progress("timeout"), "timeout of 24 h") == (
        "1 of 4 profiles did 'click' within the timeout of 24 h; required: 2, missing: 3."
    )
    assert not_done(None, "timeout of 24 h") == "The timeout of 24 h is over."


def test_what_a_contrary_action_says() -> None:
    it = wait()
    it.record(0, [event("complain")])
    ended = it.finish_poll()
    assert ended is not None
    assert contrary(ended) == "a***@example.com did 'complain' at 2026-01-01T00:00:00Z, which fail_on names."
