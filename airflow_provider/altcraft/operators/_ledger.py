"""Which events a task was given, by run: kept in an asset's state store (Airflow 3.3), else in Airflow Variables."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider.altcraft._seen import SeenKeys
from airflow_provider.altcraft._watch import window_from
from airflow_provider.altcraft.window import Window

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
        """The value, else the default."""
        from airflow.providers.common.compat.sdk import Variable

        return Variable.get(key, default, True)  # by place: the default's name is not the same in Airflow 2 and 3

    def set(self, key: str, value: Any) -> None:
        """Write or overwrite."""
        from airflow.providers.common.compat.sdk import Variable

        Variable.set(key, value, "Kept by airflow-provider-altcraft: which events a task was given", True)

    def delete(self, key: str) -> None:
        """Delete, also what is not there."""
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
    """

    def __init__(
        self, stores: Sequence[Store], dag_id: str, task_id: str, *, since: dt.datetime, lookback: dt.timedelta
    ) -> None:
        self._store = stores[0]
        self._name = f"altcraft_events_{blake2b(f'{dag_id}/{task_id}'.encode(), digest_size=9).hexdigest()}"
        self._lookback = lookback
        for store in stores:
            if (head := store.get(f"{self._name}_head")) is not None:
                rows = {row: store.get(f"{self._name}_{row}") for row in SeenKeys.rows_of(head)}
                if lost := [row for row, text in rows.items() if text is None]:
                    raise ValueError(f"Of the events that {dag_id}.{task_id} was given, {self._name}_{lost[0]} is gone")
                self._seen = SeenKeys.restored(head, rows)
                return
        self._seen = SeenKeys(since)
        self.keep()  # at once: should this run fail, the next one begins there all the same

    @property
    def horizon(self) -> dt.datetime:
        """From when on events may still be new."""
        return max(self._seen.since, self._seen.watermark - self._lookback)

    def reach_back(self, to: dt.datetime) -> None:
        """Have events count from then on, where it is still known which were given."""
        self._seen.since = min(self._seen.since, max(to, self._seen.watermark - self._lookback))

    def give(self, run: str, look: Callable[[Window], Keyed], limit: int) -> Keyed:
        """The events of a run: those that it was given before, else up to ``limit`` that none was given yet."""
        if span := self._seen.span_of_run(run):
            found = look(Window(*span))
            own = self._seen.of_run(run, [key for key, _ in found])
            log.info("This run was given %d events before; it gets the same", len(own))
            return [(key, event) for key, event in found if key in own]
        at, since = dt.datetime.now(dt.UTC), self._seen.since
        found = look(window_from(self.horizon))
        new = [(key, event) for key, event in found if event.datetime >= since and key not in self._seen]
        if rest := new[limit:]:
            log.warning("%d more events wait for the next run: limit is %d", len(rest), limit)
            at = min(at, rest[0][1].datetime)
        self._seen.add(((key, event.datetime) for key, event in new[:limit]), run)
        self._seen.watermark = max(self._seen.watermark, at)
        self._seen.forget(self.horizon)
        return new[:limit]

    def keep(self) -> None:
        """Store it: what was given is given."""
        rows, gone = self._seen.changes()
        for row, value in rows.items():
            self._store.set(f"{self._name}_{row}", value)
        for row in gone:
            self._store.delete(f"{self._name}_{row}")
