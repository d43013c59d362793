"""What pulls of a whole database ask, as a ratio to the least that gives all events; next to another revision.

The emulator counts it, so the figures are the same in each run.
"""

from __future__ import annotations

import datetime as dt
import math
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow_provider.altcraft.testing import Emulator
from benchmarks.cold import run_task
from benchmarks.measure import ROOT, environment

ZONE = ZoneInfo("Europe/Moscow")
FIRST = dt.datetime(2026, 1, 1, tzinfo=ZONE)
DAY = dt.timedelta(days=1)
DAYS, PER_DAY, PAGE = 34, 500, 25
"""Twenty pages a day, as 20,000 events a day have in pages of 1,000."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Pulls whose requests are counted.

    Attributes:
        name: in the table.
        windows: first and last day of each, of January 2026.
        most: of the least possible, at most.
        rows: whether rows of the asked days are counted instead of requests.
    """

    name: str
    windows: tuple[tuple[int, int], ...]
    most: float
    rows: bool = False


PULLS = (
    Asked("a day: requests", ((10, 10),), 1.1),
    Asked("a week: requests", ((10, 16),), 1.05),
    Asked("28 nights, a pull of a day each: rows", tuple((day, day) for day in range(3, 31)), 1.05, rows=True),
    Asked("28 days by ranges, as many as by default: rows", ((3, 30),), 1.05, rows=True),
)


@dataclass(slots=True)
class Counted:
    """What was counted.

    Attributes:
        against: the other revision, if any.
        now: the ratio of each pull by its name.
        then: the same with the other revision.
    """

    against: str = ""
    now: dict[str, float] = field(default_factory=dict)
    then: dict[str, float] = field(default_factory=dict)


def measure(against: str, tree: Path | None) -> Counted:
    """Pull, and count.

    Args:
        against: the other revision; nothing for none.
        tree: its package.

    Raises:
        RuntimeError: a pull failed.
    """
    counted = Counted(against)
    with Emulator(token="t", timezone=ZONE.key) as api:
        people = [api.add_profile() for _ in range(4)]
        for number in range(DAYS * PER_DAY):
            api.add_event(people[number % 4], "open", at=FIRST + number * DAY / PER_DAY)
        for pull in PULLS:
            counted.now[pull.name] = _ratio(pull, ROOT, api)
            if tree:
                counted.then[pull.name] = _ratio(pull, tree, api)
    return counted


def _ratio(pull: Asked, tree: Path, api: Emulator) -> float:
    before = len(api.requests)
    ends = [(FIRST + (first - 1) * DAY, FIRST + last * DAY) for first, last in pull.windows]
    rows = _pull(tree, api.url, [f"{start.isoformat()}/{end.isoformat()}" for start, end in ends])
    bodies = [request.body for request in api.requests[before:]]
    if not pull.rows:
        return len(bodies) / (math.ceil(rows / PAGE) + 1)  # the last page is empty, and says that it is the last
    of_day = Counter(dt.datetime.fromisoformat(row["datetime"]).astimezone(ZONE).date() for row in api.events())
    asked = 0
    for body in bodies:
        if not body.get("from_id"):  # a walk begins
            first, last = dt.date.fromisoformat(body["date_from"]), dt.date.fromisoformat(body["date_to"])
            asked += sum(count for day, count in of_day.items() if first <= day <= last)
    return asked / rows


def _pull(tree: Path, url: str, windows: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="altcraft-asked-") as folder:
        kind = " ".join(["database", str(PAGE), *windows])
        took = run_task(kind, f"file://{folder}/out/", tree, Path(folder), environment(url, folder, ZONE.key))
    return int(took["rows"])


def table(counted: Counted) -> str:
    """The table, in Markdown."""
    then = f"at {counted.against}" if counted.against else "before"
    lines = [
        "## What a whole database is asked\n",
        (
            "Against the least that gives all events of the window, where twenty pages hold a day's and the connection "
            "names the account's time zone. Counted, so there is no time in it.\n"
        ),
        f"| | ratio | {then} | wanted | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for pull in PULLS:
        if pull.name not in counted.now:
            continue
        ratio, before = counted.now[pull.name], counted.then.get(pull.name)
        word = "reached" if ratio <= pull.most else "**not reached**"
        was = "" if before is None else f"{before:.2f}"
        lines.append(f"| {pull.name} | {ratio:.2f} | {was} | at most {pull.most:g} | {word} |")
    return "\n".join([*lines, ""])
