"""Stories for the property test: drawn pulls, retries and late events, and the rows that each pull must get.

Those are worked out from what the emulator serves, without any code of the extract or the targets.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypothesis import strategies as st

from airflow_provider.altcraft.schema import COLUMNS
from airflow_provider.altcraft.testing import Emulator, Profile, faults
from airflow_provider.altcraft.testing.emulator.rows import channel_of

UTC = dt.UTC
DAY = dt.timedelta(days=1)
DAYS = [dt.datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 5)]
WITHIN_A_DAY = [dt.timedelta(0), dt.timedelta(hours=12, microseconds=250), DAY - dt.timedelta(microseconds=1)]
MOMENTS = [day + within for day in DAYS for within in WITHIN_A_DAY]

COMPARED = tuple(name for name in COLUMNS if name != "event_key")
ALIKE = ("event_id", "list_id", "xxh", "action", "datetime", "message_id", "campaign_id", "smid")

ANN, BOB, CAT = range(3)
XXH = ["0000000000000001", "9202595093f237d4", "fffffffffffffffe"]
# What is asked, how its rows name it, and whom it finds.
LOOKUPS: list[tuple[Any, tuple[str, str], int | None]] = [
    ("ann@example.com", ("email", "ann@example.com"), ANN),
    ({"matching": "email", "email": "ann@example.com"}, ("email", "ann@example.com"), ANN),
    ({"xxh": XXH[ANN]}, ("xxh", XXH[ANN]), ANN),
    ({"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}, ("custom", "CRM_ID=7"), ANN),
    ("bob@example.com", ("email", "bob@example.com"), BOB),
    ({"matching": "email_phone", "email": "bob@example.com", "phone": "+79000000001"},
     ("email_phone", "bob@example.com +79000000001"), BOB),
    ({"matching": "phone", "phone": "+79000000002"}, ("phone", "+79000000002"), CAT),
    ({"xxh": XXH[CAT]}, ("xxh", XXH[CAT]), CAT),
    ("nobody@example.com", ("email", "nobody@example.com"), None),
]  # fmt: skip


# What is drawn


@dataclass(frozen=True)
class Happening:
    """An event of a person in one of the two databases; ``like`` says how it may resemble others."""

    base: int
    person: int
    action: str
    at: dt.datetime
    message: int | None
    campaign: int | None
    like: str


@dataclass(frozen=True)
class Pull:
    """What a task pulls; ``lookups`` are places in ``LOOKUPS``, ``None`` is the whole database."""

    base: int
    lookups: tuple[int, ...] | None
    date_from: str | None
    date_to: str | None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def asked(self) -> dict[tuple[str, str], int | None]:
        """Whom each lookup finds, each once, in their order."""
        return {text: whom for _, text, whom in (LOOKUPS[index] for index in self.lookups or ())}

    @property
    def start(self) -> dt.datetime:
        start = dt.datetime.min.replace(tzinfo=UTC) if self.date_from is None else _instant(self.date_from)
        return start - dict(self.options).get("lookback", dt.timedelta(0))

    @property
    def end(self) -> dt.datetime:
        if self.date_to is None:
            return dt.datetime.max.replace(tzinfo=UTC)
        return _instant(self.date_to) + (DAY if len(self.date_to) == 10 else dt.timedelta(0))

    def covers(self, at: dt.datetime) -> bool:
        return self.start <= at < self.end


class Run(NamedTuple):
    """A try of a pull. ``trouble`` is what goes wrong with it, and when; it then runs again as a ``Run`` or never."""

    pull: int
    trouble: str | None
    after: int


class Late(NamedTuple):
    """Events that come up now, whatever their time."""

    events: tuple[Happening, ...]


class Change(NamedTuple):
    """The platform counts one of the events that it has again."""

    which: int
    count: int


@dataclass(frozen=True)
class Story:
    knobs: dict[str, Any]
    before: tuple[Happening, ...]
    pulls: tuple[Pull, ...]
    steps: tuple[Run | Late | Change, ...]


HAPPENINGS = st.builds(
    Happening,
    base=st.sampled_from([0, 0, 0, 0, 1]),
    person=st.sampled_from([ANN, BOB, CAT]),
    action=st.sampled_from(["open", "click_sms", "brand_new"]),
    at=st.sampled_from(MOMENTS),
    message=st.sampled_from([1, 2, None]),
    campaign=st.sampled_from([1, None]),
    like=st.sampled_from(["no other", "others", "others", "by its event_id", "of the other list"]),
)
KNOBS = st.fixed_dictionaries(
    {
        "style": st.sampled_from(["new", "old"]),
        "list_id_name": st.sampled_from(["list_id", "db_id"]),
        "empty_data": st.sampled_from(["list", "null", "absent"]),
        "order": st.sampled_from(["newest", "oldest", "shuffled"]),
        "timezone": st.sampled_from(["UTC", "Europe/Moscow", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Riga"]),
        "date_to_inclusive": st.booleans(),
        "cursor": st.sampled_from(["exclusive", "inclusive"]),
        "database_order": st.sampled_from(["xxh", "time"]),
        "composed_cursors": st.sampled_from(["taken", "refused", "ignored"]),
    }
)
ZONES = st.sampled_from([UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))])

BROKEN = ["refused", "down", "cut in a write", "dead in a write", "cut at the commit", "dead at the commit"]
REPORTED_TOO_LATE = "dead after the commit"


def _dates(low: dt.datetime, high: dt.datetime) -> tuple[str, str]:
    return f"{low:%Y-%m-%d}", f"{high:%Y-%m-%d}"


def _pairs(moments: list[dt.datetime]) -> st.SearchStrategy[tuple[dt.datetime, ...]]:
    return st.tuples(st.sampled_from(moments), st.sampled_from(moments)).map(lambda pair: tuple(sorted(pair)))


def _windows(*, whole_days: bool, both: bool) -> st.SearchStrategy[tuple[str | None, str | None]]:
    dates = (st.just((DAYS[0], DAYS[-1])) | _pairs(DAYS)).map(lambda pair: _dates(*pair))
    spans = _pairs(DAYS if whole_days else MOMENTS).filter(lambda pair: pair[0] < pair[1])
    instants = st.tuples(spans, ZONES).map(lambda drawn: tuple(at.astimezone(drawn[1]).isoformat() for at in drawn[0]))
    windows = dates | instants
    if both:
        return windows
    return windows | windows.map(lambda pair: (pair[0], None)) | windows.map(lambda pair: (None, pair[1])) | st.just(
        (None, None)
    )  # fmt: skip


@st.composite
def pulls(draw: st.DrawFn, *, whole_days: bool, again: bool) -> Pull:
    """A pull of either operator.

    Args:
        draw: hypothesis'.
        whole_days: the window must have both ends and consist of whole days.
        again: days before the window may be taken again.
    """
    base = draw(st.sampled_from([0, 0, 0, 0, 1]))
    if draw(st.booleans()):
        lookups = draw(st.lists(st.sampled_from(range(len(LOOKUPS))), min_size=1, max_size=4))
        return Pull(base, tuple(lookups), *draw(_windows(whole_days=whole_days, both=whole_days)))
    options = {
        "page_size": draw(st.integers(2, 6)),
        "parallel_ranges": draw(st.sampled_from([None, 1, 2])),
        "parallel_partitions": draw(st.sampled_from([1, 1, 3])),
        "fields": draw(st.sampled_from([(), ("CRM_ID",)])),
    } | ({"lookback": draw(st.sampled_from([dt.timedelta(0), DAY]))} if again else {})
    return Pull(base, None, *draw(_windows(whole_days=whole_days, both=True)), tuple(options.items()))


@st.composite
def stories(draw: st.DrawFn, *, whole_days: bool = False, again: bool = False, reported_too_late: bool = True) -> Story:
    """What happens to one target.

    Args:
        draw: hypothesis'.
        whole_days: see ``pulls``.
        again: see ``pulls``.
        reported_too_late: whether a task may die between its commit and the news of it.
    """
    some = draw(st.lists(pulls(whole_days=whole_days, again=again), min_size=2, max_size=3))
    troubles = [
        None,
        None,
        None,
        None,
        None,
        "one answer",
        *BROKEN,
        *([REPORTED_TOO_LATE] if reported_too_late else []),
    ]
    run = st.builds(Run, st.integers(0, len(some) - 1), st.sampled_from(troubles), st.integers(0, 4))
    late = st.builds(Late, st.lists(HAPPENINGS, min_size=1, max_size=3).map(tuple))
    change = st.builds(Change, st.integers(0, 9), st.integers(2, 9))
    steps = draw(st.lists(st.one_of(run, run, run, late, change), min_size=4, max_size=7))
    last = [Run(number, None, 0) for number in range(len(some))]
    return Story(draw(KNOBS), tuple(draw(st.lists(HAPPENINGS, min_size=6, max_size=14))), tuple(some), (*steps, *last))


# The platform


class Platform:
    """Two databases of an emulator, new ones for each story, with the same people in both."""

    def __init__(self, api: Emulator, first: int, knobs: dict[str, Any]) -> None:
        self.api = api
        self.lists = (first, first + 1)
        self._people: list[list[Profile]] = []
        self._added = 0
        api.reset()
        for name, value in knobs.items():
            setattr(api, name, value)
        for list_id in self.lists:
            api.add_database(list_id)
            self._people.append(
                [
                    api.add_profile(list_id=list_id, xxh=XXH[ANN], email="ann@example.com", custom={"CRM_ID": "7"}),
                    api.add_profile(list_id=list_id, xxh=XXH[BOB], email="bob@example.com", phone="+79000000001"),
                    api.add_profile(list_id=list_id, xxh=XXH[CAT], phone="+79000000002"),
                ]
            )

    def happen(self, events: Iterable[Happening]) -> None:
        for event in events:
            self._added += 1
            own = {"others": ..., "by its event_id": "one", "of the other list": f"f{self._added}"}
            fields = {"event_id": own[event.like]} if event.like in own else {}
            inclusive = self.api.cursor == "inclusive"
            for _ in range(2 if event.like == "others" and not inclusive else 1):
                self.api.add_event(
                    whose := self._people[event.base][event.person],
                    event.action,
                    at=event.at,
                    # Where a cursor repeats rows, events alike at a page's border may be the same in another order.
                    message_id=100 + self._added if inclusive else event.message,
                    campaign_id=event.campaign,
                    **fields,
                )
            if event.like == "of the other list":
                held = self.api.database(self.lists[event.base]).events(whose)
                max(held, key=lambda each: each.serial).fields["list_id"] = self.lists[1 - event.base]

    def change(self, which: int, count: int) -> None:
        """Count an event again, which the emulator has no word for."""
        database = self.api.database(self.lists[which == 9])
        events = [event for profile in database.walk() for event in database.events(profile)]
        if events:
            event = events[which % len(events)]
            event.fields["count"] = count
            event.fields["campaign_name"] = f"Renamed {count}"

    def gives(self, pull: Pull) -> Rows:
        """The rows that a pull must get now, those of one lookup after the other."""
        held = []
        for row in self.api.events(self.lists[pull.base]):
            at = dt.datetime.fromisoformat(row["datetime"])
            if pull.covers(at):
                held.append(_columns(row) | {"datetime": at})
        if pull.lookups is None:
            names = dict(pull.options).get("fields", ())
            return [self._with_fields(row, names, pull.base) | {"matching": None, "lookup": None} for row in held]
        return [
            row | {"matching": matching, "lookup": lookup}
            for (matching, lookup), whom in pull.asked.items()
            for row in held
            if whom is not None and row["xxh"] == XXH[whom]
        ]

    def _with_fields(self, row: dict[str, Any], names: Iterable[str], base: int) -> dict[str, Any]:
        if not names:
            return row
        own = self._people[base][XXH.index(row["xxh"])].fields()
        extra = json.loads(row["extra"] or "{}") | {"fields": {name: own[name] for name in names if name in own}}
        return row | {"extra": as_json(extra)}


Rows = list[dict[str, Any]]


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the platform as the columns of a target."""
    row = dict(row)
    row["list_id"] = row.pop("db_id", row.get("list_id"))
    row["channel"] = row.get("channel") or channel_of(row["action"])
    extra = {name: row[name] for name in row if name not in COLUMNS}
    return {name: row.get(name) for name in COMPARED} | {"extra": as_json(extra) if extra else None}


def as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _instant(text: str) -> dt.datetime:
    at = dt.datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def spoil(api: Emulator, run: Run) -> None:
    """Have the platform fail as the run says."""
    if run.trouble == "one answer":
        api.play(*[faults.ok()] * run.after, faults.reset())
    elif run.trouble in {"refused", "down"}:
        api.play(*[faults.ok()] * run.after)
        api.play_forever(faults.error(403, "no access") if run.trouble == "refused" else faults.html(502))
