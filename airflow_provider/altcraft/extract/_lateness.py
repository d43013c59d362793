"""Estimates how late events come, from two pulls of the same days.

The platform does not say when it recorded an event. So each pull counts its events by time and action, and the next
pull of the same days compares the counts. An event that was added in between was missing when the earlier pull read its
day: its lateness lies between the two pulls. It does not matter which of the events of a time it was.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
import pyarrow.compute as pc  # noqa: TID253 - likewise

from airflow_provider.altcraft._arrow import integer_array
from airflow_provider.altcraft.window import DAY, UTC, Window, back, day_of, midnight

_QUARTER, HOUR, WHOLE_DAY = 900, 3600, 86_400
_EPOCH = dt.date(1970, 1, 1)
_MOST_HOURS = 8 * 24
"""A longer window is counted by days, which keeps its counts small."""

_SECOND = 1_000_000


class EventCounts:
    """Counts the events of one pull by time and action.

    Args:
        window: of the pull, with the days that are pulled again.
        began: when the pull began.
    """

    def __init__(self, window: Window, began: dt.datetime | None = None) -> None:
        assert window.start is not None  # noqa: S101 - a database's window has both ends
        assert window.end is not None  # noqa: S101
        self.window = window
        self.began = began or dt.datetime.now(UTC)
        self.seconds = HOUR if (window.end - window.start) <= dt.timedelta(hours=_MOST_HOURS) else WHOLE_DAY
        self.counts: Counter[tuple[int, str]] = Counter()

    def add(self, batch: pa.RecordBatch) -> None:
        """Count a batch of ``schema.SCHEMA``."""
        compute: Any = pc
        part = HOUR if self.seconds == HOUR else _QUARTER
        place = compute.divide(batch["datetime"].cast(pa.int64()), integer_array([part * _SECOND])[0])
        encoded: Any = batch["action"].dictionary_encode()
        actions = encoded.dictionary.to_pylist()
        # Both in one number: pyarrow's `group_by` imports pandas.
        pair = compute.multiply(place, integer_array([len(actions)])[0])
        pair = compute.add(pair, encoded.indices.cast(pa.int64()))
        for found in compute.value_counts(pair).to_pylist():
            at, action = divmod(found["values"], len(actions))
            number = _coarser(at, part, self.seconds, self.window.zone)
            self.counts[number, actions[action]] += found["counts"]

    @property
    def state(self) -> dict[str, Any]:
        """All counts as plain JSON: for each action pairs of a time's number and a count."""
        actions: dict[str, list[list[int]]] = {}
        for (place, action), count in sorted(self.counts.items()):
            actions.setdefault(action, []).append([place, count])
        return {
            "window": self.window.to_json(),
            "began": self.began.isoformat(),
            "seconds": self.seconds,
            "timezone": str(self.window.zone),
            "actions": actions,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the counts of an earlier attempt."""
        self.began = dt.datetime.fromisoformat(state["began"])
        self.counts = _counts(state, self.seconds)


def lateness(
    counts: EventCounts, before: Mapping[str, Any] | None, lookback: int, now: dt.datetime
) -> dict[str, Any] | None:
    """Compare two pulls, and return the lateness of events.

    Args:
        counts: this pull's counts.
        before: the state of an earlier pull; ``None`` where there was none.
        lookback: days that this pull has pulled again.
        now: when this pull ended.

    Returns:
        ``None`` where the pulls have no time in common. Else ``compared`` (the window that both pulled), ``events``
        (how many came between the two), ``hours`` (their lateness, at least and at most: ``median``, ``p99``,
        ``max``; ``None`` without events), ``by_action``, ``needed_lookback`` (days that would have
        reached every late event so far, by this pull and those before it) and ``recommended_lookback`` (days).
    """
    both = _both(counts.window, before)
    if before is None or both is None:
        return None
    seconds, zone = max(counts.seconds, before["seconds"]), counts.window.zone
    if seconds == WHOLE_DAY and before.get("timezone", "UTC") != str(zone):
        return None  # their days are not the same
    earlier = _coarse(_counts(before, before["seconds"]), before["seconds"], seconds, zone)
    came: Counter[tuple[int, str]] = Counter()
    for (place, action), count in _coarse(counts.counts, counts.seconds, seconds, zone).items():
        if _start(place, seconds, zone) >= both[0] and _start(place + 1, seconds, zone) <= both[1]:
            came[place, action] = max(0, count - earlier[place, action])
    came = +came
    ago = [_days_back(counts.window, lookback, _start(place, seconds, zone)) for place, _ in came]
    needed = max([before.get("needed_lookback", 0), *ago])
    began = dt.datetime.fromisoformat(before["began"])
    bounds = [
        (
            action,
            count,
            max(0.0, (began - _start(place + 1, seconds, zone)).total_seconds()),
            (now - _start(place, seconds, zone)).total_seconds(),
        )
        for (place, action), count in came.items()
    ]
    return {
        "compared": Window(*both).to_json(),
        **_spread(bounds),
        "by_action": {
            action: _spread([each for each in bounds if each[0] == action])
            for action in sorted({action for action, *_ in bounds})
        },
        "needed_lookback": needed,
        "recommended_lookback": _recommended(needed, lookback),
    }


def _days_back(window: Window, lookback: int, at: dt.datetime) -> int:
    """Return how many days a time is before the part of the window that is pulled for the first time."""
    assert window.start is not None  # noqa: S101 - a database's window has both ends
    new = back(window.start, -lookback * DAY, window.zone)
    day = day_of(new, window.zone)
    if new == midnight(day, window.zone):
        return max(1, (day - day_of(at, window.zone)).days)
    clocks = [instant.astimezone(window.zone).replace(tzinfo=None) for instant in (new, at)]
    return max(1, math.ceil((clocks[0] - clocks[1]) / DAY))


def _recommended(needed: int, lookback: int) -> int:
    """Return the recommended lookback in days.

    Twice as far where the oldest day of the lookback still had late events: there may be older ones. As far as now
    where nothing came late, which proves too little to go back less.
    """
    return lookback if not needed else 2 * lookback if needed >= lookback else needed


def _both(window: Window, before: Mapping[str, Any] | None) -> tuple[dt.datetime, dt.datetime] | None:
    if before is None or window.start is None or window.end is None:
        return None
    start = max(window.start, dt.datetime.fromisoformat(before["window"]["start"]))
    end = min(window.end, dt.datetime.fromisoformat(before["window"]["end"]))
    return (start, end) if start < end else None


def _counts(state: Mapping[str, Any], seconds: int) -> Counter[tuple[int, str]]:
    assert state["seconds"] == seconds  # noqa: S101 - of the same window, or read as it says
    return Counter({
        (place, action): count for action, found in state["actions"].items() for place, count in found
    })  # fmt: skip


def _coarse(counts: Counter[tuple[int, str]], seconds: int, into: int, zone: dt.tzinfo) -> Counter[tuple[int, str]]:
    coarse: Counter[tuple[int, str]] = Counter()
    for (place, action), count in counts.items():
        coarse[_coarser(place, seconds, into, zone), action] += count
    return coarse


def _coarser(place: int, seconds: int, into: int, zone: dt.tzinfo) -> int:
    """Return the number of the hour, or of the zone's day, that holds the time of this number."""
    if seconds == into:
        return place
    at = dt.datetime.fromtimestamp(place * seconds, UTC)
    return place * seconds // HOUR if into == HOUR else (day_of(at, zone) - _EPOCH).days


def _start(place: int, seconds: int, zone: dt.tzinfo) -> dt.datetime:
    """Return when the hour, or the zone's day, of this number begins."""
    return dt.datetime.fromtimestamp(place * HOUR, UTC) if seconds == HOUR else midnight(_EPOCH + place * DAY, zone)


def _spread(bounds: list[tuple[str, int, float, float]]) -> dict[str, Any]:
    events = sum(count for _, count, _, _ in bounds)
    if not events:
        return {"events": 0, "hours": None}
    least = [(low, count) for _, count, low, _ in bounds]
    most = [(high, count) for _, count, _, high in bounds]
    return {"events": events, "hours": {"at_least": _of(least, events), "at_most": _of(most, events)}}


def _of(values: list[tuple[float, int]], events: int) -> dict[str, float]:
    return {name: round(_rank(values, share * events) / HOUR, 2) for name, share in _SHARES.items()}


_SHARES = {"median": 0.5, "p99": 0.99, "max": 1.0}


def _rank(values: list[tuple[float, int]], rank: float) -> float:
    reached = 0
    for value, count in sorted(values):
        reached += count
        if reached >= rank:
            return value
    return max(value for value, _ in values)
