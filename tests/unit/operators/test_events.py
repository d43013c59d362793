"""What a consuming task is given: each event by exactly one run, whatever fails, is retried or cleared."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider.altcraft.operators import events as module
from airflow_provider.altcraft.operators.events import AltcraftEventsOperator, events_since_last_run
from airflow_provider.altcraft.testing import Emulator, faults

Connect = Callable[..., str]
NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module may have been read long before the test runs."""
    monkeypatch.setitem(globals(), "NOW", dt.datetime.now(dt.UTC))


class Store:
    """What keeps rows, as Airflow's stores do: JSON values."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.dies_after = -1

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any) -> None:
        if self.dies_after == 0:
            raise MemoryError("killed")
        self.dies_after -= 1
        self.rows[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        del self.rows[key]


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob", "cid"):
        altcraft_api.add_profile(email=f"{name}@example.com")
    return altcraft_api


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Airflow's Variables; the real ones are in the system tests."""
    store = Store()
    monkeypatch.setattr(module, "Variables", lambda: store)
    return store


@pytest.fixture
def store() -> Store:
    return Store()


ASSET = "asset"


def consumer(mapped_over: int = 0, **more: Any) -> Any:
    """A task that is given events, and over whose output so many are mapped."""
    ways = {"max_active_tis_per_dag": 1, "iter_mapped_dependants": lambda: iter(range(mapped_over))}
    return SimpleNamespace(**(ways | more))


def context(store: Store, run: str = "run1", *, due: dt.datetime | None = None, **more: Any) -> dict[str, Any]:
    return {
        "asset_state_store": {ASSET: store},
        "dag": SimpleNamespace(max_active_runs=16),
        "dag_run": SimpleNamespace(run_after=due or NOW - HOUR),
        "run_id": run,
        "task": consumer(),
        "ti": SimpleNamespace(dag_id="dag", task_id="task", map_index=-1),
    } | more


def given(context: dict[str, Any], **arguments: Any) -> list[dict[str, Any]]:
    with events_since_last_run(context, **{"actions": "form_post", "asset": ASSET} | arguments) as events:
        return events


def emails(events: list[dict[str, Any]]) -> list[str]:
    return [event["email"].partition("@")[0] for event in events]


def post(api: Emulator, *names: str, at: dt.datetime | None = None) -> None:
    for number, name in enumerate(names):
        when = (at or dt.datetime.now(dt.UTC)) + number * dt.timedelta(milliseconds=1)
        api.add_event(f"{name}@example.com", "form_post", at=when)


def announced(at: dt.datetime) -> dict[str, Any]:
    payload = {"keys": ["…"], "window": {"start": at.isoformat(), "end": at.isoformat()}}
    events = [SimpleNamespace(extra={"from_trigger": True, "payload": payload}), SimpleNamespace(extra={"other": 1})]
    return {"triggering_asset_events": {ASSET: events}}


def test_each_run_gets_what_is_new(api: Emulator, store: Store) -> None:
    post(api, "ann", "bob")
    api.add_event("cid@example.com", "open")
    first = given(context(store))
    assert emails(first) == ["ann", "bob"]
    assert first[0]["action"] == "form_post"
    assert len({event["event_key"] for event in first}) == 2
    assert json.loads(json.dumps(first)) == first
    post(api, "cid")
    assert emails(given(context(store, "run2"))) == ["cid"]
    assert given(context(store, "run3")) == []


@pytest.mark.parametrize("hints", [[0, 1, 2], [2], []], ids=["all", "the last", "none"])
def test_airflow_56749_however_events_are_merged_into_runs_each_is_given_once(
    api: Emulator, store: Store, hints: list[int]
) -> None:
    """Airflow makes one run of several events, or of the last alone, or hands none over before the next comes."""
    times = [dt.datetime.now(dt.UTC) - HOUR / 2 + number * dt.timedelta(minutes=1) for number in range(3)]
    for name, at in zip(("ann", "bob", "cid"), times, strict=True):
        post(api, name, at=at)
    merged = [event for number in hints for event in announced(times[number])["triggering_asset_events"][ASSET]]
    assert emails(given(context(store, triggering_asset_events={ASSET: merged}))) == ["ann", "bob", "cid"]
    # The others come with the next run, which need not do anything again.
    assert given(context(store, "run2", **announced(times[1]))) == []


def test_oldest_first(api: Emulator, store: Store) -> None:
    post(api, "ann")
    post(api, "bob", at=NOW - HOUR / 2)
    assert emails(given(context(store))) == ["bob", "ann"]


def test_a_block_that_fails_is_given_nothing(api: Emulator, store: Store) -> None:
    post(api, "ann")

    def fail(run: str) -> None:
        with events_since_last_run(context(store, run), actions="form_post", asset=ASSET) as events:
            assert emails(events) == ["ann"]
            raise RuntimeError

    for run in ("run1", "run1", "run2"):
        with pytest.raises(RuntimeError):
            fail(run)
    assert emails(given(context(store, "run3"))) == ["ann"]


