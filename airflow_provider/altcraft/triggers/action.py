"""The trigger of the deferrable sensor: polls profiles until the wait ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Sequence
from functools import partial
from inspect import getfullargspec
from typing import TYPE_CHECKING, Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider.altcraft._airflow.records import keep_from_trigger
from airflow_provider.altcraft.triggers._event import AltcraftActionEventTrigger
from airflow_provider.altcraft.triggers._shared_client import PollResult, SharedClient
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.waiting.progress import WAIT_KEY
from airflow_provider.altcraft.waiting.state import MAX_FAILURES, Outcome, Pauses, WaitState, gives_up

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftError

__all__ = ["AltcraftActionEventTrigger", "AltcraftActionTrigger"]

log = logging.getLogger(__name__)

AltcraftActionEventTrigger.__module__ = __name__  # Airflow stores it, and users import it from here

_MANY: Final = 1000
"""Events from which on a history is searched in another thread than the event loop's: about 1 ms of work."""


class AltcraftActionTrigger(BaseTrigger):
    """Ends when a profile or a cohort has met a condition, can no longer meet it, or the time is up.

    What it learns while it runs only spares requests, so it may be restarted, or run twice, without harm. Its arguments
    are plain JSON and hold the connection's id, never a secret. Each has been there since the first version or has a
    default, and what a later version may add is passed over: a trigger that one version stored is run by another.

    Args:
        altcraft_conn_id: the connection.
        condition: an ``ActionCondition`` as JSON.
        deadline: ISO 8601 with a zone: when the wait has timed out.
        poke_interval: seconds between two polls, about.
        profile: the request fields of the one lookup.
        profiles: those of a cohort's, instead of ``profile``.
        quorum: how many of the cohort are required; all of them where ``None``.
        list_id: the database; the connection's own where ``None``.
        since: ISO 8601 with a zone: only events from then on count; ``None`` for all.
        silent_fail: any number of polls may fail in a row, as with a sensor's ``silent_fail``.
        max_consecutive_failures: how many polls in a row may fail otherwise.
        exponential_backoff: whether the pauses double.
        max_wait: seconds that no pause exceeds.
        execution_deadline: ISO 8601 with a zone: when Airflow's ``execution_timeout`` is over.
        next_look: ISO 8601 with a zone: not before then, as the sensor has polled already; ``None`` for at once.
        failures: how many of the sensor's last polls failed in a row.
        later: what later versions know.

    Yields one event: an ``Outcome``.
    """

    def __init__(
        self,
        *,
        altcraft_conn_id: str,
        condition: dict[str, Any],
        deadline: str,
        poke_interval: float,
        profile: dict[str, Any] | None = None,
        profiles: Sequence[dict[str, Any]] | None = None,
        quorum: int | None = None,
        list_id: int | None = None,
        since: str | None = None,
        silent_fail: bool = False,
        max_consecutive_failures: int = MAX_FAILURES,
        exponential_backoff: bool = False,
        max_wait: float | None = None,
        execution_deadline: str | None = None,
        next_look: str | None = None,
        failures: int = 0,
        **later: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.altcraft_conn_id = altcraft_conn_id
        self.condition = condition
        self.deadline = deadline
        self.poke_interval = poke_interval
        self.profile = profile
        self.profiles = profiles
        self.quorum = quorum
        self.list_id = list_id
        self.since = since
        self.silent_fail = silent_fail
        self.max_consecutive_failures = max_consecutive_failures
        self.exponential_backoff = exponential_backoff
        self.max_wait = max_wait
        self.execution_deadline = execution_deadline
        self.next_look = next_look
        self.failures = failures
        if later:
            log.warning("A later version stored this trigger; this one does not know of: %s", ", ".join(later))

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and its arguments, for Airflow's database."""
        names = getfullargspec(AltcraftActionTrigger.__init__).kwonlyargs
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until there is an outcome."""
        wait = self._wait()
        wait.condition.warn_of_undocumented()
        wait.announce()
        async with SharedClient.acquire(self.altcraft_conn_id) as client:
            try:
                async with asyncio.timeout(wait.execution_left()) as limit:
                    outcome = await self._outcome(client, wait)
            except TimeoutError:
                if not limit.expired():
                    raise
                outcome = wait.expired()
        yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]

    async def _outcome(self, client: SharedClient, wait: WaitState) -> Outcome:
        due = _instant(self.next_look)
        pause = 0.0 if due is None else max(0.0, (due - dt.datetime.now(dt.UTC)).total_seconds())
        while (outcome := wait.finish_poll(await self._poll(client, wait, pause))) is None:
            if wait.news is not None:
                await keep_from_trigger(self.task_instance, WAIT_KEY, wait.news)
            pause = wait.pause()
        return outcome

    def _wait(self) -> WaitState:
        cohort = self.profile is None
        profiles = list(self.profiles or []) if self.profile is None else [self.profile]
        quorum = len(profiles) if self.quorum is None else self.quorum
        return WaitState(
            profiles=profiles,
            condition=ActionCondition.from_json(self.condition),
            quorum=quorum if cohort else None,
            since=_instant(self.since),
            deadline=dt.datetime.fromisoformat(self.deadline),
            execution_deadline=_instant(self.execution_deadline),
            pauses=Pauses(self.poke_interval, self.exponential_backoff, self.max_wait),
            budget=None if self.silent_fail else self.max_consecutive_failures,
            polls=0 if self.next_look is None else 1,
            failures=self.failures,
        )

    async def _poll(self, client: SharedClient, wait: WaitState, pause: float) -> list[AltcraftError]:
        """Pause, poll each profile that is still waited for, and return the errors of failed polls."""
        day = None if wait.since is None else wait.since.date()
        ask = partial(client.poll, list_id=self.list_id, day=day, actions=wait.condition.names)
        waiting = wait.waiting()
        errors: list[AltcraftError] = []

        async def record(place: int, result: PollResult) -> None:
            if not isinstance(result, list):
                errors.append(result)
            elif len(result) < _MANY:
                wait.record(place, result)
            else:
                await asyncio.to_thread(wait.record, place, result)

        if len(waiting) == 1:
            ((place, profile),) = waiting
            await record(place, await ask(profile, pause=pause))
            return errors
        await asyncio.sleep(pause)
        left = iter(waiting)

        async def some_of_them() -> None:
            for place, profile in left:
                await record(place, await ask(profile))
                if gives_up(errors):
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(min(await client.concurrency(), len(waiting))):
                group.create_task(some_of_them())
        return errors


def _instant(value: str | None) -> dt.datetime | None:
    return None if value is None else dt.datetime.fromisoformat(value)
