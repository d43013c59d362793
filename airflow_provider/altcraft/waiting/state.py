"""The state of a wait: the results of its polls, the time of the next one, and the outcome. Nothing here does I/O.

Poking, rescheduling and the trigger use the same object, so that they come to the same outcome.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from airflow_provider.altcraft._words import duration
from airflow_provider.altcraft.client._lookup import lookup_text
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.waiting.progress import (
    Status,
    WaitProgress,
    done,
    found_so_far,
    instant,
    names_of,
    whom_of,
)

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftError, HistoryEvent

log = logging.getLogger(__name__)

Outcome: TypeAlias = dict[str, Any]
"""The outcome of a wait, as plain JSON, by its ``status``:

- ``met``, ``failed``: with the ``events`` of one profile, or with the ``cohort``;
- ``timeout``, ``execution_timeout``: with the ``cohort`` where there is one;
- ``error``: with the name of its class in ``error``, whether it is ``fatal``, and its ``message``.

Each has its ``WaitProgress`` as ``progress``, except from a trigger of an earlier version.
"""

MAX_FAILURES: Final = 10
"""Polls that may fail in a row before the wait fails. The client has retried each of them."""

_JITTER: Final = 0.05
"""The share by which a pause is varied at random, so that waits that began together drift apart."""

_HOPELESS: Final = 20
"""Failed profiles of a cohort at which a poll is broken off."""

_DOUBLINGS: Final = 40
"""Doublings of a pause, at most, so that it does not overflow."""

_REPORT_POLLS: Final = 10
"""Polls between two reports of a wait …"""

REPORT_EVERY: Final = dt.timedelta(minutes=10)
"""… or, where polls are seldom, the time between two reports."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """The pauses between polls.

    Attributes:
        interval: seconds.
        exponential: whether they double from one pause to the next.
        longest: seconds that no pause exceeds.
    """

    interval: float
    exponential: bool = False
    longest: float | None = None

    def after(self, polls: int) -> float:
        """Return the seconds to pause after this number of polls."""
        pause = self.interval * 2.0 ** min(polls - 1, _DOUBLINGS) if self.exponential else self.interval
        pause *= random.uniform(1 - _JITTER, 1 + _JITTER)
        return pause if self.longest is None else min(pause, self.longest)


@dataclass(slots=True)
class WaitState:
    """One wait, from its first poll to its end.

    Attributes:
        profiles: the request fields of the lookups of the profiles that are waited for.
        condition: must be met by each of them.
        quorum: how many of them must meet it; ``None`` for a wait for one profile, whose outcome has no cohort.
        since: only events from then on count.
        deadline: when the wait times out, after a last poll at that moment.
        execution_deadline: when Airflow's ``execution_timeout`` is over, without a last poll.
        pauses: between polls.
        budget: polls in a row that may fail before the wait fails; ``None`` for any number.
        polls: polls so far.
        failures: how many of the last ones failed in a row.
        reported_at: when the wait last reported.
        news: the progress to report after the last poll; ``None`` where there is nothing to report.
    """

    profiles: Sequence[Mapping[str, Any]]
    condition: ActionCondition
    quorum: int | None
    since: dt.datetime | None
    deadline: dt.datetime
    execution_deadline: dt.datetime | None
    pauses: Pauses
    budget: int | None = MAX_FAILURES
    polls: int = 0
    failures: int = 0
    reported_at: dt.datetime = field(default_factory=partial(dt.datetime.now, dt.UTC))
    news: WaitProgress | None = None
    _last: str = "not yet"
    _met: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    _failed: dict[int, dict[str, Any]] = field(default_factory=dict)

    def waiting(self) -> list[tuple[int, Mapping[str, Any]]]:
        """Return place and request fields of each profile that must still be polled."""
        settled = self._met.keys() | self._failed.keys()
        return [(place, fields) for place, fields in enumerate(self.profiles) if place not in settled]

    def record(self, place: int, events: Iterable[HistoryEvent]) -> None:
        """Record the history of a profile."""
        verdict = self.condition.verdict(
            event for event in events if self.since is None or event.datetime >= self.since
        )
        if verdict.state == "met":
            self._met[place] = [self._dumped(event) for event in verdict.events]
        elif verdict.state == "failed":
            self._failed[place] = self._dumped(verdict.events[0])

    def finish_poll(self, errors: Sequence[AltcraftError] = ()) -> Outcome | None:
        """End a poll, with the errors of profiles that failed, and return the outcome once there is one."""
        self.polls += 1
        outcome = self._conclude(errors)
        self.news = None
        if outcome is not None:
            self.news = outcome["progress"] = self.progress(outcome["status"])
            if outcome["status"] == "met":
                log.info("%s", done(self.news))
        elif self.polls == 1:  # the announcement was just before
            self.news = self.progress()
        elif self.polls % _REPORT_POLLS == 0 or _now() - self.reported_at >= REPORT_EVERY:
            self.news, self.reported_at = self.progress(), _now()
            log.info("Still waiting for %s, until %s; %s", self._subject(), self._until(), found_so_far(self.news))
        return outcome

    def announce(self) -> None:
        """Log the profiles, the condition and the deadline."""
        since = "at any time" if self.since is None else f"since {instant(self._local(self.since))}"
        log.info(
            "Waiting for %s, %s, until %s; a poll each %s%s",
            self._subject(),
            since,
            self._until(),
            duration(self.pauses.interval),
            ", then less often" if self.pauses.exponential else "",
        )

    def progress(self, status: Status = "waiting") -> WaitProgress:
        """Return the progress of the wait."""
        missing = self.waiting()
        return {
            "whom": self._whom(),
            "what": self.condition.words,
            "actions": list(self.condition.actions),
            "since": None if self.since is None else self.since.isoformat(),
            "until": self.deadline.isoformat(),
            "status": status,
            "polls": self.polls,
            "polled_at": _now().isoformat(timespec="seconds"),
            "last_outcome": self._last if status in {"waiting", "timeout", "execution_timeout", "error"} else status,
            "failed_polls": self.failures,
            "profiles": len(self.profiles),
            "required": self._required(),
            "met": len(self._met),
            "taken_out": len(self._failed),
            "missing": len(missing),
            "met_names": names_of(self.profiles[place] for place in sorted(self._met)),
            "missing_names": names_of(fields for _, fields in missing),
        }

    def _conclude(self, errors: Sequence[AltcraftError]) -> Outcome | None:
        late = _now() >= self.deadline
        self._last = "not yet"
        if (outcome := self._decided()) is not None:
            return outcome
        if not errors:
            self.failures = 0
            return self._outcome("timeout") if late else None
        error = min(errors, key=_passes)
        self._last = f"failed: {type(error).__name__}"
        if not _passes(error):
            return self._broken(error, str(error))
        self.failures += 1
        if self.budget is not None:
            if self.failures >= self.budget:
                return self._broken(error, f"{error} (polls that failed in a row: {self.failures})")
            if late:  # an answer might have met the condition: fail, so that a retry polls again
                return self._broken(error, f"{error} (in the last poll, as the time was up)")
        log.warning("A poll failed, the next one goes on (failed in a row: %d): %s", self.failures, error)
        return self._outcome("timeout") if late else None

    def execution_left(self) -> float | None:
        """Return the seconds until Airflow's ``execution_timeout``; ``None`` without one."""
        return None if self.execution_deadline is None else (self.execution_deadline - _now()).total_seconds()

    def expired(self) -> Outcome:
        """Return the outcome of a wait whose ``execution_timeout`` is over."""
        return self._outcome("execution_timeout") | {"progress": self.progress("execution_timeout")}

    def pause(self) -> float:
        """Return the seconds until the next poll, which is no later than the deadline."""
        left = (self.deadline - _now()).total_seconds()
        return max(0.0, min(self.pauses.after(self.polls), left))

    def _required(self) -> int:
        return 1 if self.quorum is None else self.quorum

    def _whom(self) -> str:
        return whom_of(self.profiles, self._required())

    def _subject(self) -> str:
        return f"{self._whom()} to do {self.condition.words}"

    def _until(self) -> str:
        return instant(self.deadline)

    def _local(self, moment: dt.datetime) -> dt.datetime:
        return moment.astimezone(self.deadline.tzinfo)

    def _decided(self) -> Outcome | None:
        if len(self._met) >= self._required():
            return self._outcome("met")
        return self._outcome("failed") if len(self.profiles) - len(self._failed) < self._required() else None

    def _outcome(self, status: str) -> Outcome:
        if self.quorum is not None:
            return {"status": status, "cohort": self._cohort()}
        if status == "met":
            return {"status": status, "events": self._met[0]}
        return {"status": status} | ({"events": [self._failed[0]]} if status == "failed" else {})

    def _broken(self, error: AltcraftError, message: str) -> Outcome:
        kind = {"error": type(error).__name__, "fatal": not _passes(error)}
        return self._outcome("error") | kind | {"message": message}

    def _cohort(self) -> dict[str, Any]:
        names = _names(self.profiles)
        return {
            "quorum": self.quorum,
            "met": {names[place]: self._met[place] for place in sorted(self._met)},
            "failed": {names[place]: self._failed[place] for place in sorted(self._failed)},
            "missing": [names[place] for place, _ in self.waiting()],
        }

    def _dumped(self, event: HistoryEvent) -> dict[str, Any]:
        if self.quorum is None:
            return event.model_dump(mode="json")
        # Of thousands of profiles there is only what was done, not what they are subscribed to.
        return event.model_dump(mode="json", exclude={"subscription", "subscriptions"}, exclude_none=True)


def unreadable(altcraft_conn_id: str, error: Exception) -> AltcraftError:
    """Return the error of a poll whose Airflow connection could not be read: its backend may be away for a while."""
    from airflow_provider.altcraft.client import RetriableError

    # Without the other error's text, which may hold a secret.
    return RetriableError(f"the Airflow connection {altcraft_conn_id!r} cannot be read: {type(error).__name__}")


def gives_up(errors: Sequence[AltcraftError]) -> bool:
    """Return whether so many profiles have failed that the rest of a poll is not worth its requests."""
    return len(errors) >= _HOPELESS or not all(map(_passes, errors))


def _passes(error: AltcraftError) -> bool:
    from airflow_provider.altcraft.client import RetriableError

    return isinstance(error, RetriableError)


def _names(profiles: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return each profile's ``lookup`` as in the rows, with ``matching`` before it where two share one."""
    texts = [lookup_text(fields) for fields in profiles]
    count = Counter(lookup for _, lookup in texts)
    return [lookup if count[lookup] == 1 else f"{matching}:{lookup}" for matching, lookup in texts]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
