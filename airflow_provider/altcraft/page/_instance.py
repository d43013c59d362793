"""A task instance as the page knows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance, what it returned, and what it keeps of its wait.

    ``elsewhere`` where another XCom backend than Airflow's keeps what it returned.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str | None
    started: dt.datetime | None
    ended: dt.datetime | None
    run_after: dt.datetime | None
    try_number: int = 1
    result: Mapping[str, Any] = field(default_factory=dict)
    wait: Mapping[str, Any] | None = None
    elsewhere: bool = False

    def as_group(self) -> Instance:
        """All instances of the mapped task, as far as it stands for them."""
        return replace(self, map_index=-1, state=None)

    @property
    def seconds(self) -> float | None:
        """How long it took; ``None`` where it has not ended."""
        return None if self.started is None or self.ended is None else (self.ended - self.started).total_seconds()
