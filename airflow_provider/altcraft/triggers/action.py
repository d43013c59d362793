"""The trigger behind the deferrable sensor: asks for a profile's history now and then, and ends the wait."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider.altcraft.condition import ActionCondition
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.triggers._event import AltcraftActionEventTrigger

__all__ = ["AltcraftActionEventTrigger", "AltcraftActionTrigger"]


class AltcraftActionTrigger(BaseTrigger):
    """Ends when a profile has met a condition, has failed it, or the time is up.

    It keeps nothing between two looks, so it may be restarted, or run twice, without harm. Its arguments are plain JSON
    and hold the connection's id, never a secret.

    Args:
        altcraft_conn_id: the connection.
        profile: the request fields of the lookup.
        list_id: the database; the connection's own where ``None``.
        condition: an ``ActionCondition`` as JSON.
        since: ISO 8601 with a zone: only events from then on count; ``None`` for all.
        deadline: ISO 8601 with a zone: when the wait has timed out.
        poke_interval: seconds between two looks.
        silent_fail: go on after an error, as a sensor with ``silent_fail`` does.

    Yields one event, a mapping with ``status``: ``met`` or ``failed`` with ``events``; ``timeout``; ``error`` with
    ``error`` (name of its class) and ``message``.
    """

    def __init__(
        self,
        *,
        altcraft_conn_id: str,
        profile: dict[str, Any],
        list_id: int | None,
        condition: dict[str, Any],
        since: str | None,
        deadline: str,
        poke_interval: float,
        silent_fail: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.altcraft_conn_id = altcraft_conn_id
        self.profile = profile
        self.list_id = list_id
        self.condition = condition
        self.since = since
        self.deadline = deadline
        self.poke_interval = poke_interval
        self.silent_fail = silent_fail

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Where the class is and its arguments, as they are kept in Airflow's database."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "altcraft_conn_id": self.altcraft_conn_id,
                "profile": self.profile,
                "list_id": self.list_id,
                "condition": self.condition,
                "since": self.since,
                "deadline": self.deadline,
                "poke_interval": self.poke_interval,
                "silent_fail": self.silent_fail,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an outcome."""
        try:
            outcome = await self._outcome()
        except ValueError as error:  # the connection or an argument does not fit: as fatal as a refused request
            outcome = {"status": "error", "error": "RequestError", "message": str(error)}
        yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]

    async def _outcome(self) -> dict[str, Any]:
        from airflow_provider.altcraft.client import AltcraftError

        condition = ActionCondition.from_json(self.condition)
        deadline = dt.datetime.fromisoformat(self.deadline)
        async with await AltcraftHook(self.altcraft_conn_id).aget_conn() as client:
            while True:
                try:
                    events = await client.get_history(self.profile, list_id=self.list_id, date_from=self.since)
                except AltcraftError as error:
                    if not self.silent_fail:
                        return {"status": "error", "error": type(error).__name__, "message": str(error)}
                    self.log.warning("This look failed, the next one goes on: %s", error)
                else:
                    verdict = condition.verdict(events)
                    if verdict.state != "waiting":
                        found = [event.model_dump(mode="json") for event in verdict.events]
                        return {"status": verdict.state, "events": found}
                left = (deadline - dt.datetime.now(dt.UTC)).total_seconds()
                if left <= 0:
                    return {"status": "timeout"}
                await asyncio.sleep(min(self.poke_interval, left))
