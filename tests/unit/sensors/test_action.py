"""The sensor in its three modes: one outcome for the same answers."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import TaskDeferred
from airflow.providers.common.compat.sdk import DAG, AirflowException

from airflow_provider.altcraft.client import Action, ServerError
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.sensors.modes import DUE, MODES, context, outcome, sensor

Connect = Callable[..., str]


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    return altcraft_api


each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
class TestOutcomes:
    """The modes side by side."""

    def test_met(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "open", at=DUE)
        row = api.add_event("ann@example.com", "form_post", at=DUE, message_id=7)
        state, events = outcome(sensor(mode))
        assert state == "success"
        (event,) = events
        assert {key: event[key] for key in ("action", "message_id", "xxh")} == {
            "action": "form_post",
            "message_id": 7,
            "xxh": row["xxh"],
        }
        assert dt.datetime.fromisoformat(event["datetime"]) == DUE
        assert json.loads(json.dumps(events)) == events

    def test_met_after_a_while(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        api.play(*[faults.null_data()] * 3)  # for the first polls it has not come yet
        assert outcome(sensor(mode, timeout=60))[0] == "success"
        assert len(api.requests) == 4

    def test_timed_out(self, api: Emulator, mode: str) -> None:
        assert outcome(sensor(mode, timeout=0.3))[0] == "timed out"
        assert outcome(sensor(mode, timeout=0.3, soft_fail=True))[0] == "skipped"
        assert outcome(sensor(mode, timeout=0.3, never_fail=True))[0] == "skipped"

    def test_actions_as_json_text(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "click", at=DUE)
        with DAG("d", schedule=None):
            found = sensor(mode, actions="{{ ['open', 'click'] | tojson }}", fail_on=None)
        found.render_template_fields(context())
        assert outcome(found)[0] == "success"

    def test_one_poll_at_least(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        assert outcome(sensor(mode, timeout=0))[0] == "success"

    def test_contrary(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", Action.COMPLAIN, at=DUE)
        found = sensor(mode, fail_on=[Action.COMPLAIN, Action.HBOUNCE], timeout=60)
        state, said = outcome(found)
        assert state == "failed for good"
        assert "'complain' at 2026-01-02T03:04:05.678" in said
        found.soft_fail = True
        assert outcome(found)[0] == "skipped"
        found.soft_fail, found.never_fail = False, True
        assert outcome(found)[0] == "skipped"

    @pytest.mark.parametrize("code", [400, 401, 402, 403])
    def test_fatal_at_once_also_with_soft_fail(self, api: Emulator, mode: str, code: int) -> None:
        api.play_forever(faults.error(code, "no"))
        state, said = outcome(sensor(mode, soft_fail=True, timeout=60))
        assert state == "failed for good"
        assert f"error {code}: no" in said
        assert len(api.requests) == 1
        assert outcome(sensor(mode, never_fail=True, timeout=60))[0] == "skipped"

    def test_a_passing_fault_is_retried_within(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        api.play(faults.status(503), faults.reset(), faults.truncated_json())
        assert outcome(sensor(mode, timeout=60))[0] == "success"
        assert len(api.requests) == 4

    def test_a_lasting_fault_is_left_to_the_retries_of_airflow(self, api: Emulator, mode: str) -> None:
        api.play_forever(faults.status(503))
        arguments: dict[str, Any] = {"timeout": 60, "max_consecutive_failures": 3}
        assert outcome(sensor(mode, soft_fail=True, **arguments)) == ("failed", ServerError)
        assert len(api.requests) == 15
        assert outcome(sensor(mode, never_fail=True, **arguments))[0] == "skipped"

    def test_only_failures_in_a_row_count(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        row = [faults.status(503)] * 10 + [faults.null_data()]
        api.play(*row * 3)
        assert outcome(sensor(mode, timeout=60, max_consecutive_failures=3))[0] == "success"
        assert len(api.requests) == 34

    def test_an_outage_when_the_time_is_up_is_no_timeout(self, api: Emulator, mode: str) -> None:
        api.play_forever(faults.status(503))
        assert outcome(sensor(mode, timeout=0, soft_fail=True)) == ("failed", ServerError)
        assert outcome(sensor(mode, timeout=0, silent_fail=True))[0] == "timed out"

    def test_a_retry_begins_again(self, api: Emulator, mode: str) -> None:
        api.play(*[faults.status(503)] * 20)
        found, run = sensor(mode, timeout=60, max_consecutive_failures=2), context()
        assert outcome(found, run) == ("failed", ServerError)
        api.add_event("ann@example.com", "form_post", at=DUE)
        run["ti"].try_number = 2
        assert outcome(found, run) == ("failed", ServerError)
        assert len(api.requests) == 20
        run["ti"].try_number = 3
        assert outcome(found, run)[0] == "success"

    def test_execution_timeout(self, api: Emulator, mode: str) -> None:
        limit = {"execution_timeout": dt.timedelta(seconds=0.3), "timeout": 60}
        for arguments in ({}, {"soft_fail": True}, {"never_fail": True}, {"poke_interval": 60}):
            began = time.monotonic()
            assert outcome(sensor(mode, **limit | arguments))[0] == "execution timed out"
            assert 0.3 <= time.monotonic() - began < 10
        api.add_event("ann@example.com", "form_post", at=DUE)
        assert outcome(sensor(mode, execution_timeout=dt.timedelta(seconds=60)))[0] == "success"

    def test_exponential_backoff(self, api: Emulator, mode: str) -> None:
        arguments: dict[str, Any] = {"poke_interval": 0.05, "timeout": 1.5, "exponential_backoff": True}
        assert outcome(sensor(mode, **arguments))[0] == "timed out"
        # After 0, 0.05, 0.15, 0.35, 0.75 and 1.5 seconds, not thirty times; a slow machine makes fewer.
        assert 4 <= len(api.requests) <= 6

    def test_the_last_poll_is_when_the_time_is_up(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        api.play(faults.null_data())  # for the first poll it has not come yet
        assert outcome(sensor(mode, timeout=2, poke_interval=3600))[0] == "success"
        assert len(api.requests) == 2

    def test_silent_fail_goes_on(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "form_post", at=DUE)
        api.play(*[faults.status(503)] * 7)
        assert outcome(sensor(mode, silent_fail=True, timeout=60))[0] == "success"

    def test_connection_that_does_not_fit(self, api: Emulator, connect: Connect, mode: str) -> None:
        connect(api, token="***")
        state, said = outcome(sensor(mode, soft_fail=True))
        assert (state, "masked" in said) == ("failed for good", True)
        connect(api, list_id=None)
        state, said = outcome(sensor(mode))
        assert (state, "list_id" in said) == ("failed for good", True)
        assert api.requests == []

    def test_no_such_connection(self, mode: str) -> None:
        state, _ = outcome(sensor(mode, altcraft_conn_id="nowhere", soft_fail=True))
        assert state == "failed"

    @pytest.mark.parametrize(
        ("at", "since", "state"),
        [
            (DUE.replace(microsecond=0), "run_due", "success"),
            (DUE.replace(microsecond=0) - dt.timedelta(milliseconds=1), "run_due", "timed out"),
            (DUE - dt.timedelta(days=400), None, "success"),
            (DUE, "2026-01-02", "success"),
            (DUE, "2026-01-03", "timed out"),
            (DUE, DUE, "success"),
            (DUE, "2026-01-02T06:04:05+03:00", "success"),
            (DUE + dt.timedelta(days=9), "run_due", "success"),
        ],
    )
    def test_since(self, api: Emulator, mode: str, at: dt.datetime, since: Any, state: str) -> None:
        api.add_event("ann@example.com", "form_post", at=at)
        limit = {"timeout": 0.3} if state == "timed out" else {}
        assert outcome(sensor(mode, since=since, **limit))[0] == state

    @pytest.mark.parametrize("hours", [-12, 0, 3, 14])
    def test_the_platforms_zone_does_not_matter(self, api: Emulator, mode: str, hours: int) -> None:
        api.timezone = dt.timezone(dt.timedelta(hours=hours))
        for due in (DUE.replace(hour=0), DUE.replace(hour=23)):
            api.add_event("ann@example.com", "form_post", at=due)
            assert outcome(sensor(mode), context(run_after=due))[0] == "success"

    def test_narrowed(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "click", at=DUE, message_id=5, campaign_id=6, count=2)
        arguments: dict[str, Any] = {"actions": ["click"], "message_id": "5", "campaign_id": 6}
        assert outcome(sensor(mode, **arguments, min_count="2"))[0] == "success"
        assert outcome(sensor(mode, **arguments, min_count=3, timeout=0.3))[0] == "timed out"
        assert outcome(sensor(mode, **arguments | {"message_id": 6, "timeout": 0.3}))[0] == "timed out"

    def test_all(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "open", at=DUE)
        arguments: dict[str, Any] = {"actions": ["open", "click"], "match": "all"}
        assert outcome(sensor(mode, **arguments, timeout=0.3))[0] == "timed out"
        api.add_event("ann@example.com", "click", at=DUE + dt.timedelta(seconds=1))
        state, events = outcome(sensor(mode, **arguments))
        assert (state, [event["action"] for event in events]) == ("success", ["open", "click"])

    def test_templates(self, api: Emulator, mode: str) -> None:
        api.add_event("ann@example.com", "click", at=DUE, message_id=5)
        with DAG("d", schedule=None):
            found = sensor(
                mode,
                profile={"matching": "email", "email": "{{ name }}@example.com"},
                actions=["{{ action }}"],
                message_id="{{ message_id }}",
                min_count="{{ 1 }}",
                since="{{ since }}",
                list_id="{{ 1 }}",
                match="{{ 'any' }}",
                fail_on=["{{ 'complain' }}"],
                altcraft_conn_id="altcraft_{{ 'default' }}",
            )
        run = context() | {"name": "ann", "action": "click", "message_id": 5, "since": DUE.isoformat()}
        found.render_template_fields(run)
        assert outcome(found, run)[0] == "success"

    @pytest.mark.parametrize(
        ("rendered", "said"),
        [
            ({"profile": "{{ 'no address' }}"}, "email"),
            ({"profile": "{{ '[]' }}"}, "expected one profile, got 0"),
            ({"message_id": "{{ 'x' }}"}, "message_id"),
            ({"min_count": "{{ 0 }}"}, "min_count"),
            ({"since": "{{ 'soon' }}"}, "since"),
            ({"actions": "{{ '' }}"}, "actions"),
            ({"actions": "{{ ['open', 'click'] }}"}, "tojson"),
            ({"fail_on": "{{ 'a, b' }}"}, "fail_on"),
        ],
    )
    def test_templates_that_do_not_fit(self, api: Emulator, mode: str, rendered: dict[str, Any], said: str) -> None:
        with DAG("d", schedule=None):
            found = sensor(mode, soft_fail=True, **rendered)
        found.render_template_fields(context())
        state, message = outcome(found)
        assert state == "failed for good"
        assert said in message
        assert api.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"profile": "no address"}, "email"),
        ({"actions": []}, "actions"),
        ({"actions": "open", "fail_on": "open"}, "fail_on"),
        ({"match": "some"}, "match"),
        ({"min_count": 0}, "min_count"),
        ({"message_id": "x"}, "message_id"),
        ({"since": "soon"}, "since"),
        ({"list_id": "main"}, "list_id"),
        ({"max_consecutive_failures": 0}, "max_consecutive_failures"),
        ({"profiles": ["ann@example.com"], "profile": "ann@example.com"}, "one of the two"),
        ({"profile": None}, "one of the two"),
        ({"quorum": 1}, "with profiles only"),
        ({"profiles": ["ann@example.com", "no address"]}, r"profiles\[1\]"),
        ({"profiles": []}, "at least one to wait for"),
        ({"profiles": ["ann@example.com"], "quorum": 2}, "quorum"),
        ({"profiles": ["ann@example.com"], "quorum": 1.5}, "quorum"),
        ({"profiles": "{{ x }}", "quorum": "half"}, "quorum"),
    ],
)
def test_constants_are_refused_at_the_parse(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, AirflowException), match=said):
        sensor("deferrable", **arguments)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"run_after": DUE}, DUE),
        ({"run_type": "scheduled", "data_interval_end": DUE, "logical_date": DUE - dt.timedelta(days=1)}, DUE),
        ({"run_type": "manual", "data_interval_end": DUE - dt.timedelta(hours=1), "logical_date": DUE}, DUE),
    ],
    ids=["3.x", "2.11 scheduled", "2.11 manual"],
)
@pytest.mark.usefixtures("api")
def test_when_a_run_was_due(run: dict[str, Any], expected: dt.datetime) -> None:
    found = sensor("deferrable")
    with pytest.raises(TaskDeferred) as deferred:
        found.execute(context() | {"dag_run": SimpleNamespace(**run)})
    assert deferred.value.trigger.since == expected.replace(microsecond=0).isoformat()


@pytest.mark.usefixtures("api")
def test_defers_with_a_time_limit_of_airflows_too() -> None:
    with pytest.raises(TaskDeferred) as deferred:
        sensor("deferrable", timeout=10).execute(context())
    assert deferred.value.timeout == dt.timedelta(seconds=70)
    assert deferred.value.method_name == "execute_complete"
