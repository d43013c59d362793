"""The progress of a wait: lines of its log, and a small record for a page.

Profiles are called by masked names in both: neither holds an e-mail or a phone number.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypedDict

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client._lookup import masked

WAIT_KEY: Final = "altcraft_wait"
"""Key of the XCom under which a sensor, and its trigger while it is deferred, keep the ``WaitProgress``.

An XCom, as it is what both a task and a triggerer can write, on Airflow 2.11 and 3; a task's state store (Airflow 3.3)
is closed to triggers. It is written by the first poll of a try, then by each tenth or each ten minutes (in reschedule
mode by each), and by the last.
"""

MOST_NAMES: Final = 50
"""Profiles of a cohort that the record names; it counts all of them."""

Status = Literal["waiting", "met", "failed", "timeout", "execution_timeout", "error"]


class WaitProgress(TypedDict):
    """The progress of a wait. Plain JSON of at most some kilobytes, whatever the size of the cohort.

    Instants are ISO 8601 with an offset; ``until`` bears that of the sensor's ``timezone``.
    """

    whom: str
    """``a***@example.com``; of a cohort ``5 of 10 profiles``, the quorum being 5."""

    what: str
    """The condition in words: ``'confirm'``, ``'open' and 'click' of campaign 7``."""

    actions: list[str]
    """The actions that are waited for."""

    since: str | None
    """The time of the first events that count; ``None`` for all."""

    until: str
    """When the wait times out."""

    status: Status
    """``waiting``, or how the wait ended."""

    polls: int
    """Polls of this try; for a deferred wait, since it moved to its present triggerer."""

    polled_at: str
    """When the last poll ended, UTC."""

    last_outcome: str
    """The result of the last poll: ``not yet``, ``met``, ``failed: RequestTimeoutError``, …"""

    failed_polls: int
    """The number of polls that failed in a row until now."""

    profiles: int
    """Profiles that are waited for in all."""

    required: int
    """Profiles that must meet the condition."""

    met: int
    """Profiles that have met the condition."""

    taken_out: int
    """Profiles that did an action of ``fail_on``."""

    missing: int
    """Profiles that did neither."""

    met_names: list[str]
    """Masked names of the first ``MOST_NAMES`` profiles that have met it."""

    missing_names: list[str]
    """Masked names of the first ``MOST_NAMES`` missing profiles."""


def whom_of(profiles: Sequence[Mapping[str, Any]], required: int) -> str:
    """Return the masked name of the one profile, or the numbers of a cohort, in words."""
    return masked(profiles[0]) if len(profiles) == 1 else f"{required:,} of {counted(len(profiles), 'profile')}"


def names_of(profiles: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the masked names of the first ``MOST_NAMES`` profiles."""
    return [masked(fields) for fields, _ in zip(profiles, range(MOST_NAMES), strict=False)]


def instant(moment: dt.datetime) -> str:
    """Return an instant for the log, in its own time zone: ``2026-01-02 03:04:05+03:00``."""
    return moment.isoformat(" ", "seconds")


def found_so_far(progress: WaitProgress) -> str:
    """Return the result of the polls in words: ``poll 10: not yet``, for a cohort with its counts."""
    text = f"poll {progress['polls']:,}: {progress['last_outcome']}"
    return f"{text}; {_counts(progress)}" if progress["profiles"] > 1 else text


def done(progress: WaitProgress) -> str:
    """Say that the wait is met: who did what by which poll."""
    return f"{_who_did(progress)} {progress['what']}; poll {progress['polls']:,} found it."


def not_done(progress: WaitProgress | None, limit: str) -> str:
    """Say that the time is up: who did not do what within which limit, as far as that is known."""
    if progress is None:
        return f"The {limit} is over."
    if progress["profiles"] == 1:
        return f"{progress['whom']} did not do {progress['what']} within the {limit}."
    counts = f"required: {progress['required']:,}, missing: {progress['missing']:,}"
    return f"{_who_did(progress)} {progress['what']} within the {limit}; {counts}."


def contrary(outcome: Mapping[str, Any]) -> str:
    """Say which action of ``fail_on`` ended the wait, or left too few for the quorum."""
    cohort = outcome.get("cohort")
    if cohort is None:
        (event,) = outcome["events"]
        progress: WaitProgress | None = outcome.get("progress")
        whom = progress["whom"] if progress else "The profile"
        return f"{whom} did {event['action']!r} at {event['datetime']}, which fail_on names."
    did = Counter(event["action"] for event in cohort["failed"].values())
    what = ", ".join(f"{action!r}: {count}" for action, count in sorted(did.items()))
    left = len(cohort["met"]) + len(cohort["missing"])
    return f"Too few are left for the quorum of {cohort['quorum']}: {left}. Of what fail_on names profiles did {what}."


def _who_did(progress: WaitProgress) -> str:
    of_all = f"{progress['met']:,} of {counted(progress['profiles'], 'profile')}"
    return f"{progress['whom'] if progress['profiles'] == 1 else of_all} did"


def _counts(progress: WaitProgress) -> str:
    out = f", taken out by fail_on: {progress['taken_out']:,}" if progress["taken_out"] else ""
    return f"met: {progress['met']:,} of the required {progress['required']:,}, missing: {progress['missing']:,}{out}"
