"""Gives a DAG that an action starts all events since the task's last run, each exactly once."""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, BaseOperator, conf

from airflow_provider.altcraft._airflow.event_loop import run_apart
from airflow_provider.altcraft._airflow.interrupt import Interruptible, interruptible
from airflow_provider.altcraft._airflow.rendering import RenderedOperator
from airflow_provider.altcraft._airflow.undefined import DefinedNames
from airflow_provider.altcraft._arguments import (
    check_event_key_by,
    check_list_id_constant,
    check_number_constant,
    check_profile_constants,
    check_since_constant,
    from_json,
    instant_of,
    is_function,
    is_template,
    list_id_of,
    timedelta_of,
    whole_number,
)
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.hooks.links import DocsLink
from airflow_provider.altcraft.operators._ledger import Keyed, Ledger, Store, Variables
from airflow_provider.altcraft.sensors._moments import run_due
from airflow_provider.altcraft.sensors.action import RUN_DUE
from airflow_provider.altcraft.waiting.audience import DEFAULT_LOOKBACK, Audience, names_of
from airflow_provider.altcraft.waiting.condition import warn_of_undocumented, whole_second
from airflow_provider.altcraft.window import DateLike, Window, zone_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient

log = logging.getLogger(__name__)

MAX_EVENTS = 1000
"""Events of a run, at most: Airflow maps a task over up to 1,024 by default."""

_RETURN_VALUE = "return_value"
"""Key of the XCom of a task's result."""


@contextmanager
def events_since_last_run(
    context: Context | Mapping[str, Any],
    *,
    actions: str | Collection[str],
    profiles: Any = None,
    list_id: int | str | None = None,
    since: DateLike = RUN_DUE,
    lookback: dt.timedelta | str = DEFAULT_LOOKBACK,
    timezone: str = "UTC",
    max_events: int | str = MAX_EVENTS,
    asset: Any = None,
    event_key_by: Literal["row", "event_id"] = "row",
    altcraft_conn_id: str = AltcraftHook.default_conn_name,
) -> Iterator[list[dict[str, Any]]]:
    """All events that no earlier run of this task was given, oldest first; for a ``with`` block within a task.

    They are given to this run once the block is left without an error: then no other run gets them, and this run gets
    the same again when it is cleared. Left with an error, they are not given: the next try, or run, gets them. What
    starts the run does not matter: the platform is asked.

    Args:
        context: the task's context.
        actions: one action or several; any string.
        profiles: a profile or several, as in ``AltcraftHistoryOperator``; ``None`` is everybody in the database.
        list_id: the profile database; the connection's own where ``None``.
        since: only events from then on count; the moment the first run was due (or the earliest event that a watcher
            has announced by then), a date (its first instant in ``timezone``), or an aware date-time.
        lookback: how late an event may appear and still count: a ``timedelta`` or its ISO 8601 text, such as ``PT6H``.
        timezone: IANA name of the time zone of the days in ``since`` and ``lookback``.
        max_events: how many events a run is given at most; the rest waits for the next one. Where tasks are mapped over
            this one's output, no more than Airflow's ``[core] max_map_length``.
        asset: of ``inlets`` or ``outlets``, in whose state store it is kept which events were given (Airflow 3.3);
            without it they are kept in Airflow Variables.
        event_key_by: what ``event_key`` is made of: several fields of the ``row``, or ``event_id`` alone, for those who
            know that theirs is unique.
        altcraft_conn_id: the connection.

    Yields:
        The events, mappings as ``HistoryEvent`` dumps them, without what is ``None`` and with ``event_key``.

    Raises:
        ValueError: an argument or the connection does not fit, or several of the task's instances may run at once.
        AltcraftError: the platform could not be asked, or refused.
    """
    names = names_of(from_json(actions, "actions"))
    warn_of_undocumented(names)
    check_event_key_by(event_key_by)
    audience = Audience.of(profiles() if is_function(profiles) else profiles, list_id_of(list_id))
    asked = whole_number(max_events, "max_events", 1)
    _check_alone(context)
    most = _most_mapped(context["task"], asked)
    how: dict[str, Any] = {"lookback": timedelta_of(lookback, "lookback"), "zone": zone_of(timezone)}
    ledger = _ledger_of(context, asset, since, **how, event_key_by=event_key_by)
    poll = partial(_poll, _client(altcraft_conn_id), audience, names, event_key_by)
    events = ledger.assign(context["run_id"], poll, int(min(asked, most)))
    _check_mapped(len(events), most)
    yield [event.model_dump(mode="json", exclude_none=True) | {"event_key": key} for key, event in events]
    ledger.store()


