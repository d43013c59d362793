"""The ledger of a task's events by run, in an asset's state store (Airflow 3.3) or in Airflow Variables."""

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

_MOVED = {"moved": True}
"""Stored instead of a ledger that another store has."""


class Store(Protocol):
    """The methods of Airflow's accessor of an asset's state."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, else the default."""

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite."""

    def delete(self, key: str) -> None:
        """Delete; a missing key is ignored."""


class Variables:
    """Airflow Variables as a store."""

    def get(self, key: str, default: Any = None) -> Any:
        from airflow.providers.common.compat.sdk import Variable

        return Variable.get(key, default, True)  # by position: the default's name differs in Airflow 2 and 3

    def set(self, key: str, value: Any) -> None:
        from airflow.providers.common.compat.sdk import Variable

        Variable.set(key, value, "Kept by airflow-provider-altcraft: which events a task was given", True)

    def delete(self, key: str) -> None:
        from airflow.providers.common.compat.sdk import Variable

        Variable.delete(key)


class Ledger:
    """The events that a task was given, each by one run for good.

    Args:
        stores: the first one keeps the ledger; where it has none, that of a later one is moved there. The later ones
            are marked, so that a run which knows only them is refused.
        dag_id: the task's DAG.
        task_id: the task.
        since: the time of the first events, for a new ledger.
        lookback: how late an event may appear and still count.
        zone: of the days of ``lookback``.
        event_key_by: ``row`` or ``event_id``: the source of the keys.

    Raises:
        ValueError: a ledger is there that this run cannot go on with.
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
        self._store, *self._others = stores
        self._name = f"altcraft_events_{blake2b(f'{dag_id}/{task_id}'.encode(), digest_size=9).hexdigest()}"
        self._lookback, self._zone = lookback, zone
        for store in stores:
            if (head := store.get(f"{self._name}_head")) is not None:
                if head == _MOVED:
                    raise ValueError(
                        f"asset: the state store of an asset has which events {dag_id}.{task_id} was given, and this "
                        f"run does not find them there, so it would be given them again; name that asset (Airflow "
                        f"3.3), or use another task_id with since="
                    )
                rows = {row: store.get(f"{self._name}_{row}") for row in ProcessedKeys.rows_of(head)}
                if lost := [row for row, text in rows.items() if text is None]:
                    row = f"{self._name}_{lost[0]}"
                    raise ValueError(f"Of the events that {dag_id}.{task_id} was given, {row} is missing")
                self._processed = ProcessedKeys.from_rows(head, rows)
                if store is not self._store:
                    self._processed.renew_rows()
                if self._processed.event_key_by != event_key_by:
                    raise ValueError(
                        f"event_key_by: {dag_id}.{task_id} was given events by {self._processed.event_key_by!r}, got "
                        f"{event_key_by!r}, by which it would be given them again; use "
                        f"{self._processed.event_key_by!r}, or another task_id with since="
                    )
                return
        self._processed = ProcessedKeys(since)
        self._processed.event_key_by = event_key_by
        self.store()  # at once, so that the next run begins there even if this one fails

    @property
    def horizon(self) -> dt.datetime:
        """The time of the first events that may still be new."""
        return max(self._processed.since, self._reached())

    def reach_back(self, to: dt.datetime) -> None:
        """Move ``since`` back, as far as it is known which events were given."""
        self._processed.since = min(self._processed.since, max(to, self._reached()))

    def _reached(self) -> dt.datetime:
        return back(self._processed.watermark, self._lookback, self._zone)

    def assign(self, run: str, poll: Callable[[Window], Keyed], max_events: int) -> Keyed:
        """Return the events of a run: those that it was given before, else up to ``max_events`` new ones."""
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
        """Store the ledger: the events are the run's for good."""
        rows, gone = self._processed.changes()
        for row, value in rows.items():
            self._store.set(f"{self._name}_{row}", value)
        for row in gone:
            self._store.delete(f"{self._name}_{row}")
        for other in self._others:
            self._mark_moved(other)

    def _mark_moved(self, store: Store) -> None:
        """Mark a store whose ledger has moved to another one, so that a run which reads only this one is refused.

        Looked at each time, as a run may have been killed before it.
        """
        head = store.get(f"{self._name}_head")
        if head == _MOVED:
            return
        store.set(f"{self._name}_head", _MOVED)
        for row in ProcessedKeys.rows_of(head) if head else ():
            store.delete(f"{self._name}_{row}")
