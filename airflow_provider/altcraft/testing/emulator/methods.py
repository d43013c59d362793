"""The platform's API methods. Each takes a request's body and returns the response's envelope without ``error``."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider.altcraft.testing.emulator import checks
from airflow_provider.altcraft.testing.emulator.data import FIRST, LAST
from airflow_provider.altcraft.testing.emulator.rows import Event, Profile, Row, to_micros

if TYPE_CHECKING:
    from airflow_provider.altcraft.testing.emulator.data import Database
    from airflow_provider.altcraft.testing.emulator.platform import Platform

_SECOND = 1_000_000
_CURSOR = re.compile(r"([0-9a-f]{16})\.(\d{8}(?:\d{6})?)(?:\.(\d+))?")


class _Position(NamedTuple):
    """The position of a row in a database's history: profile, second, and number among the rows of that second."""

    xxh: str
    second: int
    place: int


class _Entry(NamedTuple):
    """One event in a database's history."""

    position: _Position
    profile: Profile
    event: Event


_BEGINNING = _Position("", FIRST, 0)


def history_get(api: Platform, body: checks.Body) -> Row:
    """Return the history of one profile; of an unknown one, what ``unknown_profile`` says."""
    checks.refuse_unknown(body, "format", "list_id", "xxh", "matching", "date_from", "date_to", *checks.LOOKUP_FIELDS)
    keys = checks.lookup_keys(body)
    low, high = _window(api, body, required=False)
    database = _database(api, body, "list_id")
    _refuse_unknown_fields(database, [key[1] for key in keys if key[0] == "custom"])
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
    """Return a page of a database's history."""
    checks.refuse_unknown(body, "format", "list_id", "from_id", "limit", "date_from", "date_to", "fields")
    cursor = checks.text(body, "from_id")
    limit = checks.integer(body, "limit", default=1000)
    fields = checks.text_list(body, "fields")
    low, high = _window(api, body, required=True)
    database = _database(api, body, "list_id")
    _refuse_unknown_fields(database, fields or [])
    start = _start(api, database, cursor) if cursor else _BEGINNING
    page, following = _page(api, _ORDERS[api.database_order](database, start, low, high), limit)
    rows = [api.row(entry.event) for entry in page]
    if fields is not None:
        for row, entry in zip(rows, page, strict=True):
            own = entry.profile.fields()
            row["fields"] = {name: own[name] for name in fields if name in own}
    return _data(api, rows) | {"next_from_id": api.issue_cursor(_cursor(api, page[-1], following)) if page else cursor}


def databases_list(api: Platform, body: checks.Body) -> Row:
    """Return a page of the databases that the token may see."""
    checks.refuse_unknown(body, "from_id", "limit")
    after = checks.integer(body, "from_id", default=0)
    limit = checks.integer(body, "limit", default=1000)
    visible = sorted(api.rights)
    page = [each for each in visible if each > after][:limit]
    rows = [
        {"id": each, "name": api.database(each).name, "ui_tags": [], "Groups": [{"Id": 0, "Name": "main"}]}
        for each in page
    ]
    return _data(api, rows) | {"next_from_id": page[-1] if page else after, "total_count": len(visible)}


def databases_get(api: Platform, body: checks.Body) -> Row:
    """Return one database."""
    checks.refuse_unknown(body, "id")
    database = _database(api, body, "id")
    return {"data": {"id": database.list_id, "name": database.name, "description": database.description}}


def profiles_list(api: Platform, body: checks.Body) -> Row:
    """Return a page of profiles, by ``profile_id``."""
    checks.refuse_unknown(body, "db_id", "from_id", "limit", "query", "fields")
    after = checks.profile_id(body, "from_id")
    limit = checks.integer(body, "limit", default=1000)
    fields = checks.text_list(body, "fields")
    query = body.get("query", {})
    if not isinstance(query, dict):
        raise checks.bad_request("query must be an object")
    database = _database(api, body, "db_id")
    _refuse_unknown_fields(database, [*(fields or []), *query])
    page = list(islice((each for each in database.profiles(after) if _matches(each, query)), limit))
    rows = []
    for profile in page:
        own = profile.fields()
        names = own if fields is None else [name for name in fields if name in own]
        rows.append({"id": profile.profile_id} | {name: own[name] for name in names})
    return _data(api, rows) | {"next_from_id": page[-1].profile_id if page else after}


METHODS: dict[str, Callable[[Platform, checks.Body], Row]] = {
    "subscribers/history_get": history_get,
    "subscribers/history_get_all": history_get_all,
    "databases/list/": databases_list,
    "databases/get/": databases_get,
    "profiles/list": profiles_list,
}


