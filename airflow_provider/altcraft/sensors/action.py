"""The sensor that waits until a profile has done something."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider.altcraft._arguments import (
    check_list_id_constant,
    check_profile_constants,
    instant_of,
    is_template,
    list_id_of,
    profiles_of,
)
from airflow_provider.altcraft.condition import ActionCondition, Match, whole_second
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger
from airflow_provider.altcraft.window import DateLike, utc

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client import ProfileLookup

RUN_DUE: Final = "run_due"
"""``since``: the moment the run was due, which neither retries nor clearing move."""

_GRACE: Final = 60.0
"""Seconds that the trigger has to end by itself once its time is up."""


class AltcraftActionSensor(BaseSensorOperator):
    """Waits until a profile has done an action, such as ``confirm`` or ``form_post``.

    Poking, rescheduling and deferring come to the same outcome; deferring holds no worker while it waits.

    Args:
        profile: a ``ProfileLookup``, a mapping of its fields, or an e-mail.
        actions: one action or several; any string, see ``client.Action`` for the documented ones.
        list_id: the profile database; the connection's own where ``None``.
        since: only events from this moment on count, cut at its whole second: a date (its first instant in UTC) or an
            aware date-time; ``run_due`` for the moment the run was due; ``None`` for at any time.
        match: whether ``any`` of the actions is enough, or ``all`` must be there.
        min_count: how often, by the events' ``count``: all matching actions together for ``any``, each for ``all``.
        message_id: only actions on this message count.
        campaign_id: only actions of this campaign count.
        fail_on: actions that end the wait as failed, such as ``unsub_manual``, ``complain`` or ``hbounce``.
        deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` by default.
        altcraft_conn_id: the connection.

    Returns:
        The XCom: the events that met the wait, a list of mappings as ``HistoryEvent`` dumps them.

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: what a retry would not help: an argument, the connection or the account does not fit (also
            with ``soft_fail``), or an action of ``fail_on`` came (skipped with ``soft_fail``).
        AirflowSensorTimeout: the actions did not come within ``timeout`` (skipped with ``soft_fail``).
    """

    template_fields: Sequence[str] = (
        "profile",
        "actions",
        "list_id",
        "since",
        "match",
        "min_count",
        "message_id",
        "campaign_id",
        "fail_on",
        "altcraft_conn_id",
    )
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        profile: ProfileLookup | Mapping[str, Any] | str,
        actions: str | Sequence[str],
        list_id: int | str | None = None,
        since: DateLike = RUN_DUE,
        match: Match = "any",
        min_count: int | str = 1,
        message_id: int | str | None = None,
        campaign_id: int | str | None = None,
        fail_on: str | Sequence[str] = (),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.profile = profile
        self.actions = actions
        self.list_id = list_id
        self.since = since
        self.match = match
        self.min_count = min_count
        self.message_id = message_id
        self.campaign_id = campaign_id
        self.fail_on = fail_on
        self.deferrable = deferrable
        self.altcraft_conn_id = altcraft_conn_id
        check_profile_constants(profile)
        check_list_id_constant(list_id)
        if since != RUN_DUE and not is_template(since):
            instant_of(since, "since")
        if not any(map(is_template, self._condition_arguments().values())):
            self._condition()

    def execute(self, context: Context) -> Any:
        """Wait in the way that was chosen. The result is the XCom."""
        from airflow_provider.altcraft.client import FatalError

        try:
            if self.deferrable:
                self._defer(context)
            return super().execute(context)
        except AirflowSensorTimeout as error:
            if self.never_fail:  # Airflow heeds it for what poke raises, but not here
                raise AirflowSkipException(str(error)) from error
            raise
        except (ValueError, FatalError) as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            # Raised here, past what soft_fail turns into a skip: nobody shall wait in vain for a wrong token.
            raise AirflowFailException(str(error)) from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        condition = self._condition()
        events = AltcraftHook(self.altcraft_conn_id).get_history(
            self._lookup(), list_id=list_id_of(self.list_id), date_from=self._since(context)
        )
        verdict = condition.verdict(events)
        found = [event.model_dump(mode="json") for event in verdict.events]
        if verdict.state == "failed":
            raise _contrary(found)
        return PokeReturnValue(is_done=verdict.state == "met", xcom_value=found)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the trigger's outcome."""
        match event["status"]:
            case "met":
                found: list[dict[str, Any]] = event["events"]
                return found
            case "failed":
                raise _contrary(event["events"])
            case "timeout":
                raise AirflowSensorTimeout(f"The actions did not come within the timeout of {self.timeout:g} s.")
            case _:
                from airflow_provider.altcraft import client

                kind: type[client.AltcraftError] = getattr(client, event["error"])
                raise kind(event["message"])

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Treat the trigger's errors as ``execute`` treats those of ``poke``."""
        from airflow_provider.altcraft.client import AltcraftError, FatalError

        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AltcraftError as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            if isinstance(error, FatalError):
                raise AirflowFailException(str(error)) from error
            raise
        except (AirflowFailException, AirflowSensorTimeout) as error:
            if self.never_fail:  # Airflow 2.11 heeds it only while poking
                raise AirflowSkipException(str(error)) from error
            raise

    def _defer(self, context: Context) -> None:
        since = self._since(context)
        # A connection that is not there, or does not fit, is found out here as it is when poking: an error within the
        # triggerer would be skipped with soft_fail.
        AltcraftHook(self.altcraft_conn_id).client_arguments()
        self.defer(
            trigger=AltcraftActionTrigger(
                altcraft_conn_id=self.altcraft_conn_id,
                profile=self._lookup().fields,
                list_id=list_id_of(self.list_id),
                condition=self._condition().to_json(),
                since=None if since is None else since.isoformat(),
                deadline=(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.timeout)).isoformat(),
                poke_interval=self.poke_interval,
                silent_fail=self.silent_fail,
            ),
            method_name="execute_complete",
            # The trigger keeps the time itself; this ends the wait where no triggerer runs it.
            timeout=dt.timedelta(seconds=self.timeout + _GRACE),
        )

    def _lookup(self) -> ProfileLookup:
        lookups = profiles_of(self.profile)
        if len(lookups) != 1:
            raise ValueError(f"profile: one profile is wanted, not {len(lookups)}")
        return lookups[0]

    def _since(self, context: Context) -> dt.datetime | None:
        since = _run_due(context) if self.since == RUN_DUE else instant_of(self.since, "since")
        return None if since is None else whole_second(since)

    def _condition_arguments(self) -> dict[str, Any]:
        return {
            "actions": self.actions,
            "match": self.match,
            "min_count": self.min_count,
            "message_id": self.message_id,
            "campaign_id": self.campaign_id,
            "fail_on": self.fail_on,
        }

    def _condition(self) -> ActionCondition:
        arguments = self._condition_arguments()
        for name in ("actions", "fail_on"):
            arguments[name] = _names(arguments[name], name)
        for name in ("min_count", "message_id", "campaign_id"):
            arguments[name] = _whole_number(arguments[name], name)
        return ActionCondition(**arguments)


def _run_due(context: Context) -> dt.datetime:
    """When the run was due. Airflow before 3 does not keep it: there it is the end of a scheduled run's interval."""
    run: Any = context["dag_run"]
    if (due := getattr(run, "run_after", None)) is None:
        due = run.data_interval_end if run.run_type in {"scheduled", "backfill"} else run.logical_date
    return utc(due)


def _contrary(events: list[dict[str, Any]]) -> AirflowFailException:
    first = events[0]
    return AirflowFailException(f"The profile did {first['action']!r} at {first['datetime']}, which fail_on names.")


def _names(value: Any, name: str) -> Any:
    """Names of actions, also as JSON text, which is what a template with ``| tojson`` renders to."""
    try:
        return json.loads(value) if isinstance(value, str) and value.lstrip().startswith("[") else value
    except ValueError:
        raise ValueError(f"{name}: {value!r} is no JSON; let the template end in '| tojson'") from None


def _whole_number(value: object, name: str) -> int | None:
    try:
        return None if value is None else int(str(value))
    except ValueError:
        raise ValueError(f"{name}: a whole number is wanted, not {value!r}") from None
