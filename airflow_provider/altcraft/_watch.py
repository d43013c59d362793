"""Whose actions are watched, and one look at what they did: the same for a trigger and for a task. No Airflow here."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import json
import math
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft.client._lookup import check_lookup
from airflow_provider.altcraft.condition import ActionCondition
from airflow_provider.altcraft.window import DAY, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import AltcraftClient, AsyncAltcraftClient, HistoryEvent

DEFAULT_LOOKBACK: Final = 86_400.0
"""Seconds: how late an event may appear and still count, unless said otherwise."""

AHEAD: Final = DAY
"""Events may bear a time so far ahead of ours and still count at once."""


@dataclass(frozen=True, slots=True)
class People:
    """Whose history is looked at.

    Attributes:
        list_id: the database; the connection's own where ``None``.
        profiles: request fields of lookups; ``None`` is everybody in the database.
    """

    list_id: int | None
    profiles: tuple[Mapping[str, Any], ...] | None

    @classmethod
    def of(cls, profiles: object, list_id: int | None) -> People:
        """Out of what a DAG author gives: a lookup or several, each a mapping, an e-mail or a ``ProfileLookup``.

        Raises:
            ValueError: one does not fit, or none is there; the message names its place and shows no value.
        """
        if profiles is None:
            return cls(list_id, None)
        if isinstance(profiles, str | Mapping) or hasattr(profiles, "fields"):
            profiles = [profiles]
        if not isinstance(profiles, Iterable):
            raise ValueError(f"profiles: one profile or a list of them is wanted, not {type(profiles).__name__}")
        found: dict[str, Mapping[str, Any]] = {}
        for index, profile in enumerate(profiles):
            try:
                fields = check_lookup(getattr(profile, "fields", profile))
            except ValueError as error:
                raise ValueError(f"profiles[{index}]: {error}") from None
            found.setdefault(json.dumps(fields, sort_keys=True), fields)
        if not found:
            raise ValueError("profiles: at least one is wanted, or None for everybody in the database")
        return cls(list_id, tuple(found.values()))

    async def alook(
        self, client: AsyncAltcraftClient, actions: Collection[str], start: dt.datetime
    ) -> list[tuple[str, HistoryEvent]]:
        """The events with one of the actions from ``start`` on, each once with its ``event_key``, by time.

        Raises:
            ValueError: neither this nor the client names a database.
            AltcraftError: the platform could not be asked, or refused.
        """
        window = window_from(start)
        list_id = client.settings.database(self.list_id)
        if self.profiles is None:
            pages = client.iter_database_history(list_id=list_id, date_from=window.start, date_to=window.end)
            answers = [[event async for event in pages if event.action in actions]]
        else:
            answers = await asyncio.gather(
                *(
                    client.get_history(profile, list_id=list_id, date_from=window.start, date_to=window.end)
                    for profile in self.profiles
                )
            )
        # Apart: what makes the keys is slow to import, and a large answer takes its time.
        return await asyncio.to_thread(_keyed, answers, actions, list_id)

    def look(self, client: AltcraftClient, actions: Collection[str], window: Window) -> list[tuple[str, HistoryEvent]]:
        """As ``alook``, within a window of which both ends are given."""
        list_id = client.settings.database(self.list_id)
        if self.profiles is None:
            pages = client.iter_database_history(list_id=list_id, date_from=window.start, date_to=window.end)
            return _keyed([[event for event in pages if event.action in actions]], actions, list_id)
        ask = partial(client.get_history, list_id=list_id, date_from=window.start, date_to=window.end)
        with ThreadPoolExecutor(client.settings.max_connections, "altcraft-look") as pool:
            return _keyed(list(pool.map(ask, self.profiles)), actions, list_id)


def window_from(start: dt.datetime) -> Window:
    """From then on to the latest time that an event may bear by now."""
    return Window(start, max(start, dt.datetime.now(dt.UTC)) + AHEAD)


def names_of(actions: Any) -> list[str]:
    """Names of actions, each once: one or several.

    Raises:
        ValueError: what is given names none.
    """
    return list(dict.fromkeys(ActionCondition(actions=actions).actions))


def seconds_of(value: float | dt.timedelta, name: str, *, least: float) -> float:
    """A duration in seconds.

    Raises:
        ValueError: it is none, or too short; the message names the argument.
    """
    seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not least <= seconds < math.inf:
        raise ValueError(f"{name}: seconds are wanted, {least:g} or more, not {value!r}")
    return float(seconds)


def _keyed(
    answers: Iterable[Iterable[HistoryEvent]], actions: Collection[str], list_id: int
) -> list[tuple[str, HistoryEvent]]:
    from airflow_provider.altcraft.schema import with_keys

    # Each answer by itself: within it events that are alike are two, but two lookups may find the same event.
    keyed = (with_keys([event for event in answer if event.action in actions], list_id=list_id) for answer in answers)
    found: dict[str, HistoryEvent] = {}
    for key, event in itertools.chain.from_iterable(keyed):
        found.setdefault(key, event)
    return sorted(found.items(), key=lambda item: (item[1].datetime, item[0]))
