"""A task instance as the page knows it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

_SHARD: Final = r"\d+ of \d+"
_MASKED: Final = r"(?:[^@]{0,2}\*\*\*[^@]{0,2}|[^@]?\*\*\*@\S*)"
_PROFILES: Final = rf"[\d,]+ profiles?|(?:(?:phone|profile_id|xxh) |[^=@]+=)?{_MASKED}(?: {_MASKED})?"
"""The names that ``instance_names`` gives: a shard, or profiles, which several instances may share."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A task instance, what it returned, and what it keeps of its wait or of how far its pull is.

    ``elsewhere`` where another XCom backend than Airflow's keeps any of this. ``index_name`` is what Airflow calls
    an instance of a mapped task.
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
    progress: Mapping[str, Any] | None = None
    elsewhere: bool = False
    index_name: str | None = None

    @property
    def name(self) -> str:
        """The task, and of a mapped one which instance: ``pull [3 of 8]``, ``pull [2: a***@example.com]``."""
        if self.map_index < 0:
            return self.task_id
        index, name = str(self.map_index), self.index_name or ""
        if re.fullmatch(_SHARD, name):
            index = name
        elif re.fullmatch(_PROFILES, name):  # not by a map_index_template of the DAG's own, which may show an e-mail
            index = f"{index}: {name}"
        return f"{self.task_id} [{index}]"

    def as_group(self) -> Instance:
        """Return all instances of the mapped task, as far as it stands for them."""
        return replace(self, map_index=-1, state=None)

    @property
    def seconds(self) -> float | None:
        """Its duration; ``None`` where it has not ended."""
        return None if self.started is None or self.ended is None else (self.ended - self.started).total_seconds()
