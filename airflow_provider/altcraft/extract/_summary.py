"""Counts the events of a pull by channel and action, by day and by campaign.

The counts become part of the operator's result. So they hold names of campaigns but nothing of a profile, and their
size is bounded whatever the rows are.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import msgspec
import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
import pyarrow.compute as _pc  # noqa: TID253 - likewise

from airflow_provider.altcraft._arrow import integer_array
from airflow_provider.altcraft.client._json import decode

pc: Any = _pc

SHOWN_CAMPAIGNS: Final = 50
"""Campaigns in the result, those with the most events."""

OTHER: Final = "other"
"""The action or channel that stands for all beyond the bounds."""

_SHOWN_KINDS: Final = 60
_SHOWN_TIMES: Final = 92
_ACTIONS_OF_EACH: Final = 8
_NAME: Final = 80
_READ_OF_NAME: Final = 400
_WORD: Final = 40
"""Bytes of an action or a channel at most; the longest that is documented has 22."""

_COUNTED_CAMPAIGNS: Final = 1000
_FURTHER, _NONE = _COUNTED_CAMPAIGNS, _COUNTED_CAMPAIGNS + 1
_ACTIONS: Final = 256
_CHANNELS: Final = 32
_KINDS: Final = _ACTIONS * _CHANNELS
"""The key of a count is the number of a day or campaign times this, plus the number of a channel and action.

