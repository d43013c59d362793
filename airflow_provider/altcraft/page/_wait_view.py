"""The view of a wait: its profiles, its action, its deadline, and the results of its polls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError  # noqa: TID253 - only the API server imports this

from airflow_provider.altcraft.page._dag_view import duration, href_of
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._pull_view import WIDTH
from airflow_provider.altcraft.page._result import Count

_ENDED = {
    "waiting": "waiting",
    "met": "met",
    "failed": "ended by fail_on",
    "timeout": "timed out",
    "execution_timeout": "ended by execution_timeout",
    "error": "ended by an error",
}
_OVER = ("met", "failed", "timeout")
"""The final states of a wait. A cleared task keeps such a record until its next try begins."""


class Wait(BaseModel):
    """See ``waiting.progress.WaitProgress``: names in it are masked."""

    model_config = ConfigDict(extra="ignore")

    whom: str
    what: str
    since: dt.datetime | None = None
    until: dt.datetime
    status: str = "waiting"
    polls: Count = 0
    polled_at: dt.datetime | None = None
    last_outcome: str = ""
    failed_polls: Count = 0
    profiles: Count = 1
    required: Count = 1
    met: Count = 0
    taken_out: Count = 0
    missing: Count = 0
    met_names: list[str] = []
    missing_names: list[str] = []


@dataclass(frozen=True, slots=True)
class WaitView:
    """A wait, its words and the lengths of a cohort's bars."""

    wait: Wait
    status: str
    since: str
    until: str
    polled_at: str
    bars: list[tuple[str, int, int]]
    more_met: int
    more_missing: int


@dataclass(frozen=True, slots=True)
class OpenWait:
    """A wait in the menu's list."""

    view: WaitView
    dag_id: str
    task: str
    left: str
    href: str


def wait_view(record: Any) -> WaitView | None:
    """Return what to show of a sensor's record; ``None`` where it is none."""
    try:
        wait = Wait.model_validate(record)
    except ValidationError:
        return None
    bars = [("met", wait.met), ("missing", wait.missing), ("taken out by fail_on", wait.taken_out)]
    return WaitView(
        wait=wait,
        status=_ENDED.get(wait.status, wait.status),
        since="of any time" if wait.since is None else f"since {_said(wait.since)}",
        until=_said(wait.until),
        polled_at="" if wait.polled_at is None else _said(wait.polled_at),
        bars=[
            (name, count, max(1, WIDTH * count // max(wait.profiles, count)) if count else 0)
            for name, count in bars
            if count or name == "met"
        ]
        if wait.profiles > 1
        else [],
        more_met=max(0, wait.met - len(wait.met_names)),
        more_missing=max(0, wait.missing - len(wait.missing_names)),
    )


def open_waits(waits: Iterable[Instance], now: dt.datetime) -> list[OpenWait]:
    """Return the waits that go on, those that end first being first."""
    found = []
    for each in waits:
        view = wait_view(each.wait)
        if view is None or view.wait.status in _OVER:
            continue
        left = (_aware(view.wait.until) - now).total_seconds()
        found.append(
            OpenWait(
                view,
                each.dag_id,
                each.name,
                duration(left) if left > 0 else "over",
                href_of(each),
            )
        )
    return sorted(found, key=lambda each: _aware(each.view.wait.until))


def _said(instant: dt.datetime) -> str:
    return _aware(instant).isoformat(" ", "minutes")


def _aware(instant: dt.datetime) -> dt.datetime:
    return instant.replace(tzinfo=dt.UTC) if instant.utcoffset() is None else instant
