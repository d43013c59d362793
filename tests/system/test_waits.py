"""The sensor's three modes on a real Airflow: the same state and the same XCom for the same answers and faults."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator, faults
from tests.retries import set_retries
from tests.system.test_examples import ROOT, load_module, run

WAITS = load_module("waits", ROOT / "tests" / "system" / "dags")


@pytest.fixture(scope="module")
def ended(airflow_db: object) -> dict[str, dict[str, tuple[str, Any, int]]]:
    """State, XCom and number of requests of every row's wait in each mode: one run of one DAG."""
    with Emulator() as api, pytest.MonkeyPatch.context() as patch:
        set_retries(patch)
        connection = {"conn_type": "altcraft", "host": api.url, "password": api.token}
        patch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps(connection | {"extra": {"list_id": 1, "timeout": 1}}))
        _script(api)
        _, states, values = run(WAITS.dag)
        asked = Counter(_value(request.body) for request in api.requests)
    return {
        name: {
            mode: (states[task], values[task], asked[_value(WAITS.lookup(mode, number))])
            for mode, task in ((mode, f"{name}-{mode}") for mode in WAITS.MODES)
        }
        for number, name in enumerate(WAITS.ROWS)
    }


def _script(api: Emulator) -> None:
    # Not before any run was due, however long this takes.
    at = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=1)
    for number, row in enumerate(WAITS.ROWS.values()):
        names = {mode: _value(WAITS.lookup(mode, number)) for mode in WAITS.MODES}
        profile = api.add_profile(
            email=names["poke"], phone=names["reschedule"], custom={"CRM_ID": names["deferrable"]}
        )
        for second, action in enumerate(row.did):
            api.add_event(profile, action, at=at + dt.timedelta(seconds=second), message_id=number)
        for name in names.values():
            api.play(*row.play, lookup=name)
            if row.forever:
                api.play_forever(row.forever, lookup=name)


def _value(body: Any) -> str:
    return str(body.get("email") or body.get("phone") or body.get("field_value"))


@pytest.mark.parametrize("name", WAITS.ROWS)
def test_the_modes_come_to_the_same(ended: dict[str, dict[str, tuple[str, Any, int]]], name: str) -> None:
    row = WAITS.ROWS[name]
    states = {mode: state for mode, (state, _, _) in ended[name].items()}
    assert states == dict.fromkeys(WAITS.MODES, row.state)
    values = [value for _, value, _ in ended[name].values()]
    assert values[0] == values[1] == values[2]
    if row.state == "success":
        assert [event["action"] for event in values[0]] == list(row.did)
    if row.requests is not None:
        requests = {mode: count for mode, (_, _, count) in ended[name].items()}
        assert requests == dict.fromkeys(WAITS.MODES, row.requests)


def test_each_fault_is_in_the_table() -> None:
    made = {name for name, each in vars(faults).items() if callable(each) and not name.startswith("_")}
    kinds = {fault.name.partition("(")[0] for row in WAITS.ROWS.values() for fault in [*row.play, row.forever] if fault}
    helpers = {
        "Reply",
        "Wire",
        "Fault",
        "Envelope",
        "Callable",
        "Mapping",
        "Any",
        "Literal",
        "dataclass",
        "field",
        "replace",
    }
    others = {"datetime", "format_datetime", "HTTPStatus", "to_json", "page"}
    assert kinds == made - helpers - others
