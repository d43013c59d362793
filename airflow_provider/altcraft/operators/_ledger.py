"""Which events a task was given, by run: kept in an asset's state store (Airflow 3.3), else in Airflow Variables."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.waiting.audience import window_from
from airflow_provider.altcraft.waiting.processed_keys import ProcessedKeys
from airflow_provider.altcraft.window import UTC, Window, back

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent

log = logging.getLogger(__name__)

Keyed = list[tuple[str, "HistoryEvent"]]


class Store(Protocol):
    """What Airflow's accessor of an asset's state has."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value, else the default."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite."""

    def delete(self, key: str) -> None:
        """Delete, also what is not there."""


class Variables:
    """Airflow Variables as a store."""

    def get(self, key: str, default: Any = None) -> Any:
        from airflow.providers.common.compat.sdk import Variable

        return Variable.get(key, default, True)  # by place: the default's name is not the same in Airflow 2 and 3

    def set(self, key: str, value: Any) -> None:
        from airflow.providers.common.compat.sdk import Variable

        Variable.set(key, value, "Kept by airflow-provider-altcraft: which events a task was given", True)

    def delete(self, key: str) -> None:
        from airflow.providers.common.compat.sdk import Variable

        Variable.delete(key)


class Ledger:
    """The events that a task was given, each for good by one run.

    Args:
        stores: where it is kept: the first; what only a later one knows is taken over.
        dag_id: the task's DAG.
        task_id: the task.
        since: from when on events count, where nothing is kept yet.
        lookback: how late an event may appear and still count.
        zone: whose days ``lookback`` has.
        event_key_by: what the events' keys are made of.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        dag_id: str,
        task_id: str,
        *,
        since: dt.datetime,
        lookback: dt.timedelta,
        zone: dt.tzinfo = UTC,
        event_key_by: str = "row",
    ) -> None:
        self._store = stores[0]
        self._name = f"altcraft_events_{blake2b(f'{dag_id}/{task_id}'.encode(), digest_size=9).hexdigest()}"
        self._lookback, self._zone = lookback, zone
        for store in stores:
            if (head := store.get(f"{self._name}_head")) is not None:
                rows = {row: store.get(f"{self._name}_{row}") for row in ProcessedKeys.rows_of(head)}
                if lost := [row for row, text in rows.items() if text is None]:
                    row = f"{self._name}_{lost[0]}"
                    raise ValueError(f"Of the events that {dag_id}.{task_id} was given, {row} is missing")
                self._processed = ProcessedKeys.from_rows(head, rows)
                if self._processed.event_key_by != event_key_by:
                    raise ValueError(
                        f"event_key_by: {dag_id}.{task_id} was given events by {self._processed.event_key_by!r}, got "
                        f"{event_key_by!r}, by which it would be given them again; use "
                        f"{self._processed.event_key_by!r}, or another task_id with since="
                    )
                return
        self._processed = ProcessedKeys(since)
        self._processed.event_key_by = event_key_by
        self.store()  # at once: should this run fail, the next one begins there all the same

    @property
    def horizon(self) -> dt.datetime:
        """From when on events may still be new."""
        return max(self._processed.since, self._reached())

    def reach_back(self, to: dt.datetime) -> None:
        """Have events count from then on, where it is still known which were given."""
        self._processed.since = min(self._processed.since, max(to, self._reached()))

    def _reached(self) -> dt.datetime:
        return back(self._processed.watermark, self._lookback, self._zone)

    def assign(self, run: str, poll: Callable[[Window], Keyed], max_events: int) -> Keyed:
        """The events of a run: those that it was given before, else up to ``max_events`` that none was given yet."""
        if span := self._processed.span_of_run(run):
            found = poll(Window(*span))
            own = self._processed.of_run(run, [key for key, _ in found])
            log.info("This run was given %s before; it gets the same", counted(len(own), "event"))
            return [(key, event) for key, event in found if key in own]
        at, since = dt.datetime.now(dt.UTC), self._processed.since
        found = poll(window_from(self.horizon))
        new = [(key, event) for key, event in found if event.datetime >= since and key not in self._processed]
        if rest := new[max_events:]:
            log.warning("Left to the next run: %s; max_events is %d", counted(len(rest), "event"), max_events)
            at = min(at, rest[0][1].datetime)
        self._processed.add(((key, event.datetime) for key, event in new[:max_events]), run)
        self._processed.watermark = max(self._processed.watermark, at)
        self._processed.forget(self.horizon)
        return new[:max_events]

    def store(self) -> None:
        """Store it: the events are the run's for good."""
        rows, gone = self._processed.changes()
        for row, value in rows.items():
            self._store.set(f"{self._name}_{row}", value)
        for row in gone:
            self._store.delete(f"{self._name}_{row}")
