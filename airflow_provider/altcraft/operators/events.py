"""What a DAG that an action started works on: all events since the task's last run, each exactly once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider.altcraft._arguments import (
    check_list_id_constant,
    check_profile_constants,
    instant_of,
    is_template,
    list_id_of,
    profiles_of,
)
from airflow_provider.altcraft._watch import DEFAULT_LOOKBACK, People, names_of, seconds_of
from airflow_provider.altcraft.condition import whole_second
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._ledger import Keyed, Ledger, Store, Variables
from airflow_provider.altcraft.sensors.action import RUN_DUE, _run_due
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

LIMIT = 1000
"""Events a run is given at most: Airflow maps a task over up to 1,024 by default."""


@contextmanager
def events_since_last_run(
    context: Context | Mapping[str, Any],
    *,
    actions: str | Sequence[str],
    profiles: Any = None,
    list_id: int | str | None = None,
    since: DateLike = RUN_DUE,
    lookback: float | dt.timedelta = DEFAULT_LOOKBACK,
    limit: int = LIMIT,
    asset: Any = None,
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
            has announced by then), a date (its first instant in UTC), or an aware date-time.
        lookback: seconds: how late an event may appear and still count.
        limit: how many events a run is given at most; the rest waits for the next one.
        asset: of ``inlets`` or ``outlets``, in whose state store it is kept which events were given (Airflow 3.3);
            without it they are kept in Airflow Variables.
        altcraft_conn_id: the connection.

    Yields:
        The events, mappings as ``HistoryEvent`` dumps them, without what is ``None`` and with ``event_key``.

    Raises:
        ValueError: an argument or the connection does not fit, or several of the task's instances may run at once.
        AltcraftError: the platform could not be asked, or refused.
    """
    wanted = names_of(actions)
    lookups = None if profiles is None else [lookup.fields for lookup in profiles_of(profiles)]
    people = People.of(lookups, list_id_of(list_id))
    ago = dt.timedelta(seconds=seconds_of(lookback, "lookback", least=0))
    if limit < 1:
        raise ValueError(f"limit: 1 or more is wanted, not {limit}")
    _check_alone(context)
    announced = None if since != RUN_DUE else _announced(context)
    begin = _run_due(context) if since == RUN_DUE else instant_of(since, "since")  # type: ignore[arg-type]
    if begin is None:
        raise ValueError("since: a date or a date-time is wanted")
    ledger = Ledger(
        _stores(context, asset),
        context["ti"].dag_id,
        context["ti"].task_id,
        since=whole_second(min(begin, announced or begin)),
        lookback=ago,
    )
    if announced:
        ledger.reach_back(announced)
    with AltcraftHook(altcraft_conn_id).get_conn() as client:

        def look(window: Window) -> Keyed:
            return people.look(client, wanted, window)

        events = ledger.give(context["run_id"], look, limit)
    yield [event.model_dump(mode="json", exclude_none=True) | {"event_key": key} for key, event in events]
    ledger.keep()


class AltcraftEventsOperator(BaseOperator):
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

    template_fields: Sequence[str] = ("profiles", "list_id", "since", "altcraft_conn_id")
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        actions: str | Sequence[str],
        profiles: Any = None,
        list_id: int | str | None = None,
        since: DateLike = RUN_DUE,
        lookback: float | dt.timedelta = DEFAULT_LOOKBACK,
        limit: int = LIMIT,
        asset: Any = None,
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("max_active_tis_per_dag", 1)
        if asset is not None:
            kwargs["inlets"] = [*(kwargs.get("inlets") or []), asset]
        super().__init__(**kwargs)
        self.actions = names_of(actions)
        self.profiles = profiles
        self.list_id = list_id
        self.since = since
        self.lookback = seconds_of(lookback, "lookback", least=0)
        self.limit = limit
        self.asset = asset
        self.altcraft_conn_id = altcraft_conn_id
        check_profile_constants(profiles)
        check_list_id_constant(list_id)
        if since != RUN_DUE and not is_template(since):
            instant_of(since, "since")
        if limit < 1:
            raise ValueError(f"limit: 1 or more is wanted, not {limit}")

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask, note what is given, and give it. The result is the XCom."""
        from airflow_provider.altcraft.client import FatalError

        try:
            with events_since_last_run(
                context,
                actions=self.actions,
                profiles=self.profiles,
                list_id=self.list_id,
                since=self.since,
                lookback=self.lookback,
                limit=self.limit,
                asset=self.asset,
                altcraft_conn_id=self.altcraft_conn_id,
            ) as events:
                self.log.info("%d events", len(events))
                return events
        except (ValueError, FatalError) as error:
            raise AirflowFailException(str(error)) from error


def _check_alone(context: Mapping[str, Any] | Context) -> None:
    """Two at once would both be given the same events."""
    task, dag = context["task"], context["dag"]
    if getattr(context["ti"], "map_index", -1) not in {-1, None}:
        raise ValueError("A mapped task cannot be given events: map over the output of one that is not mapped")
    if task.max_active_tis_per_dag != 1 and dag.max_active_runs != 1:
        raise ValueError(
            "Two runs at once would be given the same events: set max_active_tis_per_dag=1 on the task, or "
            "max_active_runs=1 on the DAG"
        )


def _announced(context: Mapping[str, Any] | Context) -> dt.datetime | None:
    """The time of the earliest event that the run's watchers have announced."""
    triggering: Any = context.get("triggering_asset_events") or {}
    payloads = [
        (event.extra or {}).get("payload") for asset in triggering for event in triggering[asset] if event is not None
    ]
    starts = [payload["window"]["start"] for payload in payloads if isinstance(payload, Mapping) and "keys" in payload]
    return min(map(dt.datetime.fromisoformat, starts), default=None)


def _stores(context: Mapping[str, Any] | Context, asset: Any) -> list[Store]:
    accessors: Any = context.get("asset_state_store")
    return [Variables()] if asset is None or accessors is None else [accessors[asset], Variables()]
