"""A canary for the token: after every fault that there is, it stands nowhere but in the connection and the request."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.exceptions import TaskDeferred
from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.client import _pace
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.sensors.action import AltcraftActionSensor
from airflow_provider.altcraft.testing import Emulator, faults
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger
from tests.retries import set_retries

Connect = Callable[..., str]
TOKEN = 'can4ry/tok"en%2F+secret'
EMAIL = "very.private@example.com"

FAULTS = {
    "latency": faults.latency(0.01),
    "stall": faults.stall(),
    "stall during body": faults.stall(20),
    "drip": faults.drip(20),
    "drip of headers": faults.drip_headers(20),
    "reset": faults.reset(),
    "reset during body": faults.reset_during_body(20),
    "close": faults.close_before_response(),
    "truncated": faults.truncated(20),
    "503": faults.status(503),
    "429": faults.status(429, retry_after=0.01),
    "429 for long": faults.status(429, retry_after=1000),
    "html": faults.html(200),
    "html 502": faults.html(502),
    "404": faults.html(404),
    "plain": faults.plain("nothing here"),
    "empty": faults.empty(),
    "400": faults.error(400, f"no field in {EMAIL}"),
    "401": faults.error(401, "Token required", http_status=401),
    "402": faults.error(402, "Tariff"),
    "403": faults.error(403, "No access"),
    "500": faults.error(500, "Oops"),
    "echo": faults.echo_token(),
    "echo in html": faults.echo_token(as_html=True),
    "echo in html 502": faults.echo_token(as_html=True, http_status=502),
    "null data": faults.null_data(),
    "no data": faults.no_data(),
    "no error": faults.no_error(),
    "malformed": faults.malformed_json(),
    "cut off": faults.truncated_json(),
    "content type": faults.wrong_content_type(),
    "charset": faults.charset(),
    "gzip": faults.gzip(),
    "bad gzip": faults.bad_gzip(),
    "chunked": faults.chunked(),
    "headers": faults.big_headers(30_000),
    "a row that is none": faults.rows({"action": 5, "datetime": EMAIL}),
}


class Everything(logging.Handler):
    """Keeps every record whole, below all formatting and masking of Airflow's."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.getMessage()} {record.args!r}"
        if record.exc_info and record.exc_info[1]:
            text += "".join(traceback.format_exception(record.exc_info[1]))
        self.said.append((record.levelno, text))


@pytest.fixture
def logs() -> Iterator[Everything]:
    """Every logger of the process at DEBUG."""
    handler, root = Everything(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "httpx", "httpcore", "airflow_provider", "asyncio")}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield handler
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    root.removeHandler(handler)


@pytest.fixture(params=["body", "header"])
def api(request: pytest.FixtureRequest, connect: Connect) -> Iterator[Emulator]:
    with Emulator(token=TOKEN) as api:
        api.add_profile(email=EMAIL)
        api.add_event(EMAIL, "open")
        connect(api, timeout=0.2, auth=request.param)
        yield api


def forms(secret: str) -> set[str]:
    """The secret as it is, and as JSON and URLs would write it."""
    from urllib.parse import quote, quote_plus

    return {
        secret,
        json.dumps(secret)[1:-1],
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        repr(secret)[1:-1],
    }


def of_error(error: BaseException | None) -> Iterator[str]:
    """All that can be seen of an error, its causes included."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", [])))
        yield repr(vars(error))
        yield "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__


def seen_of(work: Callable[[], Any]) -> list[str]:
    """What a user, or Airflow's database, gets to see of a piece of work."""
    try:
        result = work()
    except TaskDeferred as deferred:
        stored = json.dumps(deferred.trigger.serialize())

        async def wait() -> Any:
            return [event.payload async for event in AltcraftActionTrigger(**json.loads(stored)[1]).run()]

        return [stored, repr(deferred.trigger), *seen_of(lambda: asyncio.run(wait()))]
    except BaseException as error:
        return list(of_error(error))
    return [repr(result), json.dumps(result, default=repr)]


def test_nowhere(api: Emulator, logs: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_retries(monkeypatch, attempts=2, wait_max=0.01)
    # A pull that is always refused would give up only after minutes.
    monkeypatch.setattr(_pace, "RETRY_AFTER_CAP", 0.05)
    context: Any = {"dag_run": SimpleNamespace(run_after=None, run_type="manual", logical_date=None)}
    waiting = {"profile": EMAIL, "actions": "form_post", "since": None, "timeout": 0, "poke_interval": 0.01}
    with DAG("d", schedule=None) as dag:
        operator = AltcraftHistoryOperator(task_id="pull", profiles=[EMAIL], target=str(tmp_path / "a.jsonl"))
        skipping = AltcraftHistoryOperator(
            task_id="skip", profiles=[EMAIL], target=str(tmp_path / "b.csv.gz"), on_profile_error="skip"
        )
        poking = AltcraftActionSensor(task_id="poke", **waiting, deferrable=False)
        deferring = AltcraftActionSensor(task_id="defer", **waiting, deferrable=True)
    hook = AltcraftHook()
    works: list[Callable[[], Any]] = [
        lambda: hook.get_history(EMAIL),
        lambda: asyncio.run(hook.aget_history(EMAIL)),
        lambda: list(hook.iter_database_history(date_from="2026-01-01", date_to="2026-01-01")),
        hook.test_connection,
        lambda: operator.execute(context),
        lambda: skipping.execute(context),
        lambda: poking.execute(context),
        lambda: deferring.execute(context),
    ]
    seen = [repr(hook.get_conn()), repr(hook.get_conn().settings), repr(vars(hook)), repr(dag), *map(repr, dag.tasks)]
    seen += [repr(vars(task)) for task in dag.tasks]
    for fault in FAULTS.values():
        for work in works:
            api.reset()
            api.play_forever(fault)
            # On a crowded machine the time-out may strike before the request has come to the server.
            for _ in range(20):
                seen += seen_of(work)
                if api.requests:
                    break
            assert api.requests, "the work must have met the fault"
    seen += [_serialized(dag)]
    written = [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]

    logged = [text for _, text in logs.said]
    # The canary would be found: it is in what the emulator got, and there is a lot that could hold it.
    assert any("subscribers/history_get" in text for text in logged)
    assert len(logged) > 1000
    assert len(written) >= 2
    for form in forms(TOKEN):
        assert not [text for text in (*logged, *seen, *written) if form in text]
    assert not [text for level, text in logs.said if level > logging.DEBUG and EMAIL in text]


def _serialized(dag: DAG) -> str:
    try:
        from airflow.serialization.serialized_objects import DagSerialization as Serialization
    except ImportError:  # Airflow 2
        from airflow.serialization.serialized_objects import SerializedDAG as Serialization
    return json.dumps(Serialization.to_dict(dag))