def _database(api: Platform, body: checks.Body, name: str) -> Database:
    list_id = checks.integer(body, name)
    try:
        database = api.database(list_id)
    except LookupError:
        raise checks.bad_request(f"{name}: no database {list_id}") from None
    if list_id not in api.rights:
        raise checks.RefusalError(403, f"no access to database {list_id}")
    return database


def _refuse_unknown_fields(database: Database, names: Iterable[str]) -> None:
    for name in names:
        if database.fields is not None and name not in database.fields:
            raise checks.bad_request(f"database {database.list_id} has no field {name!r}")


def _window(api: Platform, body: checks.Body, *, required: bool) -> tuple[int, int]:
    first = checks.day(body, "date_from", required=required)
    last = checks.day(body, "date_to", required=required)
    if first and last and first > last:
        raise checks.bad_request("date_from is later than date_to")
    return api.days_to_window(first, last)


def _data(api: Platform, rows: list[Row]) -> Row:
    if rows or api.empty_data == "list":
        return {"data": rows}
    return {"data": None} if api.empty_data == "null" else {}


def _start(api: Platform, database: Database, cursor: str) -> _Position:
    """Return the position that a page begins at or, where cursors are exclusive, after.

    A cursor without a place stands for all rows of its second. The client may have composed it.
    """
    if api.composed_cursors != "taken" and not api.has_issued(cursor):
        if api.composed_cursors == "ignored":
            return _BEGINNING
        raise checks.bad_request("from_id must be a cursor that this method gave")
    parts = _CURSOR.fullmatch(cursor)
    try:
        at = datetime.strptime(f"{parts[2] if parts else '':0<14}+0000", "%Y%m%d%H%M%S%z")
    except ValueError:
        parts = None
    if not parts or (api.cursor_of_deleted == "refused" and database.has_deleted(parts[1])):
        raise checks.bad_request("from_id must be a cursor that this method gave")
    no_place = 0 if api.cursor == "inclusive" else LAST
    return _Position(parts[1], to_micros(at) // _SECOND, int(parts[3]) if parts[3] else no_place)


def _by_profile(database: Database, start: _Position, low: int, high: int) -> Iterator[_Entry]:
    for profile in database.walk(start.xxh, low, high):
        second, place = FIRST, 0
        for event in database.events(profile, low, high):
            place = place + 1 if event.at // _SECOND == second else 0
            second = event.at // _SECOND
            position = _Position(profile.xxh, second, place)
            if position >= start:
                yield _Entry(position, profile, event)


def _by_time(database: Database, start: _Position, low: int, high: int) -> Iterator[_Entry]:
    def time_of(position: _Position) -> tuple[int, str, int]:
        return position.second, position.xxh, position.place

    entries = sorted(_by_profile(database, _BEGINNING, low, high), key=lambda entry: time_of(entry.position))
    return (entry for entry in entries if time_of(entry.position) >= time_of(start))


_ORDERS = {"xxh": _by_profile, "time": _by_time}


def _page(api: Platform, entries: Iterator[_Entry], limit: int) -> tuple[list[_Entry], _Entry | None]:
    """Return as many entries as ``limit`` allows, and the one that follows them."""
    page: list[_Entry] = []
    counted: set[object] = set()
    for entry in entries:
        counted.add(entry.position if api.limit_counts == "rows" else entry.profile.xxh)
        if len(counted) > limit:
            return page, entry
        page.append(entry)
    return page, None


def _cursor(api: Platform, last: _Entry, following: _Entry | None) -> str:
    """Return the cursor after the last entry of a page.

    It has a place only where one is needed, because cursors seen on the real platform have none.
    """
    xxh, second, place = last.position
    if api.cursor == "exclusive":
        place = place + 1 if following and following.position[:2] == (xxh, second) else 0
    at = datetime(1970, 1, 1) + timedelta(seconds=second)  # noqa: DTZ001 - written as UTC, without a zone
    return f"{xxh}.{at:%Y%m%d%H%M%S}" + (f".{place}" if place else "")


def _matches(profile: Profile, query: dict[str, Any]) -> bool:
    """Return whether a profile matches a MongoDB-style query; ``$in`` is the only operator that the emulator has."""
    own = profile.fields()
    for name, value in query.items():
        values = [value]
        if isinstance(value, dict):
            if set(value) != {"$in"} or not isinstance(value["$in"], list):
                raise checks.bad_request(f"query: of the operators on {name} the emulator knows only $in with an array")
            values = value["$in"]
        if own.get(name) not in values:
            return False
    return True
