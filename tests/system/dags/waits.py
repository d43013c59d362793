"""Waits that each of the sensor's modes makes: what the platform plays, and how the wait must end. For the tests.

The modes wait for the same profile, each by a lookup of its own, so that each gets a script of its own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import airflow
from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.testing import faults
from airflow_provider.altcraft.testing.faults import Fault

MODES: dict[str, dict[str, Any]] = {
    "poke": {"mode": "poke"},
    "reschedule": {"mode": "reschedule"},
    "deferrable": {"deferrable": True},
}


@dataclass(frozen=True)
class Row:
    """One wait.

    Attributes:
        state: how it ends.
        play: what is played on its first requests.
        forever: what is played on those that follow.
        did: the actions that the profile has done.
        arguments: the sensor's.
        requests: how many requests it takes; None where that depends on the moment.
    """

    state: str = "success"
    play: Iterable[Fault] = ()
    forever: Fault | None = None
    did: tuple[str, ...] = ("form_post",)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    requests: int | None = 1


IN_VAIN = (faults.null_data(), faults.no_data())
PASSING = [
    faults.status(503),
    faults.status(500),
    faults.status(408),
    faults.status(429),
    faults.status(503, retry_after=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
    faults.html(502),
    faults.html(200),
    faults.plain("It works!"),
    faults.empty(),
    faults.error(500, "failed"),
    faults.stall(),
    faults.stall(after=10),
    faults.drip(20),
    faults.drip_headers(20),
    faults.reset(),
    faults.reset_during_body(),
    faults.close_before_response(),
    faults.truncated(),
    faults.truncated(chunked=True),
    faults.no_error(),
    faults.malformed_json(),
    faults.truncated_json(),
    faults.bad_gzip(),
    faults.rows({"action": "form_post", "datetime": "soon"}),
]
"""Each is a failed try of the client's. Four in a row are not yet a failed poll."""

HARMLESS = {
    "ok": faults.ok(),
    "latency": faults.latency(0.1),
    "close_after": faults.close_after_response(),
    "content_type": faults.wrong_content_type(),
    "charset": faults.charset("windows-1251"),
    "bom": faults.utf8_bom(),
    "gzip": faults.gzip(),
    "chunked": faults.chunked(),
    "big_headers": faults.big_headers(4000),
    "more_rows": faults.rows({"action": "web_version_save", "datetime": "2026-01-01T00:00:00Z", "colour": "red"}),
}
FATAL = {
    "error_400": faults.error(400, "incorrect request"),
    "error_401": faults.error(401, "token required"),
    "error_402": faults.error(402, "tariff limit reached", http_status=402),
    "error_403": faults.error(403, "no access"),
    "error_unknown": faults.error(777, "nobody knows"),
    "echo_token": faults.echo_token(),
    "echo_token_html": faults.echo_token(as_html=True, http_status=404),
    "redirect": faults.redirect("https://example.com/"),
    "status_404": faults.status(404),
}

ROWS: dict[str, Row] = {
    "met_later": Row(play=IN_VAIN, requests=3),
    "all": Row(did=("open", "form_post"), arguments={"actions": ["open", "form_post"], "match": "all"}),
    "min_count": Row(did=("form_post", "form_post"), arguments={"min_count": 2}),
    "timeout": Row("failed", did=(), arguments={"timeout": 0.5, "retries": 2}, requests=None),
    "timeout_soft": Row("skipped", did=(), arguments={"timeout": 0.5, "soft_fail": True}, requests=None),
    "timeout_never": Row("skipped", did=(), arguments={"timeout": 0.5, "never_fail": True}, requests=None),
    "timeout_zero": Row(arguments={"timeout": 0}),
    "contrary": Row("failed", did=("complain", "form_post"), arguments={"fail_on": ["complain"], "retries": 2}),
    "contrary_soft": Row("skipped", did=("complain",), arguments={"fail_on": "complain", "soft_fail": True}),
    "contrary_never": Row("skipped", did=("complain",), arguments={"fail_on": "complain", "never_fail": True}),
    "execution_timeout": Row(
        "failed", did=(), arguments={"execution_timeout": dt.timedelta(seconds=1), "soft_fail": True}, requests=None
    ),
    "backoff": Row(play=IN_VAIN, arguments={"exponential_backoff": True, "max_wait": 0.2}, requests=3),
    "outage_within_budget": Row(play=[faults.status(503)] * 10, requests=11),
    "outage": Row("failed", forever=faults.status(503), arguments={"soft_fail": True, "timeout": 4}, requests=None),
    "outage_never": Row("skipped", forever=faults.reset(), arguments={"never_fail": True, "timeout": 4}, requests=None),
    "outage_silent": Row(play=[faults.status(503)] * 25, arguments={"silent_fail": True}, requests=26),
    "outage_at_the_end": Row(
        "failed", forever=faults.status(503), arguments={"timeout": 0, "soft_fail": True}, requests=5
    ),
    "a_retry_helps": Row(
        play=[faults.status(503)] * 15, arguments={"retries": 1, "retry_delay": dt.timedelta(0)}, requests=None
    ),
    "fatal_silent": Row("failed", forever=faults.error(403, "no"), arguments={"silent_fail": True}),
    "fatal_never": Row("skipped", forever=faults.error(401, "no"), arguments={"never_fail": True}),
    **{
        f"passing_{first // 4}": Row(play=PASSING[first : first + 4], requests=5) for first in range(0, len(PASSING), 4)
    },
    **{f"harmless_{name}": Row(play=[fault]) for name, fault in HARMLESS.items()},
    **{
        f"fatal_{name}": Row("failed", forever=fault, arguments={"soft_fail": True, "retries": 2})
        for name, fault in FATAL.items()
    },
}

if airflow.__version__.startswith("2."):
    # There it ends `dag.test()` itself, which runs the tasks in its own process.
    del ROWS["execution_timeout"]


def lookup(mode: str, number: int) -> dict[str, Any]:
    """By what a mode looks up the profile of a row."""
    return {
        "poke": {"matching": "email", "email": f"row{number}@example.com"},
        "reschedule": {"matching": "phone", "phone": f"+7900{number:07}"},
        "deferrable": {"matching": "custom", "field_name": "CRM_ID", "field_value": f"row-{number}"},
    }[mode]


with DAG("waits", schedule=None) as dag:
    for number, (name, row) in enumerate(ROWS.items()):
        for mode, way in MODES.items():
            AltcraftActionSensor(
                task_id=f"{name}-{mode}",
                profile=lookup(mode, number),
                **{"actions": "form_post", "poke_interval": 0.1, "timeout": 600, "max_consecutive_failures": 3}
                | row.arguments
                | way,
            )
