"""A cohort in each of the sensor's modes: who did what, who is missing, and when that is enough."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.client import ServerError
from airflow_provider.altcraft.testing import Emulator, faults
from tests.unit.sensors.modes import DUE, MODES, context, outcome, sensor

Connect = Callable[..., str]
EMAILS = [f"{name}@example.com" for name in ("ann", "bob", "eve", "joe")]
each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for email in EMAILS:
        altcraft_api.add_profile(email=email)
    return altcraft_api


@each_mode
class TestCohort:
    """The modes side by side."""

    def test_all_by_default(self, api: Emulator, mode: str) -> None:
        for email in EMAILS:
            api.add_event(email, "form_post", at=DUE)
        state, found = outcome(sensor(mode, profiles=EMAILS))
        assert state == "success"
        assert (list(found["met"]), found["missing"], found["failed"], found["quorum"]) == (EMAILS, [], {}, 4)
        assert json.loads(json.dumps(found)) == found

    @pytest.mark.parametrize("quorum", [2, 0.5, "50%", "2"])
    def test_enough_of_them(self, api: Emulator, mode: str, quorum: Any) -> None:
        for email in EMAILS[1:3]:
            api.add_event(email, "form_post", at=DUE, message_id=7)
        state, found = outcome(sensor(mode, profiles=EMAILS, quorum=quorum))
        assert state == "success"
        assert {email: [event["message_id"] for event in events] for email, events in found["met"].items()} == {
            EMAILS[1]: [7],
            EMAILS[2]: [7],
        }
        assert found["missing"] == [EMAILS[0], EMAILS[3]]

    def test_one_after_another(self, api: Emulator, mode: str) -> None:
        for place, email in enumerate(EMAILS):
            api.add_event(email, "form_post", at=DUE)
            api.play(*[faults.null_data()] * place, lookup=email)  # for the first polls it has not come yet
        assert outcome(sensor(mode, profiles=EMAILS, timeout=60))[0] == "success"
        asked = Counter(request.body["email"] for request in api.requests)
        if mode == "reschedule":  # each poll is a process that knows of nothing
            assert len(set(asked.values())) == 1
        else:  # who has met it is not asked again, but for the trigger's first poll after the sensor's own
            assert asked[EMAILS[0]] == (2 if mode == "deferrable" else 1)
            assert [asked[email] for email in EMAILS[1:]] == [2, 3, 4]

    @pytest.mark.parametrize(("arguments", "state"), [({}, "timed out"), ({"soft_fail": True}, "skipped")])
    def test_a_timeout_says_who_is_missing(
        self, api: Emulator, mode: str, arguments: dict[str, Any], state: str
    ) -> None:
        api.add_event(EMAILS[0], "form_post", at=DUE)
        run = context()
        assert outcome(sensor(mode, profiles=EMAILS, timeout=0.3, **arguments), run)[0] == state
        found = run["ti"].pushed["return_value"]
        assert (list(found["met"]), found["missing"]) == (EMAILS[:1], EMAILS[1:])

    def test_a_contrary_action_takes_one_out(self, api: Emulator, mode: str) -> None:
        api.add_event(EMAILS[0], "complain", at=DUE)
        api.add_event(EMAILS[0], "form_post", at=DUE + dt.timedelta(seconds=1))
        for email in EMAILS[1:3]:
            api.add_event(email, "form_post", at=DUE)
        arguments = {"profiles": EMAILS, "fail_on": ["complain"]}
        state, found = outcome(sensor(mode, **arguments, quorum=2))
        assert state == "success"
        assert (found["failed"][EMAILS[0]]["action"], found["missing"]) == ("complain", EMAILS[3:])
        run = context()
        state, said = outcome(sensor(mode, **arguments), run)
        assert (state, said) == (
            "failed for good",
            "Too few are left for the quorum of 4: 3. Of what fail_on names profiles did 'complain': 1.",
        )
        assert list(run["ti"].pushed["return_value"]["failed"]) == EMAILS[:1]
        assert outcome(sensor(mode, **arguments, soft_fail=True))[0] == "skipped"

    def test_some_that_do_not_answer(self, api: Emulator, mode: str) -> None:
        for email in EMAILS:
            api.add_event(email, "form_post", at=DUE)
        api.play(*[faults.status(503)] * 5, lookup=EMAILS[1])
        assert outcome(sensor(mode, profiles=EMAILS, timeout=60))[0] == "success"
        api.play_forever(faults.status(503), lookup=EMAILS[2])
        arguments: dict[str, Any] = {"profiles": EMAILS, "timeout": 60, "max_consecutive_failures": 2}
        assert outcome(sensor(mode, **arguments)) == ("failed", ServerError)
        assert outcome(sensor(mode, **arguments, quorum=3))[0] == "success"

    def test_no_rights(self, api: Emulator, mode: str) -> None:
        api.revoke(1)
        state, said = outcome(sensor(mode, profiles=EMAILS, soft_fail=True, timeout=60))
        assert state == "failed for good"
        assert "no right to this" in said
        assert len(api.requests) <= len(EMAILS)

    def test_templates(self, api: Emulator, mode: str) -> None:
        api.add_event(EMAILS[0], "form_post", at=DUE)
        with DAG("d", schedule=None):
            found = sensor(mode, profiles="{{ people | tojson }}", quorum="{{ share }}")
        run = context() | {"people": EMAILS, "share": "25%"}
        found.render_template_fields(run)
        assert outcome(found, run)[0] == "success"

    @pytest.mark.parametrize(
        ("people", "share", "said"),
        [([], "1", "at least one to wait for"), (EMAILS, "5", "quorum"), (["x"], "1", "profiles")],
    )
    def test_templates_that_do_not_fit(
        self, api: Emulator, mode: str, people: list[str], share: str, said: str
    ) -> None:
        with DAG("d", schedule=None):
            found = sensor(mode, profiles="{{ people | tojson }}", quorum="{{ share }}", soft_fail=True)
        run = context() | {"people": people, "share": share}
        found.render_template_fields(run)
        state, message = outcome(found, run)
        assert (state, said in message) == ("failed for good", True)
        assert api.requests == []


@pytest.mark.parametrize("mode", ["poke", "deferrable"])  # the one poll of "reschedule" is that of "poke"
def test_two_thousand(altcraft_api: Emulator, connect: Connect, mode: str) -> None:
    altcraft_api.seed(profiles=2000, events_per_profile=3, start=DUE, days=1)
    altcraft_api.record = False
    connect(altcraft_api)
    emails = [f"user{number}@example.com" for number in range(2000)]
    actions = sorted({event["action"] for event in altcraft_api.events()})
    state, found = outcome(sensor(mode, profiles=emails, actions=actions, timeout=60))
    assert (state, len(found["met"]), found["missing"]) == ("success", 2000, [])
    assert altcraft_api.request_count == 2000