class AltcraftEventsOperator(Interruptible, DefinedNames, RenderedOperator, BaseOperator):
    """Gives its run all events that no earlier run was given: to map tasks over, or to hand on as a list.

    When the task has succeeded, the events are this run's for good: no other run gets them, and the task gives the same
    again when it is cleared. So what follows in the run happens once for each event, and where it fails, it is this run
    that is to be cleared. Its instances run one at a time, over all runs.

    Arguments are those of ``events_since_last_run``; ``asset`` is added to ``inlets``.

    Returns:
        The XCom: the events, a list of mappings as ``HistoryEvent`` dumps them, without what is ``None`` and with
        ``event_key``; oldest first.

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: an argument, the connection or the account does not fit, so that a retry would not help.
    """

    operator_extra_links = (DocsLink(),)
    template_fields: Sequence[str] = (
        "actions",
        "profiles",
        "list_id",
        "since",
        "lookback",
        "timezone",
        "max_events",
        "altcraft_conn_id",
    )
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        actions: str | Collection[str],
        profiles: Any = None,
        list_id: int | str | None = None,
        since: DateLike = RUN_DUE,
        lookback: dt.timedelta | str = DEFAULT_LOOKBACK,
        timezone: str = "UTC",
        max_events: int | str = MAX_EVENTS,
        asset: Any = None,
        event_key_by: Literal["row", "event_id"] = "row",
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("max_active_tis_per_dag", 1)
        if asset is not None:
            kwargs["inlets"] = [*(kwargs.get("inlets") or []), asset]
        super().__init__(**kwargs)
        self.actions = actions
        self.profiles = profiles
        self.list_id = list_id
        self.since = since
        self.lookback = lookback
        self.timezone = timezone
        self.max_events = max_events
        self.asset = asset
        self.event_key_by: Literal["row", "event_id"] = event_key_by
        check_event_key_by(event_key_by)
        self.altcraft_conn_id = altcraft_conn_id
        if not is_template(actions):
            warn_of_undocumented(names_of(actions))
        check_profile_constants(profiles)
        check_list_id_constant(list_id)
        if not is_template(lookback):
            timedelta_of(lookback, "lookback")
        check_number_constant(max_events, "max_events", 1)
        check_since_constant(since, timezone)

    @interruptible
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask, note what is given, and give it. The result is the XCom."""
        from airflow_provider.altcraft.client import FatalError

        try:
            self.check_rendered()
            names = (*AltcraftEventsOperator.template_fields, "asset", "event_key_by")
            arguments: dict[str, Any] = {name: getattr(self, name) for name in names}
            with events_since_last_run(context, **arguments) as events:
                self.log.info("This run is given %s", counted(len(events), "event"))
                if self.do_xcom_push:  # now: what Airflow cannot take is not noted as given
                    context["ti"].xcom_push(key=_RETURN_VALUE, value=events)
                return events
        except (ValueError, FatalError, AirflowNotFoundException) as error:
            raise AirflowFailException(str(error)) from error


def _client(altcraft_conn_id: str) -> BulkClient:
    from airflow_provider.altcraft.client._bulk import BulkClient

    base_url, token, options = AltcraftHook(altcraft_conn_id).client_arguments()
    return BulkClient(base_url, token, **options)


def _poll(
    client: BulkClient,
    audience: Audience,
    actions: Collection[str],
    event_key_by: Literal["row", "event_id"],
    window: Window,
) -> Keyed:
    async def poll() -> Keyed:
        async with client:
            return await audience.poll(client, actions, window, event_key_by)

    return run_apart(poll())


def _check_alone(context: Mapping[str, Any] | Context) -> None:
    """Refuse a task of which two instances may run at once: both would be given the same events."""
    task, dag = context["task"], context["dag"]
    if getattr(context["ti"], "map_index", -1) not in {-1, None}:
        raise ValueError("A mapped task cannot be given events: map over the output of one that is not mapped")
    if task.max_active_tis_per_dag != 1 and dag.max_active_runs != 1:
        raise ValueError(
            "Two runs at once would be given the same events: set max_active_tis_per_dag=1 on the task, or "
            "max_active_runs=1 on the DAG"
        )


def _ledger_of(
    context: Mapping[str, Any] | Context, asset: Any, since: DateLike, *, zone: dt.tzinfo, **how: Any
) -> Ledger:
    announced = None if since != RUN_DUE else _announced(context)
    begin = run_due(context) if since == RUN_DUE else instant_of(since, "since", zone)  # type: ignore[arg-type]
    if begin is None:
        raise ValueError(f"since: expected a date or a date-time, got {since!r}")
    ledger = Ledger(
        _stores(context, asset),
        context["ti"].dag_id,
        context["ti"].task_id,
        since=whole_second(min(begin, announced or begin)),
        zone=zone,
        **how,
    )
    if announced:
        ledger.reach_back(announced)
    return ledger


def _check_mapped(events: int, most: float) -> None:
    if events > most:
        raise ValueError(
            f"This run was given {counted(events, 'event')} before, but tasks are mapped over no more than {most}: "
            f"raise [core] max_map_length to {events}, then clear the task"
        )


def _most_mapped(task: Any, max_events: int) -> float:
    """Return how many events may be given where tasks are mapped over them."""
    if next(task.iter_mapped_dependants(), None) is None:
        return math.inf
    most: int = conf.getint("core", "max_map_length", fallback=1024)
    if max_events > most:
        log.info("max_events is %d, but tasks are mapped over no more than [core] max_map_length, %d", max_events, most)
    return most


def _announced(context: Mapping[str, Any] | Context) -> dt.datetime | None:
    """Return the time of the earliest event that the run's watchers have announced."""
    triggering: Any = context.get("triggering_asset_events") or {}
    payloads = [
        (event.extra or {}).get("payload") for asset in triggering for event in triggering[asset] if event is not None
    ]
    starts = [payload["window"]["start"] for payload in payloads if isinstance(payload, Mapping) and "keys" in payload]
    return min(map(dt.datetime.fromisoformat, starts), default=None)


def _stores(context: Mapping[str, Any] | Context, asset: Any) -> list[Store]:
    accessors: Any = context.get("asset_state_store")
    return [Variables()] if asset is None or accessors is None else [accessors[asset], Variables()]
