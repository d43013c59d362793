"""The operator and a target of the user's own: what it is given, and what holds while it is written."""

from __future__ import annotations

import datetime as dt
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider.altcraft.extract import _progress
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.targets import Scope, Written
from airflow_provider.altcraft.testing import Emulator, faults

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    for day in (-1, 0, 1):
        altcraft_api.add_event("ann@example.com", "open", at=NOON + dt.timedelta(days=day))
    return altcraft_api


def run(target: Any, **arguments: Any) -> dict[str, Any]:
    result: dict[str, Any] = AltcraftHistoryOperator(
        task_id="pull", profiles=["ann@example.com"], target=target, **arguments
    ).execute({})
    return result


class ListTarget:
    """A user's own target: keeps what is committed in a list."""

    template_fields = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name
        self.committed: list[dict[str, Any]] = []
        self.scope: Scope | None = None
        self.aborted = 0

    def open(self, scope: Scope) -> ListTarget:
        self.scope, self.staged = scope, []
        return self

    def write(self, batch: Any) -> None:
        self.staged += batch.to_pylist()

    def commit(self) -> Written:
        self.committed = self.staged
        return Written((f"list://{self.name}",), len(self.committed))

    def abort(self) -> None:
        self.aborted += 1


def test_a_target_of_the_users_own(api: Emulator) -> None:
    target = ListTarget("mine")
    result = run(target, date_from="2026-01-02", date_to="2026-01-02")
    assert (result["uris"], result["rows"], result["bytes"]) == (["list://mine"], 1, None)
    assert target.scope is not None
    assert target.scope.lookups is not None
    assert (target.scope.list_id, list(target.scope.lookups)) == (1, [("email", "ann@example.com")])
    assert NOON in target.scope.window
    assert target.aborted == 0
    api.play_forever(faults.error(401, "no"))
    with pytest.raises(AirflowFailException):
        run(target)
    assert (len(target.committed), target.aborted) == (1, 1)


def test_no_record_is_kept_while_the_target_is_written(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both may ask Airflow, whose channel to a task takes one thread at a time on 3.0 and 3.1."""
    monkeypatch.setattr(_progress, "EVERY", 0.01)
    api.play(faults.latency(0.2))
    channel, records, met = threading.Lock(), [], []

    @contextmanager
    def alone(who: str) -> Iterator[None]:
        if not channel.acquire(blocking=False):
            met.append(who)
            yield
            return
        try:
            yield
        finally:
            channel.release()

    class Asking(ListTarget):
        def write(self, batch: Any) -> None:
            with alone("target"):
                time.sleep(0.2)
                super().write(batch)

        def commit(self) -> Written:
            with alone("target"):
                return super().commit()

    def push(key: str, value: Any) -> None:
        with alone("record"):
            time.sleep(0.1)
            records.append(value)

    context: Any = {"ti": SimpleNamespace(xcom_push=push)}
    target = Asking("mine")
    AltcraftHistoryOperator(task_id="pull", profiles=["ann@example.com"], target=target).execute(context)
    assert (len(target.committed), met) == (3, [])
    assert records


class Frozen(ListTarget):
    """A target that notes how many objects garbage collection leaves out while it is opened and written."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("frozen")
        self.left_out: list[int] = []
        self._error = error

    def open(self, scope: Scope) -> Frozen:
        self.left_out.append(gc.get_freeze_count())
        super().open(scope)
        return self

    def write(self, batch: Any) -> None:
        self.left_out.append(gc.get_freeze_count())
        if self._error:
            raise self._error


@pytest.mark.parametrize("error", [None, ValueError("no room")])
def test_what_was_loaded_is_left_out_of_garbage_collection_for_as_long_as_it_pulls(
    api: Emulator, error: Exception | None
) -> None:
    gc.unfreeze()
    target = Frozen(error)
    with pytest.raises(ValueError, match="no room") if error else nullcontext():
        run(target)
    assert min(target.left_out) > 10_000
    assert not gc.get_freeze_count()


def test_what_somebody_else_left_out_stays_so(api: Emulator) -> None:
    gc.freeze()
    try:
        before = gc.get_freeze_count()
        run(Frozen())
        assert 0.9 * before < gc.get_freeze_count() <= before
    finally:
        gc.unfreeze()
