"""The view of a pull, ready to be drawn: lengths of bars, words, numbers."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._result import ByTime, Lateness, Result, Summary, Window, parse

STAGES: Final = {"send": "sent", "deliv": "delivered", "open": "opened", "read": "read", "click": "clicked"}
"""The stages of a message, by a word of the action's name."""

WIDTH: Final = 1000
"""The width of a chart and of its longest bar, in units of the drawing."""

HEIGHT: Final = 200
_COLUMNS: Final = 14
"""Columns for which a chart has room at least, so that a single one is no wall."""

_URIS: Final = 20
_CHANNEL_WORDS: Final = {"sms": "SMS", "email": "E-mail", "whatsapp": "WhatsApp", "telegram_bot": "Telegram bot"}


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a funnel: ``share`` in per cent of the first line."""

    name: str
    events: int
    length: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Funnel:
    """The stages that a channel's messages reached, and its other actions."""

    name: str
    bars: list[Bar]
    others: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a chart's column; ``colour`` is the number of its action."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Events by time: stacked columns, their legend, and the same as a table."""

    unit: str
    blocks: list[Block]
    legend: list[str]
    rows: list[tuple[str, list[int]]]
    most: int
    earlier: int


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A line of the table by campaign."""

    name: str
    id: int
    events: int
    length: int
    stages: list[int]


@dataclass(frozen=True, slots=True)
class PullView:
    """All that the page shows of a pull."""

    result: Result
    window: str
    size: str | None
    funnels: list[Funnel]
    without_channel: list[tuple[str, int]]
    chart: Chart | None
    stages: list[str]
    campaigns: list[CampaignRow]
    lateness: list[tuple[str, int, str, str, str]]
    uris: list[str]
    more_uris: int
    failed_uri: str | None


def pull_view(instance: Instance) -> PullView | None:
    """Return what to show of a task instance; ``None`` where it returned no pull's result."""
    result = parse(instance.result)
    if result is None:
        return None
    summary = result.summary
    stages, campaigns = _campaigns(summary)
    return PullView(
        result=result,
        window=_window(result.window, summary.timezone),
        size=None if result.bytes is None else size(result.bytes),
        funnels=_funnels(summary),
        without_channel=sorted(
            ((each.action, each.events) for each in summary.by_action if each.channel is None), key=lambda row: -row[1]
        ),
        chart=_chart(summary.by_time),
        stages=stages,
        campaigns=campaigns,
        lateness=_lateness(result.lateness),
        uris=[redacted(uri) for uri in result.uris[:_URIS]],
        more_uris=max(0, len(result.uris) - _URIS),
        failed_uri=result.failed_profiles_uri and redacted(result.failed_profiles_uri),
    )


def stage_of(action: str) -> str | None:
    """Return the stage of a message's way that an action is."""
    return next((STAGES[word] for word in action.split("_") if word in STAGES), None)


def clock(instant: dt.datetime | None, timezone: str) -> str | None:
    """Return an instant by the clock of a zone, to the minute."""
    if instant is None:
        return None
    try:
        return f"{instant.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"
    except (ZoneInfoNotFoundError, ValueError, OSError, OverflowError):
        return f"{instant:%Y-%m-%d %H:%M} UTC"


def _window(window: Window, timezone: str) -> str:
    start, end = clock(window.start, timezone), clock(window.end, timezone)
    if start is None and end is None:
        return "of any time"
    return " ".join([*(["from", start] if start else []), *(["to", end] if end else []), f"({timezone})"])


def size(number: float) -> str:
    """Return a number of bytes in words."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _funnels(summary: Summary) -> list[Funnel]:
    channels: dict[str, Counter[str]] = {}
    for each in summary.by_action:
        if each.channel is not None:
            channels.setdefault(each.channel, Counter())[each.action] += each.events
    found = []
    for channel, actions in sorted(channels.items(), key=lambda item: -item[1].total()):
        by_stage: Counter[str] = Counter()
        for action, events in actions.items():
            if stage := stage_of(action):
                by_stage[stage] += events
        others = [(action, events) for action, events in actions.most_common() if not stage_of(action)]
        found.append(Funnel(_CHANNEL_WORDS.get(channel, channel.capitalize()), _bars(by_stage), others))
    return found


def _bars(by_stage: Mapping[str, int]) -> list[Bar]:
    most, first = max(by_stage.values(), default=0), by_stage.get("sent", 0)
    return [
        Bar(stage, events, _length(events, most), round(100 * events / first, 1) if first and stage != "sent" else None)
        for stage in STAGES.values()
        if (events := by_stage.get(stage, 0))
    ]


def _length(events: int, most: int) -> int:
    return max(1, WIDTH * events // most) if events else 0


def _chart(by_time: ByTime) -> Chart | None:
    count = len(by_time.starts)
    columns = {action: counts for action, counts in by_time.events.items() if len(counts) == count}
    if not count or not columns:
        return None
    legend = sorted(columns, key=lambda action: (action == "other", -sum(columns[action])))
    rows = [(label(start, by_time.unit), [columns[a][at] for a in legend]) for at, start in enumerate(by_time.starts)]
    most = max(1, *(sum(counts) for _, counts in rows))
    step = WIDTH / max(count, _COLUMNS)
    blocks = []
    for at, (name, counts) in enumerate(rows):
        y = float(HEIGHT)
        for colour, events in enumerate(counts):
            height = HEIGHT * events / most
            y -= height
            if events:
                title = f"{name}, {legend[colour]}: {events:,}"
                blocks.append(
                    Block(round(at * step, 2), round(y, 2), round(step * 0.85, 2), round(height, 2), colour % 9, title)
                )
    return Chart(by_time.unit, blocks, legend, rows, most, by_time.earlier)


def label(start: dt.date, unit: str) -> str:
    """Return a day, month or year in words."""
    return start.isoformat()[: {"month": 7, "year": 4}.get(unit, 10)]


def _campaigns(summary: Summary) -> tuple[list[str], list[CampaignRow]]:
    by_stage = [_by_stage(campaign.actions) for campaign in summary.by_campaign]
    stages = [stage for stage in STAGES.values() if any(stage in each for each in by_stage)]
    most = max((campaign.events for campaign in summary.by_campaign), default=0)
    return stages, [
        CampaignRow(
            campaign.name or "",
            campaign.id,
            campaign.events,
            _length(campaign.events, most),
            [counts[stage] for stage in stages],
        )
        for campaign, counts in zip(summary.by_campaign, by_stage, strict=True)
    ]


def _by_stage(actions: Mapping[str, int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for action, events in actions.items():
        if stage := stage_of(action):
            found[stage] += events
    return found


def _lateness(lateness: Lateness | None) -> list[tuple[str, int, str, str, str]]:
    if lateness is None or not lateness.hours:
        return []
    spreads = [("all", lateness), *sorted(lateness.by_action.items())]
    return [(name, each.events, *_ranges(each.hours or {}, ("median", "p99", "max"))) for name, each in spreads]


def _ranges(hours: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> tuple[str, str, str]:
    low, high = hours.get("at_least", {}), hours.get("at_most", {})
    one, two, three = (f"{low.get(name, 0):g} to {high.get(name, 0):g} h" for name in names)
    return one, two, three
