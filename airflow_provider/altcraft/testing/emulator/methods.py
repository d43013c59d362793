"""The platform's methods: each reads a request's body and gives the answer's envelope without ``error``."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from airflow_provider.altcraft.testing.emulator import checks
from airflow_provider.altcraft.testing.emulator.data import FIRST, LAST
from airflow_provider.altcraft.testing.emulator.rows import Event, Profile, Row, to_micros

if TYPE_CHECKING:
    from airflow_provider.altcraft.testing.emulator.data import Database
    from airflow_provider.altcraft.testing.emulator.platform import Platform

_SECOND = 1_000_000
_CURSOR = re.compile(r"([0-9a-f]{16})\.(\d{8}(?:\d{6})?)(?:\.(\d+))?")


class _Position(NamedTuple):
    """Where a row stands in a database's history: profile, second, and place among the rows of that second."""

    xxh: str
    second: int
    place: int


_Placed: TypeAlias = tuple[_Position, Profile, Event]


def history_get(api: Platform, body: checks.Body) -> Row:
    """One profile's history. Whether nobody found is no history or an error is up to ``unknown_profile``."""
    lookup = {name for fields in checks.MATCHING.values() for name in fields}
    checks.no_others(body, "format", "list_id", "xxh", "matching", "date_from", "date_to", *lookup)
    keys = checks.lookup(body)
    low, high = _window(api, body, required=False)
    database = _database(api, body, "list_id")
    _known(database, [key[1] for key in keys if key[0] == "custom"])
    profile = next(filter(None, map(database.find, keys)), None)
    if not profile and api.unknown_profile == "error":
        raise checks.RefusalError(400, "profile not found")
    events = database.events(profile, low, high) if profile else []
    if api.order == "newest":
        events.reverse()
    elif api.order == "shuffled":
        random.Random(len(events)).shuffle(events)
    return _data(api, [api.row(event) for event in events])


def history_get_all(api: Platform, body: checks.Body) -> Row:
    """A page of a database's history, by ``xxh`` and time."""
    checks.no_others(body, "format", "list_id", "from_id", "limit", "date_from", "date_to", "fields")
    sent = checks.text(body, "from_id")
    limit = checks.number(body, "limit", default=1000)
    fields = checks.texts(body, "fields")
    low, high = _window(api, body, required=True)
    database = _database(api, body, "list_id")
    _known(database, fields or [])
    start = _start(api, database, sent) if sent else _Position("", FIRST, 0)
    every = _FROM[api.database_order](database, start, low, high)
    page, following = _of_rows(every, limit) if api.limit_counts == "rows" else _of_profiles(every, limit)
    rows = [api.row(event) for _, _, event in page]
    if fields is not None:
        for row, (_, profile, _) in zip(rows, page, strict=True):
            own = profile.fields()
            row["fields"] = {name: own[name] for name in fields if name in own}
    return _data(api, rows) | {"next_from_id": api.gave(_cursor(api, page, following)) if page else sent}


def databases_list(api: Platform, body: checks.Body) -> Row:
    """The databases that the token may see."""
    checks.no_others(body, "from_id", "limit")
    after = checks.number(body, "from_id", default=0)
    limit = checks.number(body, "limit", default=1000)
    known = sorted(api.rights)
    page = [each for each in known if each > after][:limit]
    rows = [
        {"id": each, "name": api.database(each).name, "ui_tags": [], "Groups": [{"Id": 0, "Name": "main"}]}
        for each in page
    ]
    return _data(api, rows) | {"next_from_id": page[-1] if page else after, "total_count": len(known)}


def databases_get(api: Platform, body: checks.Body) -> Row:
    """One database."""
    checks.no_others(body, "id")
    database = _database(api, body, "id")
    return {"data": {"id": database.list_id, "name": database.name, "description": database.description}}


def profiles_list(api: Platform, body: checks.Body) -> Row:
    """A page of profiles, by ``profile_id``."""
    checks.no_others(body, "db_id", "from_id", "limit", "query", "fields")
    sent = checks.profile_id(body, "from_id")
    limit = checks.number(body, "limit", default=1000)
    fields = checks.texts(body, "fields")
    wanted = body.get("query", {})
    if not isinstance(wanted, dict):
        raise checks.wrong("query must be an object")
    database = _database(api, body, "db_id")
    _known(database, [*(fields or []), *wanted])
    page = list(islice((each for each in database.profiles(sent) if _fits(each, wanted)), limit))
    rows = []
    for profile in page:
        own = profile.fields()
        names = own if fields is None else [name for name in fields if name in own]
        rows.append({"id": profile.profile_id} | {name: own[name] for name in names})
    return _data(api, rows) | {"next_from_id": page[-1].profile_id if page else sent}