def test_the_first_run_fails_and_nothing_is_lost(api: Emulator, store: Store) -> None:
    """The second was due later; where the task began is kept from the first on."""
    post(api, "ann", at=NOW - HOUR / 2)
    api.play_forever(faults.error(401, "no"))
    with pytest.raises(Exception, match="no"):
        given(context(store))
    api.reset()
    assert emails(given(context(store, "run2", due=NOW))) == ["ann"]


def test_a_run_that_is_cleared_gets_its_own_again(api: Emulator, store: Store) -> None:
    post(api, "ann", "bob")
    first = given(context(store))
    post(api, "cid")
    second = given(context(store, "run2"))
    post(api, "ann")
    assert given(context(store)) == first
    assert given(context(store, "run2")) == second
    assert emails(given(context(store, "run3"))) == ["ann"]


@pytest.mark.parametrize("writes", range(3))
def test_killed_while_it_is_noted(api: Emulator, store: Store, writes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either the run has them for good, or they are still to be given."""
    monkeypatch.setattr("airflow_provider.altcraft.waiting.processed_keys.HEAD_KEYS", 0)
    given(context(store, "run0"))
    post(api, "ann", "bob")
    store.dies_after = writes
    with pytest.raises(MemoryError) if writes < 2 else pytest.MonkeyPatch.context():
        given(context(store))
    store.dies_after = -1
    other = given(context(store, "run2"))
    again = given(context(store))
    assert sorted(emails(other) + emails(again)) == ["ann", "bob"]
    assert emails(other) == (["ann", "bob"] if writes < 2 else [])


def test_a_limit_leaves_the_rest_to_the_next_run(api: Emulator, store: Store) -> None:
    for minutes in range(5):
        post(api, "ann", at=NOW - dt.timedelta(minutes=minutes))
    sizes = [len(given(context(store, f"run{run}"), max_events=2, lookback="PT0S")) for run in range(4)]
    assert sizes == [2, 2, 1, 0]


def test_no_more_than_may_be_mapped(api: Emulator, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    for minutes in range(5):
        post(api, "ann", at=NOW - dt.timedelta(minutes=minutes))
    sizes = [len(given(context(store, f"run{run}", task=consumer(1)), lookback="PT0S")) for run in range(3)]
    assert sizes == [2, 2, 1]
    another = SimpleNamespace(dag_id="dag", task_id="another", map_index=-1)
    assert len(given(context(store, ti=another))) == 5  # nothing is mapped over it


def test_a_run_that_was_given_more_than_may_be_mapped_says_so(
    api: Emulator, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(api, "ann", "bob", "cid")
    given(context(store))
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    with pytest.raises(ValueError, match=r"max_map_length to 3, then clear"):
        given(context(store, task=consumer(1)))


def test_a_late_one_is_given_within_the_lookback(api: Emulator, store: Store) -> None:
    given(context(store, due=NOW - 5 * HOUR))
    for hours in (1, 3):
        post(api, "ann", at=NOW - hours * HOUR)
    (late,) = given(context(store, "run2"), lookback=2 * HOUR)
    assert late["datetime"] > (NOW - 2 * HOUR).isoformat()


def test_what_was_given_is_forgotten_only_when_it_cannot_come_again(api: Emulator, store: Store) -> None:
    post(api, "ann", at=NOW - HOUR / 2)
    for run in range(4):
        assert len(given(context(store, f"run{run}"), lookback=HOUR)) == (run == 0)
    (head,) = store.rows.values()
    assert len(json.loads(head)["pages"]) == 1


# Where it begins


def test_it_begins_when_the_first_run_was_due(api: Emulator, store: Store) -> None:
    post(api, "ann", at=NOW - 2 * HOUR)
    post(api, "bob", at=NOW - HOUR / 2)
    assert emails(given(context(store))) == ["bob"]


@pytest.mark.parametrize("runs", [1, 2])
def test_or_with_the_earliest_event_that_was_announced(api: Emulator, store: Store, runs: int) -> None:
    """Also where a run by the clock came before it."""
    post(api, "ann", at=NOW - 3 * HOUR)
    if runs == 2:
        assert given(context(store, "run0")) == []
    assert emails(given(context(store, **announced(NOW - 4 * HOUR)))) == ["ann"]
    assert given(context(store, "run2", **announced(NOW - 4 * HOUR))) == []


def test_or_where_since_says(api: Emulator, store: Store) -> None:
    post(api, "ann", at=NOW - 100 * HOUR)
    post(api, "bob", at=NOW - HOUR)
    since = (NOW - 10 * HOUR).isoformat()
    assert emails(given(context(store, **announced(NOW - 200 * HOUR)), since=since)) == ["bob"]


# Where it is kept


def test_without_an_asset_in_variables(api: Emulator, store: Store, variables: Store) -> None:
    post(api, "ann")
    assert emails(given(context(store), asset=None)) == ["ann"]
    assert store.rows == {}
    assert variables.rows.keys() == {f"altcraft_events_{next(iter(variables.rows)).split('_')[2]}_head"}
    assert given(context(store, "run2"), asset=None) == []


def test_what_variables_know_is_taken_over_by_the_asset(api: Emulator, store: Store, variables: Store) -> None:
    """As when Airflow is brought from 3.2 to 3.3."""
    post(api, "ann")
    before = context(store)
    del before["asset_state_store"]
    assert emails(given(before)) == ["ann"]
    assert given(context(store, "run2")) == []
    assert store.rows


def test_tasks_of_one_asset_keep_apart(api: Emulator, store: Store) -> None:
    post(api, "ann")
    for task_id in ("one", "two"):
        ti = SimpleNamespace(dag_id="dag", task_id=task_id, map_index=-1)
        assert emails(given(context(store, ti=ti))) == ["ann"]


def test_a_row_that_is_gone_is_reported(api: Emulator, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than to give again what was given."""
    monkeypatch.setattr("airflow_provider.altcraft.waiting.processed_keys.HEAD_KEYS", 0)
    post(api, "ann")
    given(context(store))
    (page,) = (row for row in store.rows if "page" in row)
    del store.rows[page]
    with pytest.raises(ValueError, match=r"dag\.task was given, altcraft_events_\w+_page0 is missing"):
        given(context(store, "run2"))


# What is refused


@pytest.mark.parametrize(
    ("more", "arguments", "message"),
    [
        ({"task": consumer(max_active_tis_per_dag=None)}, {}, "set max_active_tis_per_dag=1"),
        ({"ti": SimpleNamespace(dag_id="d", task_id="t", map_index=0)}, {}, "A mapped task cannot"),
        ({}, {"max_events": 0}, "max_events: expected a whole number from 1 on, got 0"),
        ({}, {"actions": ()}, "actions: expected at least one"),
        ({}, {"profiles": []}, "profiles: expected at least one"),
        ({}, {"since": None}, "since: expected a date or a date-time, got None"),
        ({}, {"lookback": -HOUR}, "lookback: "),
        ({}, {"list_id": "x"}, "list_id: "),
    ],
)
def test_before_any_request(
    api: Emulator, store: Store, more: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        given(context(store, **more), **arguments)
    assert not api.requests


def test_one_run_at_a_time_will_do(api: Emulator, store: Store) -> None:
    post(api, "ann")
    alone = {"task": consumer(max_active_tis_per_dag=None), "dag": SimpleNamespace(max_active_runs=1)}
    assert emails(given(context(store, **alone))) == ["ann"]


# The operator


def operator(**arguments: Any) -> AltcraftEventsOperator:
    with DAG("dag", schedule=None):
        return AltcraftEventsOperator(**{"task_id": "task", "actions": "form_post"} | arguments)


def run(
    operator: AltcraftEventsOperator, store: Store, name: str = "run1", push: Callable[..., None] = lambda **_: None
) -> list[dict[str, Any]]:
    ti = SimpleNamespace(dag_id="dag", task_id="task", map_index=-1, xcom_push=push)
    return operator.execute(context(store, name, task=operator, ti=ti))  # type: ignore[arg-type]


def test_the_operator_gives_them_as_its_xcom(api: Emulator, variables: Store) -> None:
    post(api, "ann", "bob", "cid")
    task = operator(profiles=["ann@example.com", "bob@example.com", "ann@example.com"])
    assert emails(run(task, variables)) == ["ann", "bob"]
    assert run(task, variables, "run2") == []
    assert task.max_active_tis_per_dag == 1


def test_what_airflow_cannot_take_is_not_noted_as_given(api: Emulator, variables: Store) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("too large")

    post(api, "ann")
    with pytest.raises(RuntimeError):
        run(operator(), variables, push=refuse)
    assert emails(run(operator(), variables, "run2")) == ["ann"]


def test_a_wrong_token_wastes_no_retries(api: Emulator, connect: Connect, variables: Store) -> None:
    connect(api, token="wrong")
    with pytest.raises(AirflowFailException, match="token"):
        run(operator(), variables)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"actions": []}, "actions: "),
        ({"profiles": ["bob"]}, r"profiles\[0\]: email: "),
        ({"since": "yesterday"}, "since: "),
        ({"max_events": 0}, "max_events: "),
        ({"list_id": -1}, "list_id: "),
        ({"lookback": "1"}, "lookback: .*got the number 1, which has no unit"),
    ],
)
def test_constants_are_checked_when_the_file_is_parsed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operator(**arguments)


@pytest.mark.parametrize(("by", "again"), [("event_id", 0), ("row", 1)])
def test_an_event_that_moved_to_another_profile(api: Emulator, store: Store, by: Any, again: int) -> None:
    post(api, "ann")
    (event,) = given(context(store), event_key_by=by)
    assert event["event_key"].startswith("i") == (by == "event_id")
    api.merge_profiles("bob@example.com", "ann@example.com")
    assert len(given(context(store, "run2"), event_key_by=by)) == again
    assert len(given(context(store), event_key_by=by)) == 1 - again
    other = "row" if by == "event_id" else "event_id"
    with pytest.raises(ValueError, match=f"was given events by '{by}', got '{other}'"):
        given(context(store, "run3"), event_key_by=other)
