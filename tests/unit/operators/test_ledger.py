"""Whatever happens, in whatever order: the runs share the events out among them, each to one."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections import Counter
from hashlib import blake2b
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.altcraft.operators._ledger import Ledger
from airflow_provider.altcraft.waiting import processed_keys
from airflow_provider.altcraft.window import Window

HOUR = dt.timedelta(hours=1)


class Killed(BaseException):
    """What a kill is to the code that it ends."""


class Store(dict[str, str]):
    """Rows; it may be killed before one is written or deleted."""

    left = 1000

    def _step(self) -> None:
        if not self.left:
            raise Killed
        self.left -= 1

    def get(self, key: str, default: Any = None) -> Any:  # type: ignore[override]
        return json.loads(self[key]) if key in self else default

    def set(self, key: str, value: Any) -> None:
        self._step()
        self[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self._step()
        self.pop(key, None)


class World:
    """Events that come to pass, some late, and runs that are given them."""

    def __init__(self) -> None:
        self.began = dt.datetime.now(dt.UTC) - 2 * HOUR
        self.store = Store()
        self.events: list[tuple[str, Any]] = []
        self.given: dict[str, list[str]] = {}

    def happen(self, late: int) -> None:
        """One more event, of so many minutes ago."""
        key = blake2b(str(len(self.events)).encode(), digest_size=16).hexdigest()
        at = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=late)
        self.events.append((key, SimpleNamespace(datetime=at)))

    def run(self, name: str, limit: int, dies_after: int) -> None:
        """A run's task, or the same once more; it may be killed while it notes what it is given."""
        self.store.left = dies_after
        try:
            ledger = Ledger([self.store], "dag", "task", since=self.began, lookback=HOUR)
            found = ledger.assign(name, self._poll, limit)
            ledger.store()
        except Killed:
            return
        finally:
            self.store.left = 1000
        keys = [key for key, _ in found]
        if self.given.get(name):
            assert sorted(keys) == sorted(self.given[name])
        self.given[name] = keys

    def _poll(self, window: Window) -> list[tuple[str, Any]]:
        return sorted(
            (each for each in self.events if each[1].datetime in window), key=lambda each: (each[1].datetime, each[0])
        )


happens = st.tuples(st.just("happen"), st.integers(0, 55))
runs = st.tuples(st.just("run"), st.integers(0, 4), st.integers(1, 5), st.sampled_from([0, 1, 2, 3, 1000, 1000]))


@given(st.lists(st.one_of(happens, happens, runs), max_size=40), st.sampled_from([0, 2, 2500]))
def test_each_event_is_given_to_one_run(steps: list[tuple[Any, ...]], in_head: int) -> None:
    before, processed_keys.HEAD_KEYS = processed_keys.HEAD_KEYS, in_head
    try:
        world = World()
        for step in steps:
            if step[0] == "happen":
                world.happen(step[1])
            else:
                world.run(f"run{step[1]}", step[2], step[3])
        # The last runs: those that were killed are cleared, and new ones come until there is nothing left.
        for name in [f"run{number}" for number in range(5)] + [f"last{number}" for number in range(45)]:
            world.run(name, 5, 1000)
    finally:
        processed_keys.HEAD_KEYS = before
    assert Counter(key for keys in world.given.values() for key in keys) == Counter(key for key, _ in world.events)


def test_keys_of_another_kind_are_refused() -> None:
    class Store(dict[str, Any]):
        def set(self, key: str, value: Any) -> None:
            self[key] = value

        def delete(self, key: str) -> None:
            self.pop(key, None)

    store = Store()
    how: dict[str, Any] = {"since": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "lookback": dt.timedelta(days=1)}
    Ledger([store], "dag", "task", **how)
    Ledger([store], "dag", "task", **how)
    with pytest.raises(ValueError, match="was given events by 'row', got 'event_id'"):
        Ledger([store], "dag", "task", **how, event_key_by="event_id")
    Ledger([store], "dag", "other", **how, event_key_by="event_id")
    Ledger([store], "dag", "other", **how, event_key_by="event_id")


def run_with(world: World, name: str, stores: list[Store]) -> list[str]:
    """The keys that a run is given, whose task has these stores."""
    ledger = Ledger(stores, "dag", "task", since=world.began, lookback=HOUR)
    found = ledger.assign(name, world._poll, 100)
    ledger.store()
    return [key for key, _ in found]


def test_a_ledger_of_many_events_is_taken_over_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an asset is named later: its store gets all rows, and then a run without the asset is refused."""
    monkeypatch.setattr(processed_keys, "HEAD_KEYS", 2)
    variables, asset = Store(), Store()
    world = World()
    for _ in range(5):
        world.happen(1)

    given = run_with(world, "one", [variables])
    assert len(variables) == 2
    assert run_with(world, "two", [asset, variables]) == []
    assert (len(asset), len(variables)) == (2, 1)
    assert run_with(world, "three", [asset, variables]) == []
    assert sorted(run_with(world, "one", [asset])) == sorted(given)
    for stores in ([variables], [Store(), variables]):  # the asset is taken away, or is another one
        with pytest.raises(ValueError, match=r"asset: .* which events dag\.task was given, .* name that asset"):
            run_with(world, "four", stores)


@pytest.mark.parametrize("steps", [1, 2, 3, 1000])
@pytest.mark.parametrize("first", ["variables", "asset"])
def test_a_run_without_the_asset_is_refused(first: str, steps: int) -> None:
    """Whether the asset was named later or from the beginning, and wherever a run was killed as it stored this."""
    variables, asset = Store(), Store()
    world = World()
    world.happen(1)

    if first == "variables":
        assert len(run_with(world, "one", [variables])) == 1
        variables.left = steps - 1
    else:
        variables.left, asset.left = steps - 1, steps
    with contextlib.suppress(Killed):
        run_with(world, "two", [asset, variables])
    variables.left = asset.left = 1000
    run_with(world, "two", [asset, variables])
    world.happen(1)
    assert len(run_with(world, "three", [asset, variables])) == 1
    for stores in ([variables], [Store(), variables]):
        with pytest.raises(ValueError, match=r"asset: .* name that asset"):
            run_with(world, "four", stores)
