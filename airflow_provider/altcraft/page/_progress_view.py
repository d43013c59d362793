"""The view of a pull that has not ended: its progress."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError  # noqa: TID253 - only the API server imports this

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.page._dag_view import duration, href_of
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._pull_view import WIDTH, clock
from airflow_provider.altcraft.page._result import Count

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Progress(BaseModel):
    """See ``extract._progress.PullProgress``."""

    model_config = ConfigDict(extra="ignore")

    unit: Literal["profile", "walk"]
    done: Count
    total: Count
    pages: Count | None = None
    events: Count
    seconds: _Seconds
    seconds_left: _Seconds | None = None
    recorded_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ProgressView:
    """The progress of a pull, in words, and the length of its bar."""

    progress: Progress
    done: str
    length: int
    taken: str
    left: str
    recorded_at: str


@dataclass(frozen=True, slots=True)
class OpenPull:
    """A pull in the menu's list."""

    view: ProgressView
    dag_id: str
    task: str
    href: str


def progress_view(record: Any) -> ProgressView | None:
    """Return what to show of a pull's record; ``None`` where it is none."""
    try:
        progress = Progress.model_validate(record)
    except ValidationError:
        return None
    return ProgressView(
        progress,
        done=f"{progress.done:,} of {counted(progress.total, progress.unit)}",
        length=WIDTH * min(progress.done, progress.total) // max(progress.total, 1),
        taken=duration(progress.seconds),
        left=duration(progress.seconds_left),
        recorded_at=f"{clock(progress.recorded_at, 'UTC')} UTC",
    )


def open_pulls(pulls: Iterable[Instance]) -> list[OpenPull]:
    """Return the pulls that run now, in the order that is given."""
    views = [(each, progress_view(each.progress)) for each in pulls]
    return [OpenPull(view, each.dag_id, each.name, href_of(each)) for each, view in views if view is not None]
