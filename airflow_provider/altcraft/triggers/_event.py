"""The trigger of an asset's watcher: fires when profiles do an action."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Iterable, Mapping, Sequence
from contextlib import aclosing
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider.altcraft._arguments import list_id_of, timedelta_of
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.triggers._shared_poller import Poll, SharedPoller, Subscription, poller_of
from airflow_provider.altcraft.triggers._watch_state import WatchProgress, WatchState
from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.waiting.audience import DEFAULT_LOOKBACK, Audience, names_of, seconds_of
from airflow_provider.altcraft.waiting.condition import warn_of_undocumented, whole_second
from airflow_provider.altcraft.window import DateLike, Window, parse_date, zone_of

if TYPE_CHECKING:
    from airflow_provider.altcraft.client import HistoryEvent, ProfileLookup

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2 has no watchers: there the class can be imported, and nothing more
    BaseEventTrigger = BaseTrigger  # type: ignore[misc,assignment]

_ZONE: Final = "UTC"

KEYS_AN_EVENT: Final = 1000
"""Keys in one trigger event, at most; more make several trigger events."""


class AltcraftActionEventTrigger(BaseEventTrigger):
    """Fires when a profile, any of several, or anybody in a database does one of the actions; for an ``AssetWatcher``.

    Each event counts once, by its ``event_key``. What counted, and up to when all was polled, is kept in the asset's
    state store (Airflow 3.3): after a restart the trigger goes on where it was, and what happened in between counts.
    Killed at the wrong moment it fires again for what it fired for in the last moments, never not at all. Before
    Airflow 3.3 nothing is kept: a trigger that starts again begins at ``since``.

    Args:
        actions: one action or several; any string.
        profiles: a profile or a list of them, each a ``ProfileLookup``, a mapping of its fields, or an e-mail (a list
            also as JSON text); ``None`` is everybody in the database, at the price of a walk through its days with each
            poll.
        list_id: the profile database; the connection's own where ``None``.
        since: a date (its first instant in ``timezone``) or an aware date-time: only events from then on count;
            ``None`` is the moment at which the trigger first starts.
        lookback: how late an event may appear and still count: a ``timedelta`` or its ISO 8601 text, such as ``PT6H``.
        timezone: IANA name of the time zone of the days in ``since`` and ``lookback``.
        poll_interval: seconds between two polls. Watchers of the same audience share their polls (Airflow 3.3): the
            shortest interval counts.
        altcraft_conn_id: the connection.

    Yields events with a mapping: ``list_id``, ``actions``, ``keys`` (the ``event_key`` of up to 1,000 events) and
    ``window`` (``start`` and ``end``: times of the first and the last of them, both inclusive).

    Raises:
        ValueError: an argument that does not fit, when the DAG file is parsed.
    """

    watch_times: ClassVar[WatchTimes] = WatchTimes()

    def __init__(
        self,
        *,
        actions: str | Sequence[str],
        profiles: ProfileLookup | Mapping[str, Any] | str | Iterable[Any] | None = None,
        list_id: int | None = None,
        since: DateLike = None,
        lookback: dt.timedelta | str | float = DEFAULT_LOOKBACK,
        timezone: str = _ZONE,
        poll_interval: float | dt.timedelta = 60.0,
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.actions = names_of(actions)
        warn_of_undocumented(self.actions)
        self.list_id = list_id_of(list_id)
        self.audience = Audience.of(profiles, self.list_id)
        self.timezone, zone = timezone, zone_of(timezone)
        # Not by `instant_of`: a date-time without a zone is refused, as no run's partition key comes here.
        self.since = Window.of(parse_date(since, "since"), zone=zone).start
        if isinstance(lookback, float) and math.isfinite(lookback):  # as `serialize` stores it
            lookback = dt.timedelta(seconds=lookback)
        self.lookback = timedelta_of(lookback, "lookback")
        self.poll_interval = seconds_of(poll_interval, "poll_interval", least=0.1)
        self.altcraft_conn_id = altcraft_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and its arguments, for Airflow's database."""
        profiles = self.audience.profiles
        # As text: mappings within a list come back from Airflow 3.3's database wrapped in what encodes them.
        text = None if profiles is None else json.dumps([dict(profile) for profile in profiles], sort_keys=True)
        return (
            "airflow_provider.altcraft.triggers.action.AltcraftActionEventTrigger",
            {
                "actions": self.actions,
                "profiles": text,
                "list_id": self.list_id,
                "since": None if self.since is None else self.since.isoformat(),
                "lookback": self.lookback.total_seconds(),
                "poll_interval": self.poll_interval,
                "altcraft_conn_id": self.altcraft_conn_id,
            }
            # Absent as in what earlier versions stored, by which Airflow knows a trigger that it has already.
            | ({} if self.timezone == _ZONE else {"timezone": self.timezone}),
        )

    def shared_stream_key(self) -> Hashable | None:
        """Watchers of the same audience by the same connection share one poll (Airflow 3.3)."""
        profiles = self.serialize()[1]["profiles"]
        return ("airflow_provider.altcraft", self.altcraft_conn_id, self.list_id, profiles)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Poll]:
        """The poll: one ``Poll`` after another, for all watchers there are."""
        async with aclosing(cls(**kwargs)._poller().polls()) as polls:
            async for poll in polls:
                yield poll

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Poll]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for the new events of this watcher in the shared polls."""
        async with aclosing(self._events(shared_stream, self._poller())) as events:
            async for event in events:
                yield event

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll by itself: Airflow before 3.3 has no shared streams."""
        poller = SharedPoller(self.altcraft_conn_id, self.audience, self.watch_times)
        async with aclosing(poller.polls()) as polls, aclosing(self._events(polls, poller)) as events:
            async for event in events:
                yield event

    def _poller(self) -> SharedPoller:
        return poller_of(self.shared_stream_key(), self.altcraft_conn_id, self.audience, self.watch_times)

    async def _events(self, polls: AsyncIterator[Poll], poller: SharedPoller) -> AsyncGenerator[TriggerEvent]:
        state = WatchState(getattr(self, "asset_state_store", None), self._identity(), self.watch_times)
        since = whole_second(self.since or dt.datetime.now(dt.UTC))
        progress = WatchProgress(await state.load(since), self.lookback, self.watch_times, zone_of(self.timezone))
        subscription = Subscription(frozenset(self.actions), progress.start, self.poll_interval)
        async with state.storing(progress):
            with poller.subscribed(subscription):
                async for poll in polls:
                    if poll.start > subscription.start or not subscription.actions <= poll.actions:
                        continue  # it began before this watcher came
                    new = progress.new_events(poll, subscription.actions)
                    for place in range(0, len(new), KEYS_AN_EVENT):
                        some = new[place : place + KEYS_AN_EVENT]
                        progress.fire(some, None)
                        yield TriggerEvent(self._payload(some))  # type: ignore[no-untyped-call]
                    progress.fire((), poll.at)
                    subscription.start = progress.start

    def _payload(self, events: Sequence[tuple[str, HistoryEvent]]) -> dict[str, Any]:
        return {
            "list_id": self.list_id,
            "actions": self.actions,
            "keys": [key for key, _ in events],
            "window": {"start": events[0][1].datetime.isoformat(), "end": events[-1][1].datetime.isoformat()},
        }

    def _identity(self) -> str:
        """Return a name for this watcher's state, made of all that decides which events count."""
        arguments = self.serialize()[1]
        kept = [arguments[name] for name in ("altcraft_conn_id", "list_id", "profiles", "since")]
        text = json.dumps([*kept, sorted(self.actions)], sort_keys=True)
        return f"altcraft-{blake2b(text.encode(), digest_size=6).hexdigest()}"
