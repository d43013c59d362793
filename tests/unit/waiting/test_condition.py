"""What meets a wait, and what ends it."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import Action, HistoryEvent
from airflow_provider.altcraft.waiting.condition import ActionCondition, quorum_of, whole_second

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def event(action: str, second: float = 0, **fields: Any) -> HistoryEvent:
    return HistoryEvent(action=action, datetime=START + dt.timedelta(seconds=second), **fields)


def state(condition: ActionCondition, *events: HistoryEvent) -> str:
    return condition.verdict(events).state


def test_any() -> None:
    condition = ActionCondition(("open", "click"))
    assert state(condition) == "waiting"
    assert state(condition, event("send")) == "waiting"
    assert state(condition, event("click")) == "met"


def test_all() -> None:
    condition = ActionCondition(("open", "click"), match="all")
    assert state(condition, event("click"), event("click")) == "waiting"
    assert state(condition, event("click"), event("open")) == "met"


def test_min_count_goes_by_the_rows_count() -> None:
    assert state(ActionCondition(("open", "click"), min_count=3), event("open", count=2)) == "waiting"
    assert state(ActionCondition(("open", "click"), min_count=3), event("open", count=2), event("click")) == "met"
    each = ActionCondition(("open", "click"), match="all", min_count=2)
    assert state(each, event("open", count=2), event("click")) == "waiting"
    assert state(each, event("open", count=2), event("click"), event("click")) == "met"


@pytest.mark.parametrize("field", ["message_id", "campaign_id"])
def test_narrowed(field: str) -> None:
    condition = ActionCondition(("open",), **{field: 5})
    assert state(condition, event("open", **{field: 6}), event("open")) == "waiting"
    assert state(condition, event("open", **{field: 5})) == "met"


def test_a_contrary_action_ends_the_wait_whatever_message_it_is_of() -> None:
    condition = ActionCondition(("click",), message_id=5, fail_on=("complain",))
    verdict = condition.verdict([event("send"), event("complain", 1, message_id=9), event("click", 2, message_id=5)])
    assert (verdict.state, [event.action for event in verdict.events]) == ("failed", ["complain"])


def test_the_earlier_moment_decides_and_a_tie_is_met() -> None:
    condition = ActionCondition(("click",), fail_on=("complain",))
    assert state(condition, event("complain", 2), event("click", 1)) == "met"
    assert state(condition, event("complain", 1), event("click", 2)) == "failed"
    assert state(condition, event("complain", 1), event("click", 1)) == "met"


def test_only_the_events_up_to_the_meeting_are_given() -> None:
    verdict = ActionCondition(("open",), min_count=2).verdict([event("open", s) for s in (5, 1, 3)])
    assert [found.datetime.second for found in verdict.events] == [1, 3]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "x", "n"]), st.integers(0, 5)), max_size=12), st.data())
def test_the_outcome_does_not_depend_on_when_anybody_looked(drawn: list[tuple[str, int]], data: st.DataObject) -> None:
    """Events appear in the order of their time; polls in between change nothing."""
    match, min_count = data.draw(st.sampled_from(["any", "all"])), data.draw(st.integers(1, 2))
    condition = ActionCondition(("a", "b"), match=match, min_count=min_count, fail_on=("x",))
    events = sorted((event(action, second) for action, second in drawn), key=lambda found: found.datetime)
    at_last = condition.verdict(events)
    for second in range(6):
        seen = condition.verdict([found for found in events if found.datetime <= START + dt.timedelta(seconds=second)])
        if seen.state != "waiting":
            assert seen == at_last
            break
    else:
        assert at_last.state == "waiting"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"actions": ()}, "actions: expected at least one"),
        ({"actions": ("",)}, "actions: expected names"),
        ({"actions": (5,)}, "actions: expected names"),
        ({"actions": ("a",), "fail_on": ("a",)}, "fail_on: 'a'"),
        ({"actions": ("a",), "match": "some"}, "match"),
        ({"actions": ("a",), "match": ["any"]}, "match: expected 'any' or 'all'"),
        ({"actions": ("a",), "min_count": 0}, "min_count"),
    ],
)
def test_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ActionCondition(**arguments)


def test_json_there_and_back() -> None:
    condition = ActionCondition((Action.FORM_POST, "a_new_one"), "all", 2, 5, 6, (Action.COMPLAIN,))
    kept = json.loads(json.dumps(condition.to_json()))
    assert kept == {
        "actions": ["form_post", "a_new_one"],
        "match": "all",
        "min_count": 2,
        "message_id": 5,
        "campaign_id": 6,
        "fail_on": ["complain"],
    }
    assert ActionCondition.from_json(kept) == condition
    assert repr(ActionCondition.from_json(kept)) == repr(condition)


def test_one_action_may_be_a_plain_string() -> None:
    assert ActionCondition("form_post", fail_on=Action.COMPLAIN).actions == ("form_post",)  # type: ignore[arg-type]


def test_whole_second() -> None:
    assert whole_second(START.replace(microsecond=999_999)) == START


@pytest.mark.parametrize(
    ("quorum", "profiles", "wanted"),
    [
        (None, 5, 5),
        (1, 5, 1),
        (5, 5, 5),
        (0.5, 5, 3),
        (0.7, 10, 7),
        (0.001, 5, 1),
        ("50%", 4, 2),
        ("100%", 4, 4),
        (" 3 ", 4, 3),
        ("0.25", 8, 2),
        (3, None, 3),
        ("10 %", 50, 5),
    ],
)
def test_quorum(quorum: Any, profiles: int | None, wanted: int) -> None:
    assert quorum_of(quorum, profiles) == wanted


@pytest.mark.parametrize(
    "quorum", [0, -1, 6, 1.0, "1.0", 1.5, 0.0, "half", "0%", "101%", "nan", "inf", True, "1/0", [], ""]
)
def test_what_is_no_quorum(quorum: Any) -> None:
    with pytest.raises(ValueError, match="quorum"):
        quorum_of(quorum, 5)


def test_a_cohort_of_nobody() -> None:
    with pytest.raises(ValueError, match="at least one to wait for"):
        quorum_of(None, 0)