The last number of a channel or action stands for all that have none of their own.
"""

_PENDING_ROWS: Final = 100_000

_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_PHONE = re.compile(r"\+\d(?:[ ()-]{0,2}\d){8,}|\d{10,}")  # a date has fewer digits
_EPOCH = dt.date(1970, 1, 1).toordinal()
_LAST = dt.date.max.toordinal()

_Key = TypeVar("_Key", bound=Hashable)


class EventSummary:
    """Counts the events of one pull.

    The first thousand campaign ids are counted one by one, all others together.

    Args:
        zone: of the days; UTC where Arrow does not find the zone on the machine.
    """

    def __init__(self, zone: dt.tzinfo) -> None:
        self.events = 0
        self.timezone = _known_zone(str(zone))
        self._unit = "day"
        self._channels: dict[str | None, int] = {}
        self._actions: dict[str | None, int] = {}
        self._names: dict[int, str | None] = {}
        self._times: Counter[int] = Counter()
        self._campaigns: Counter[int] = Counter()
        self._pending: list[tuple[Any, Any]] = []
        self._pending_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch of ``schema.SCHEMA``."""
        if not batch.num_rows:
            return
        kinds = self._kinds_of(batch)
        # Place and kind in one number, as pyarrow's `group_by` imports pandas.
        keys = (
            pc.add(pc.multiply(places, _number(_KINDS)), kinds)
            for places in (self._days_of(batch), self._campaigns_of(batch))
        )
        self._pending.append(tuple(keys))
        self._pending_rows += batch.num_rows
        self.events += batch.num_rows
        if self._pending_rows >= _PENDING_ROWS:
            self._count()

    @property
    def state(self) -> str:
        """All counts as a short JSON text, which is kept with each part of a pull."""
        self._count()
        counts = [[each for pair in counted.items() for each in pair] for counted in (self._times, self._campaigns)]
        names = [list(self._channels), list(self._actions), list(self._names.items())]
        return msgspec.json.encode([self.events, self.timezone, self._unit, *names, *counts]).decode()

    def resume(self, state: str) -> None:
        """Go on from the counts of an earlier attempt, unless its days are of another zone."""
        events, timezone, unit, channels, actions, names, times, campaigns = decode(state)
        if timezone != self.timezone:
            return
        self.events, self._unit = events, unit
        self._channels = {channel: number for number, channel in enumerate(channels)}
        self._actions = {action: number for number, action in enumerate(actions)}
        self._names = dict(names)
        self._times = Counter(dict(zip(times[::2], times[1::2], strict=True)))
        self._campaigns = Counter(dict(zip(campaigns[::2], campaigns[1::2], strict=True)))

    def result(self) -> dict[str, Any]:
        """Return the counts as plain JSON of at most about 50 kB in UTF-8.

        Returns:
            ``events`` (how many were counted), ``timezone``, ``by_action`` (``channel`` or ``None``, ``action``,
            ``events``), ``by_time`` (``unit``: ``day``, ``month`` or ``year``; ``starts``, the first days of these;
            ``events``, for each action one count a time; ``earlier``, how many events there are before),
            ``by_campaign`` (``id``, ``name``, ``events``, ``actions``), ``other_campaigns`` (``campaigns``, ``None``
            where they are not known; ``events``) and ``without_campaign``, a count of events.
        """
        self._count()
        channels, actions = list(self._channels), [str(action) for action in self._actions]
        by_kind = _sums(self._times, lambda key: (channels[key % _KINDS // _ACTIONS], actions[key % _ACTIONS]))
        by_action = [
            {"channel": channel, "action": action, "events": by_kind[channel, action]}
            for channel, action in _most(by_kind, _SHOWN_KINDS)
        ]
        if rest := self.events - sum(each["events"] for each in by_action):
            by_action.append({"channel": None, "action": OTHER, "events": rest})
        return {
            "events": self.events,
            "timezone": self.timezone,
            "by_action": by_action,
            "by_time": self._by_time(actions),
            **self._by_campaign(actions),
        }

    def _by_time(self, actions: Sequence[str]) -> dict[str, Any]:
        places = sorted({key // _KINDS for key in self._times})[-_SHOWN_TIMES:]
        index = {place: number for number, place in enumerate(places)}
        shown = set(_most(_sums(self._times, lambda key: actions[key % _ACTIONS]), _ACTIONS_OF_EACH))
        events: dict[str, list[int]] = {}
        earlier = 0
        for key, count in self._times.items():
            place, action = key // _KINDS, actions[key % _ACTIONS]
            if place in index:
                column = events.setdefault(action if action in shown else OTHER, [0] * len(places))
                column[index[place]] += count
            else:
                earlier += count
        starts = [dt.date.fromordinal(min(max(place + _EPOCH, 1), _LAST)).isoformat() for place in places]
        return {"unit": self._unit, "starts": starts, "events": dict(sorted(events.items())), "earlier": earlier}

    def _by_campaign(self, actions: Sequence[str]) -> dict[str, Any]:
        each = _sums(self._campaigns, lambda key: key // _KINDS)
        without, further = each.pop(_NONE, 0), each.pop(_FURTHER, 0)
        ids = list(self._names)
        # Equal counts in the order of ids, which a reader can follow.
        shown = sorted(each, key=lambda number: (-each[number], ids[number]))[:SHOWN_CAMPAIGNS]
        of_each: dict[int, Counter[str]] = {number: Counter() for number in shown}
        for key, count in self._campaigns.items():
            if (number := key // _KINDS) in of_each:
                of_each[number][actions[key % _ACTIONS]] += count
        rows = [
            {
                "id": ids[number],
                "name": self._names[ids[number]],
                "events": each[number],
                "actions": {action: of_each[number][action] for action in _most(of_each[number], _ACTIONS_OF_EACH)},
            }
            for number in shown
        ]
        others = {
            "campaigns": None if further else len(each) - len(shown),
            "events": sum(each.values()) - sum(each[number] for number in shown) + further,
        }
        return {"by_campaign": rows, "other_campaigns": others, "without_campaign": without}

    def _kinds_of(self, batch: pa.RecordBatch) -> Any:
        """Return the number of each row's channel and action."""
        channel = _numbered(batch.column("channel"), self._channels, _CHANNELS, _ACTIONS)
        return pc.add(channel, _numbered(batch.column("action"), self._actions, _ACTIONS, 1))

    def _days_of(self, batch: pa.RecordBatch) -> Any:
        """Return the number of each row's day, or of the first day of its month or year."""
        instants: Any = batch.column("datetime")
        if self.timezone != "UTC":
            instants = pc.local_timestamp(instants.cast(pa.timestamp("us", tz=self.timezone)))
        if self._unit != "day":
            instants = pc.floor_temporal(instants, unit=self._unit)
        return instants.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())

    def _campaigns_of(self, batch: pa.RecordBatch) -> Any:
        """Return the number of each row's campaign, ``_FURTHER`` beyond the first thousand, ``_NONE`` without one."""
        ids: Any = batch.column("campaign_id")
        places = self._places_of(ids)
        if places.null_count > ids.null_count and len(self._names) < _COUNTED_CAMPAIGNS:
            new = ids.filter(pc.is_null(places)).unique().drop_null()
            new = new[: _COUNTED_CAMPAIGNS - len(self._names)]
            names = batch.column("campaign_name").take(pc.index_in(new, value_set=ids)).to_pylist()
            self._names.update(zip(new.to_pylist(), map(_shown_name, names), strict=True))
            places = self._places_of(ids)
        places = pc.fill_null(places.cast(pa.int64()), _number(_FURTHER))
        return pc.if_else(pc.is_null(ids), _number(_NONE), places) if ids.null_count else places

    def _places_of(self, ids: Any) -> Any:
        return pc.index_in(ids, value_set=integer_array(list(self._names)))

    def _count(self) -> None:
        """Count the pending rows; merge days into months, then years, where there are too many."""
        for counts, keys in zip((self._times, self._campaigns), zip(*self._pending, strict=True), strict=False):
            found = pc.value_counts(pa.chunked_array(keys))
            for key, count in zip(_integers(found.field("values")), _integers(found.field("counts")), strict=True):
                counts[key] += count
        self._pending, self._pending_rows = [], 0
        while self._unit != "year" and len({key // _KINDS for key in self._times}) > _SHOWN_TIMES:
            self._unit = "month" if self._unit == "day" else "year"
            self._times = _sums(self._times, self._coarser)

    def _coarser(self, key: int) -> int:
        """Return the key of the first day of the month or year."""
        day = dt.date.fromordinal(min(max(key // _KINDS + _EPOCH, 1), _LAST))
        first = day.replace(day=1) if self._unit == "month" else day.replace(month=1, day=1)
        return (first.toordinal() - _EPOCH) * _KINDS + key % _KINDS


def _known_zone(name: str) -> str:
    """Return the zone where Arrow finds it on this machine, else UTC."""
    try:
        # With one row, as Arrow does not look for the zone of none.
        pc.local_timestamp(integer_array([0]).cast(pa.timestamp("us", tz=name)))
    except pa.ArrowInvalid:
        return "UTC"
    return name


def _numbered(column: Any, numbers: dict[str | None, int], most: int, times: int) -> Any:
    """Return the number of each row's value, multiplied by ``times``."""
    encoded = column.dictionary_encode("encode")  # null is a value too
    found = []
    for value in encoded.dictionary.to_pylist():
        is_new_word = len(numbers) < most - 1 and (value is None or len(value.encode()) <= _WORD)
        known = value if value in numbers or is_new_word else OTHER
        found.append(numbers.setdefault(known, len(numbers)) * times)
    return integer_array(found).take(encoded.indices)


def _integers(array: Any) -> list[int]:
    numbers = memoryview(array.buffers()[1]).cast("q")
    return numbers[array.offset : array.offset + len(array)].tolist()


def _number(value: int) -> Any:
    return integer_array([value])[0]


def _sums(counts: Counter[Any], key_of: Callable[[Any], _Key]) -> Counter[_Key]:
    sums: Counter[_Key] = Counter()
    for key, count in counts.items():
        sums[key_of(key)] += count
    return sums


def _most(counts: Counter[_Key], most: int) -> list[_Key]:
    """Return the keys with the highest counts, in an order that depends only on keys and counts."""
    return sorted(counts, key=lambda key: (-counts[key], str(key)))[:most]


def _shown_name(name: str | None) -> str | None:
    """Return the start of a campaign's name with e-mail addresses and phones masked."""
    # Cut long names before the search, which takes the square of their length, and again after it, as an address cut
    # short would not be found.
    return None if name is None else _PHONE.sub("…", _EMAIL.sub("…@…", name[:_READ_OF_NAME]))[:_NAME]
