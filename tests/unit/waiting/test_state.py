"""How a wait goes on and ends, without any clock but its own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.client import AccessError, HistoryEvent, RequestTimeoutError, ServerError
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.waiting.state import Pauses, WaitState, gives_up
from tests.unit.sensors.modes import bare

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def wait(*emails: str, left: dt.timedelta = HOUR, **arguments: Any) -> WaitState:
    given: dict[str, Any] = {
        "profiles": [{"matching": "email", "email": f"{email}@example.com"} for email in emails or ("ann",)],
        "condition": ActionCondition(("click",), fail_on=("complain",)),
        "quorum": None,
        "since": START,
        "deadline": dt.datetime.now(dt.UTC) + left,
        "execution_deadline": None,
        "pauses": Pauses(60),
        "budget": 3,
    }
    return WaitState(**given | arguments)


def event(action: str = "click", **fields: Any) -> HistoryEvent:
    return HistoryEvent(**{"action": action, "datetime": START, "message_id": 7, "subscription": {"a": 1}} | fields)


class TestPauses:
    """How long to pause."""

    @pytest.mark.parametrize(("polls", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 500), (10**9, 500)])
    def test_they_double_up_to_the_longest(self, polls: int, seconds: float) -> None:
        pause = Pauses(10, exponential=True, longest=500).after(polls)
        assert 0.95 * seconds <= pause <= min(500, 1.05 * seconds)

    def test_they_do_not_otherwise(self) -> None:
        assert 57 <= Pauses(60).after(1000) <= 63

    def test_they_differ(self) -> None:
        assert len({Pauses(60).after(1) for _ in range(50)}) > 40

    def test_the_last_one_ends_with_the_time(self) -> None:
        assert wait(left=dt.timedelta(seconds=9)).pause() <= 9
        assert wait(left=-HOUR).pause() == 0


class TestFailures:
    """Polls that failed."""

    def test_a_budget_of_failures_in_a_row(self) -> None:
        it = wait()
        assert it.finish_poll([ServerError("down")]) is None
        assert it.finish_poll([ServerError("down")]) is None
        assert it.finish_poll() is None
        assert it.finish_poll([ServerError("down")]) is None
        assert it.finish_poll([ServerError("down")]) is None
        assert bare(it.finish_poll([ServerError("down")])) == {
            "status": "error",
            "error": "ServerError",
            "fatal": False,
            "message": "down (polls that failed in a row: 3)",
        }

    def test_fatal_at_once_and_before_what_may_pass(self) -> None:
        ended = wait(budget=None).finish_poll([RequestTimeoutError("late"), AccessError("no rights")])
        assert bare(ended) == {"status": "error", "error": "AccessError", "fatal": True, "message": "no rights"}

    def test_what_is_met_is_met_whatever_failed_next_to_it(self) -> None:
        it = wait("ann", "bob", quorum=1)
        it.record(0, [event()])
        assert (it.finish_poll([ServerError("down")]) or {})["status"] == "met"

    def test_when_the_time_is_up(self) -> None:
        assert bare(wait(left=-HOUR).finish_poll()) == {"status": "timeout"}
        ended = wait(left=-HOUR).finish_poll([ServerError("down")])
        assert ended is not None
        assert (ended["status"], ended["message"]) == ("error", "down (in the last poll, as the time was up)")
        assert bare(wait(left=-HOUR, budget=None).finish_poll([ServerError("down")])) == {"status": "timeout"}

    def test_a_poll_at_many_gives_up(self) -> None:
        assert not gives_up([])
        assert not gives_up([ServerError("down")] * 19)
        assert gives_up([ServerError("down")] * 20)
        assert gives_up([AccessError("no")])


class TestCohort:
    """Who did what and who is missing."""

    def test_quorum(self) -> None:
        it = wait("ann", "bob", "eve", quorum=2)
        it.record(1, [event()])
        assert it.finish_poll() is None
        assert [place for place, _ in it.waiting()] == [0, 2]
        it.record(0, [event("open"), event(count=3)])
        found = {"action": "click", "count": 3, "datetime": "2026-01-01T00:00:00Z", "message_id": 7}
        assert bare(it.finish_poll()) == {
            "status": "met",
            "cohort": {
                "quorum": 2,
                "met": {"ann@example.com": [found], "bob@example.com": [found | {"count": 1}]},
                "failed": {},
                "missing": ["eve@example.com"],
            },
        }

    def test_too_few_are_left(self) -> None:
        it = wait("ann", "bob", "eve", quorum=2)
        it.record(0, [event("complain")])
        assert it.finish_poll() is None
        it.record(2, [event("complain"), event("click", datetime=START + HOUR)])
        ended = it.finish_poll()
        assert ended is not None
        assert (ended["status"], list(ended["cohort"]["failed"])) == ("failed", ["ann@example.com", "eve@example.com"])
        assert ended["cohort"]["missing"] == ["bob@example.com"]

    def test_lookups_that_share_their_text(self) -> None:
        same = [{"matching": matching, "email": "ann@example.com"} for matching in ("email", "email_sub")]
        it = wait(quorum=2, profiles=[*same, {"xxh": "0" * 16}], left=-HOUR)
        ended = it.finish_poll()
        assert ended is not None
        assert ended["cohort"]["missing"] == ["email:ann@example.com", "email_sub:ann@example.com", "0" * 16]

    @given(st.lists(st.sampled_from(["click", "complain", "open"]), min_size=1, max_size=6), st.data())
    def test_the_order_of_answers_does_not_matter(self, did: list[str], data: st.DataObject) -> None:
        quorum = data.draw(st.integers(1, len(did)))
        order = data.draw(st.permutations(range(len(did))))
        ended = []
        for places in (range(len(did)), order):
            it = wait(*(f"user{place}" for place in range(len(did))), quorum=quorum)
            for place in places:
                it.record(place, [event(did[place])])
            ended.append(bare(it.finish_poll()))
        assert ended[0] == ended[1]
        met, failed = did.count("click"), did.count("complain")
        expected = "met" if met >= quorum else "failed" if len(did) - failed < quorum else None
        assert (ended[0] and ended[0]["status"]) == expected
