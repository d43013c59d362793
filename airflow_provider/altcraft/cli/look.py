"""The commands that look at the platform and write nothing."""

from __future__ import annotations

import logging
import os
from argparse import Namespace
from getpass import getuser
from typing import TYPE_CHECKING, Any, Final

from airflow_provider.altcraft._airflow.connection_tests import keep_test
from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.cli._arguments import list_id_given, lookup_of, window_between
from airflow_provider.altcraft.cli._errors import CommandError
from airflow_provider.altcraft.cli._output import Record, Rows
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.waiting.condition import warn_of_undocumented
from airflow_provider.altcraft.window import zone_of

if TYPE_CHECKING:
    import datetime as dt

    from airflow_provider.altcraft.client import HistoryEvent

log = logging.getLogger(__name__)

_SHOWN: Final = ("datetime", "action", "channel", "message_id", "message_name", "campaign_name")
"""The columns of a table of events. The other formats have all fields."""


def history(options: Namespace) -> Rows:
    """Return a person's events, oldest first."""
    from airflow_provider.altcraft.client import HistoryEvent

    lookup, list_id = lookup_of(options), list_id_given(options)
    window = window_between(options, "since", "until")
    actions = {name.strip() for name in options.actions.split(",")} if options.actions else None
    warn_of_undocumented(actions or (), "--actions")
    events = AltcraftHook(options.conn_id).get_history(
        lookup, list_id=list_id, date_from=window.start, date_to=window.end, actions=actions
    )
    zone = zone_of(options.timezone)
    return Rows(
        rows=[_row(event, zone) for event in events],
        columns=_SHOWN,
        fields=["datetime", *(name for name in HistoryEvent.model_fields if name != "datetime"), "extra"],
    )


def _row(event: HistoryEvent, zone: dt.tzinfo) -> dict[str, Any]:
    """Return an event with all its fields, those that this package does not know as ``extra``."""
    sent = event.model_dump(mode="json")
    extra = event.model_extra or {}
    row = {"datetime": event.datetime.astimezone(zone).isoformat()}
    return row | {name: value for name, value in sent.items() if name not in {"datetime", *extra}} | {"extra": extra}


def databases(options: Namespace) -> Rows:
    """Return the databases that the token sees."""
    found = AltcraftHook(options.conn_id).list_databases()
    fields = ("id", "name", "description")
    rows = [{name: getattr(each, name) for name in fields} for each in found]
    return Rows(rows=rows, columns=fields, fields=fields)


def timezone(options: Namespace) -> Record:
    """Return how far the account's days are from UTC, by real events."""
    from airflow_provider.altcraft.client import AltcraftClient

    list_id = list_id_given(options)
    base_url, token, settings = AltcraftHook(options.conn_id).client_arguments()
    if list_id is not None:
        settings["list_id"] = list_id
    with AltcraftClient(base_url, token, **settings) as client:
        list_id, named = client.settings.database(None), client.settings.timezone
        finder = client.find_zone()
    text = finder.text(named).strip()
    if not text:
        seen = f"the clock was changed on {min(finder.days)} to {max(finder.days)}" if finder.events else "it has none"
        raise CommandError(f"database {list_id}: expected events of recent days that show the time zone; {seen}")
    record = {
        "list_id": list_id,
        "timezone": named,
        "least_offset_minutes": int(finder.least.total_seconds() // 60),
        "most_offset_minutes": int(finder.most.total_seconds() // 60),
        "events": finder.events,
        "days": [str(day) for day in sorted(finder.days)],
        "message": text,
    }
    return Record(record=record, words=text)


def test(options: Namespace) -> Record:
    """Return what the Test button of the connection's page would say."""
    status, message = AltcraftHook(options.conn_id).test_connection()
    _keep(options.conn_id, status, message)
    if options.output == "table" and not status:
        raise CommandError(message)
    return Record(record={"status": status, "message": message}, words=message, code=0 if status else 1)


def _keep(conn_id: str, status: bool, message: str) -> None:
    """Store the test for the page that lists connections, where Airflow has a database."""
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            keep_test(session, conn_id, status=status, message=redacted(message), owner=_user())
    except SQLAlchemyError as error:
        log.warning("The test could not be kept in Airflow's audit log: %s", type(error).__name__)


def _user() -> str:
    """Return who runs the command: a name, or a number where the number has none, as in many a container."""
    try:
        return getuser()
    except (KeyError, OSError):
        return str(os.getuid())
