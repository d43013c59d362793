"""The audience of a watcher: profiles or a whole database, and one poll of their events. No Airflow here."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from airflow_provider.altcraft._arguments import distinct_lookups_of, is_function
from airflow_provider.altcraft.client._errors import CursorError
from airflow_provider.altcraft.extract.profiles.ordered import ordered
from airflow_provider.altcraft.waiting.condition import ActionCondition
from airflow_provider.altcraft.window import DAY, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AsyncAltcraftClient, HistoryEvent

DEFAULT_LOOKBACK: Final = DAY
"""How late an event may appear and still count, by default."""

AHEAD: Final = DAY
"""How far an event's time may be ahead of our clock."""

HELD_EVENTS: Final = 50_000
"""Events that may wait for a slower answer before them; with more, no other profile is asked."""


@dataclass(frozen=True, slots=True)
class Audience:
    """The profiles, or the database, whose history is polled.

    Attributes:
        list_id: the database; the connection's own where ``None``.
        profiles: request fields of lookups; ``None`` is everybody in the database.
    """

    list_id: int | None
    profiles: tuple[Mapping[str, Any], ...] | None

    @classmethod
    def of(cls, profiles: object, list_id: int | None) -> Audience:
        """Return the audience of a DAG author's lookup or lookups, each a mapping, an e-mail or a ``ProfileLookup``.

        Raises:
            ValueError: one does not fit, or none is there; the message names its place and shows no value.
        """
        if profiles is None:
            return cls(list_id, None)
        if is_function(profiles):
            raise ValueError("profiles: expected one profile or a list of them, got a function")
        found = distinct_lookups_of(profiles)
        if not found:
            raise ValueError("profiles: expected at least one, got none; None means everybody in the database")
        return cls(list_id, tuple(found))

    async def poll(
        self,
        client: AsyncAltcraftClient,
        actions: Collection[str],
        window: Window,
        event_key_by: Literal["row", "event_id"] = "row",
    ) -> list[tuple[str, HistoryEvent]]:
        """Return the events of the actions within the window, each once with its ``event_key``, by time.

        Args:
            client: whose calls outlast an outage.
            actions: names.
            window: both ends are given.
            event_key_by: what the keys are made of.

        Raises:
            ValueError: neither this nor the client names a database.
            AltcraftError: the platform could not be asked, or refused.
        """
        list_id = client.settings.database(self.list_id)
        how: dict[str, Any] = {"list_id": list_id, "date_from": window.start, "date_to": window.end}
        if self.profiles is None:
            try:
                answers = [await _of_database(client, actions, how)]
            except CursorError:
                answers = [await _of_database(client, actions, how)]
        else:
            asked = ordered(
                self.profiles,
                lambda profile: client.get_history(profile, actions=actions, **how),
                workers=client.settings.max_connections,
                size=len,
                most=HELD_EVENTS,
            )
            answers = [events async for _, events in asked]
        # Apart: what makes the keys is slow to import, and a large answer takes its time.
        return await asyncio.to_thread(_keyed, answers, actions, list_id, event_key_by)


async def _of_database(
    client: AsyncAltcraftClient, actions: Collection[str], how: Mapping[str, Any]
) -> list[HistoryEvent]:
    return [event async for event in client.iter_database_history(**how) if event.action in actions]


def window_from(start: dt.datetime) -> Window:
    """Return the window from an instant to the latest time that an event may have now."""
    return Window(start, max(start, dt.datetime.now(dt.UTC)) + AHEAD)


def names_of(actions: Any) -> list[str]:
    """Return the names of one action or several, each once.

    Raises:
        ValueError: what is given names none.
    """
    return list(dict.fromkeys(ActionCondition(actions=actions).actions))


def seconds_of(value: object, name: str, *, least: float) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: it is not a duration, or too short; the message names the argument.
    """
    seconds: object = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not least <= seconds < math.inf:
        raise ValueError(f"{name}: expected seconds, {least:g} or more, got {value!r}")
    return float(seconds)


def _keyed(
    answers: Iterable[Iterable[HistoryEvent]],
    actions: Collection[str],
    list_id: int,
    event_key_by: Literal["row", "event_id"] = "row",
) -> list[tuple[str, HistoryEvent]]:
    from airflow_provider.altcraft.schema import with_keys

    # Each answer by itself: within it events that are alike are two, but two lookups may find the same event.
    keyed = (
        with_keys([event for event in answer if event.action in actions], list_id=list_id, by=event_key_by)
        for answer in answers
    )
    found: dict[str, HistoryEvent] = {}
    for key, event in itertools.chain.from_iterable(keyed):
        found.setdefault(key, event)
    return sorted(found.items(), key=lambda item: (item[1].datetime, item[0]))