METHODS: dict[str, Callable[[Platform, checks.Body], Row]] = {
    "subscribers/history_get": history_get,
    "subscribers/history_get_all": history_get_all,
    "databases/list/": databases_list,
    "databases/get/": databases_get,
    "profiles/list": profiles_list,
}


def _database(api: Platform, body: checks.Body, name: str) -> Database:
    list_id = checks.number(body, name)
    try:
        database = api.database(list_id)
    except LookupError:
        raise checks.wrong(f"{name}: no database {list_id}") from None
    if list_id not in api.rights:
        raise checks.RefusalError(403, f"no access to database {list_id}")
    return database


def _known(database: Database, names: Iterable[str]) -> None:
    for name in names:
        if database.fields is not None and name not in database.fields:
            raise checks.wrong(f"database {database.list_id} has no field {name!r}")


def _window(api: Platform, body: checks.Body, *, required: bool) -> tuple[int, int]:
    first = checks.day(body, "date_from", required=required)
    last = checks.day(body, "date_to", required=required)
    if first and last and first > last:
        raise checks.wrong("date_from is later than date_to")
    return api.days_to_window(first, last)


def _data(api: Platform, rows: list[Row]) -> Row:
    if rows or api.empty_data == "list":
        return {"data": rows}
    return {"data": None} if api.empty_data == "null" else {}


def _start(api: Platform, database: Database, cursor: str) -> _Position:
    """The position that a page begins at or, where cursors are exclusive, after.

    A cursor with no place stands for all rows of its second. It may also be composed by the client.
    """
    if api.composed_cursors != "taken" and not api.has_given(cursor):
        if api.composed_cursors == "ignored":
            return _Position("", FIRST, 0)
        raise checks.wrong("from_id must be a cursor that this method gave")
    parts = _CURSOR.fullmatch(cursor)
    try:
        at = datetime.strptime(f"{parts[2] if parts else '':0<14}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        parts = None
    if not parts or (api.cursor_of_deleted == "refused" and database.had(parts[1])):
        raise checks.wrong("from_id must be a cursor that this method gave")
    second = to_micros(at) // _SECOND
    if parts[3]:
        return _Position(parts[1], second, int(parts[3]))
    return _Position(parts[1], second, 0 if api.cursor == "inclusive" else LAST)


def _from(database: Database, start: _Position, low: int, high: int) -> Iterator[_Placed]:
    for profile in database.walk(start.xxh, low, high):
        second, place = FIRST, 0
        for event in database.events(profile, low, high):
            place = place + 1 if event.at // _SECOND == second else 0
            second = event.at // _SECOND
            position = _Position(profile.xxh, second, place)
            if position >= start:
                yield position, profile, event


def _by_time(database: Database, start: _Position, low: int, high: int) -> Iterator[_Placed]:
    def at(position: _Position) -> tuple[int, str, int]:
        return position.second, position.xxh, position.place

    every = sorted(_from(database, _Position("", FIRST, 0), low, high), key=lambda found: at(found[0]))
    return (found for found in every if at(found[0]) >= at(start))


_FROM = {"xxh": _from, "time": _by_time}


def _of_rows(every: Iterator[_Placed], limit: int) -> tuple[list[_Placed], _Placed | None]:
    """The first rows, so many, and the row that follows."""
    return list(islice(every, limit)), next(every, None)


def _of_profiles(every: Iterator[_Placed], limit: int) -> tuple[list[_Placed], _Placed | None]:
    """The first rows, as long as they are of so many profiles, and the row that follows."""
    page: list[_Placed] = []
    profiles: set[str] = set()
    for each in every:
        profiles.add(each[1].xxh)
        if len(profiles) > limit:
            return page, each
        page.append(each)
    return page, None


def _cursor(api: Platform, page: list[_Placed], following: _Placed | None) -> str:
    """The cursor after a page.

    Its place is written only where it is needed, because cursors seen on the real platform have none.
    """
    xxh, second, place = page[-1][0]
    if api.cursor == "exclusive":
        place = place + 1 if following and following[0][:2] == (xxh, second) else 0
    at = datetime(1970, 1, 1) + timedelta(seconds=second)  # noqa: DTZ001 - written as UTC, without a zone
    return f"{xxh}.{at:%Y%m%d%H%M%S}" + (f".{place}" if place else "")


def _fits(profile: Profile, query: dict[str, Any]) -> bool:
    """Whether a profile meets a MongoDB-style query; of its operators only ``$in`` is played."""
    own = profile.fields()
    for name, wanted in query.items():
        values = [wanted]
        if isinstance(wanted, dict):
            if set(wanted) != {"$in"} or not isinstance(wanted["$in"], list):
                raise checks.wrong(f"query: of the operators on {name} the emulator knows only $in with an array")
            values = wanted["$in"]
        if own.get(name) not in values:
            return False
    return True
