"""The sensor that waits until a profile, or enough of many, have done something."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider.altcraft._airflow.instance_names import name_by_profiles
from airflow_provider.altcraft._airflow.interrupt import Interruptible, interruptible
from airflow_provider.altcraft._airflow.records import keep
from airflow_provider.altcraft._airflow.rendering import RenderedOperator
from airflow_provider.altcraft._airflow.undefined import DefinedNames
from airflow_provider.altcraft._arguments import RUN_DUE as _RUN_DUE
from airflow_provider.altcraft._arguments import (
    check_list_id_constant,
    check_number_constant,
    check_profile_constants,
    check_since_constant,
    from_json,
    instant_of,
    is_template,
    list_id_of,
    ordered,
    profiles_of,
    whole_number,
)
from airflow_provider.altcraft._words import duration
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.hooks.links import CampaignLink, DocsLink, ProfileLink
from airflow_provider.altcraft.sensors._earlier_polls import earlier_failures, earlier_polls, keep_failures
from airflow_provider.altcraft.sensors._moments import later, reported_at, reschedule_at, run_due
from airflow_provider.altcraft.sensors._poll import poll
from airflow_provider.altcraft.waiting.condition import ActionCondition, Match, quorum_of, warn_of_names, whole_second
from airflow_provider.altcraft.waiting.progress import WAIT_KEY, contrary, not_done
from airflow_provider.altcraft.waiting.state import MAX_FAILURES, Outcome, Pauses, WaitState
from airflow_provider.altcraft.window import DateLike, utc, zone_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client import AltcraftError, ProfileLookup

RUN_DUE: Final = _RUN_DUE
"""As ``since``, the moment the run was due, which neither retries nor clearing move."""

_GRACE: Final = 60.0
"""Seconds that the trigger has to end by itself once its time is up."""


class AltcraftActionSensor(Interruptible, DefinedNames, RenderedOperator, BaseSensorOperator):
    """Waits until a profile has done an action, such as ``confirm`` or ``form_post``; or until enough of many have.

    Poking, rescheduling and deferring come to the same outcome; deferring holds no worker while it waits, but for its
    first poll, so that what is there already needs no triggerer. ``timeout`` counts from the start of each try, and
    ``execution_timeout`` too: it ends a try wherever it waits.

    Args:
        profile: a ``ProfileLookup``, a mapping of its fields, or an e-mail.
        profiles: a cohort of them, instead of ``profile``: a list, JSON text as of a template with ``| tojson``, or a
            callable that gives them when the task runs; it may take ``context`` and ``jinja_env``.
        quorum: how many of ``profiles`` must have done it: a whole number, or a share such as ``0.5`` or ``"50%"``, of
            which ``1.0`` is all of them, as is ``None``.
        actions: one action or several; any string, see ``client.Action`` for the documented ones.
        list_id: the profile database; the connection's own where ``None``.
        since: only events from this moment on count, cut at its whole second: a date (its first instant in
            ``timezone``) or an aware date-time; ``run_due`` for the moment the run was due; ``None`` for at any time.
        timezone: IANA name of the time zone whose day ``since`` means.
        match: whether ``any`` of the actions is enough, or ``all`` must be there.
        min_count: how often, by the events' ``count``: all matching actions together for ``any``, each for ``all``.
        message_id: only actions on this message count.
        campaign_id: only actions of this campaign count.
        fail_on: actions that end the wait as failed, such as ``unsub_manual``, ``complain`` or ``hbounce``. Of a cohort
            they take out who did one, and the wait fails once too few are left for the quorum.
        max_consecutive_failures: how many polls in a row may fail for a reason that may pass (each was tried several
            times by the client) before the try fails and Airflow's ``retries`` apply; any number with ``silent_fail``.
        deferrable: whether to wait in the triggerer; Airflow's ``[operators] default_deferrable`` by default.
        altcraft_conn_id: the connection.

    Returns:
        The XCom: the events that met the wait, a list of mappings as ``HistoryEvent`` dumps them. Of a cohort a
        mapping: ``quorum``, how many were required; ``met``, by the profile's ``lookup`` its events; ``failed``,
        likewise the event of ``fail_on``; ``missing``, the lookups of all others. An unmet wait pushes it too.

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: what a retry would not help: an argument, the connection or the account does not fit (also
            with ``soft_fail``), or an action of ``fail_on`` came (skipped with ``soft_fail``).
        AirflowSensorTimeout: the actions did not come within ``timeout`` (skipped with ``soft_fail``).
        AltcraftError: the platform could not be asked, too often in a row or when the time was up.
    """

    template_fields: Sequence[str] = (
        "profile",
        "profiles",
        "quorum",
        "actions",
        "list_id",
        "since",
        "timezone",
        "match",
        "min_count",
        "message_id",
        "campaign_id",
        "fail_on",
        "max_consecutive_failures",
        "altcraft_conn_id",
    )
    operator_extra_links = (ProfileLink(), CampaignLink(), DocsLink())
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        profile: ProfileLookup | Mapping[str, Any] | Callable[..., Any] | str | None = None,
        profiles: Any = None,
        quorum: float | str | None = None,
        actions: str | Collection[str],
        list_id: int | str | None = None,
        since: DateLike = RUN_DUE,
        timezone: str = "UTC",
        match: Match = "any",
        min_count: int | str = 1,
        message_id: int | str | None = None,
        campaign_id: int | str | None = None,
        fail_on: str | Collection[str] = (),
        max_consecutive_failures: int | str = MAX_FAILURES,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.profile = profile
        self.profiles = profiles
        self.quorum = quorum
        self.actions = actions
        self.list_id = list_id
        self.since = since
        self.timezone = timezone
        self.match = match
        self.min_count = min_count
        self.message_id = message_id
        self.campaign_id = campaign_id
        self.fail_on = fail_on
        self.max_consecutive_failures = max_consecutive_failures
        self.deferrable = deferrable
        self.altcraft_conn_id = altcraft_conn_id
        if (profile is None) == (profiles is None):
            raise ValueError(
                f"profile, profiles: expected one of the two, got {'neither' if profile is None else 'both'}"
            )
        if quorum is not None and profiles is None:
            raise ValueError("quorum: expected with profiles only, got it with profile")
        check_number_constant(max_consecutive_failures, "max_consecutive_failures", 1)
        check_profile_constants(profile)
        check_profile_constants(profiles)
        check_list_id_constant(list_id)
        if not is_template(quorum):
            known = isinstance(profiles, list | tuple | set | frozenset) and not is_template(profiles)
            quorum_of(quorum, len(profiles) if known else None)
        check_since_constant(since, timezone)
        if not any(map(is_template, self._condition_arguments().values())):
            self._condition()
        warn_of_names(self._condition_arguments())

    @classmethod
    def check_mapped(cls, constants: Mapping[str, Any], over: frozenset[str] | None) -> None:
        """Warn of undocumented names, as ``__init__`` does of a sensor that is not mapped."""
        warn_of_names(constants)

    @property
    def instance_name(self) -> str:
        """The name of this instance of a mapped task, by its profiles."""
        return name_by_profiles(self.profile if self.profiles is None else self.profiles)

    @interruptible
    def execute(self, context: Context) -> Any:
        """Wait in the chosen mode. The result is the XCom."""
        try:
            wait = self._wait(context)
            # A wrong connection fails before the first poll, in each mode.
            AltcraftHook(self.altcraft_conn_id).client_arguments()
        except ValueError as error:
            raise self._for_good(str(error)) from error
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(str(error)) from error
            raise
        wait.condition.warn_of_undocumented()
        if not wait.polls:
            wait.announce()
        return self._end(context, self._wait_here(context, wait))

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once."""
        wait = self._wait(context)
        outcome = wait.finish_poll(poll(self.altcraft_conn_id, wait, list_id_of(self.list_id)))
        if outcome is None or outcome["status"] == "timeout":
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._end(context, outcome))

    def execute_complete(self, context: Context, event: Outcome) -> Any:
        """Take the trigger's outcome."""
        return self._end(context, event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the trigger. ``soft_fail`` skips unmet waits only, not an error of the trigger."""
        if next_method == "__fail__" and "timeout" in str((next_kwargs or {}).get("error")).lower():
            # No triggerer ran the trigger when its time was up, else it would have ended itself.
            limit, began = self.execution_timeout, getattr(context["ti"], "start_date", None)
            over = limit is not None and began is not None and dt.datetime.now(dt.UTC) >= utc(began) + limit
            return self._end(context, {"status": "execution_timeout" if over else "timeout"})
        return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    def _wait_here(self, context: Context, wait: WaitState) -> Outcome:
        while True:
            left = wait.execution_left()
            if left is not None and left <= 0:
                return wait.expired()
            before = wait.failures
            outcome = wait.finish_poll(poll(self.altcraft_conn_id, wait, list_id_of(self.list_id)))
            if outcome is not None:
                return outcome
            # In reschedule mode Airflow clears the kept progress before each poll.
            if (progress := wait.progress() if self.reschedule else wait.news) is not None:
                keep(context, WAIT_KEY, progress)
            pause = wait.pause()
            if self.deferrable:
                self._defer(wait, pause)
            if (left := wait.execution_left()) is not None:
                pause = max(0.0, min(pause, left))
            if not self.reschedule:
                time.sleep(pause)
                continue
            if wait.failures != before:
                keep_failures(context, wait.failures)
            raise reschedule_at(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=pause))

    def _end(self, context: Context, outcome: Outcome) -> Any:
        """Turn an outcome into an exception of Airflow or the XCom."""
        cohort, progress = outcome.get("cohort"), outcome.get("progress")
        if progress is not None:  # none where no triggerer, or one of an earlier version, ran the trigger
            keep(context, WAIT_KEY, progress)
        if outcome["status"] == "met":
            return outcome["events"] if cohort is None else cohort
        if progress is None and self.profiles is None:
            progress = self._wait(context).progress(outcome["status"])
        if cohort is not None:  # the missing profiles matter most where the wait was not met
            context["ti"].xcom_push(key="return_value", value=cohort)
        match outcome["status"]:
            case "failed":
                raise self._unmet(AirflowFailException(contrary(outcome)))
            case "timeout":
                limit = f"timeout of {duration(self.timeout)}"
                raise self._unmet(AirflowSensorTimeout(not_done(progress, limit)))
            case "execution_timeout":
                # Never skipped: on Airflow 2.11 it ends a deferred task before this is asked.
                raise AirflowTaskTimeout(not_done(progress, f"execution_timeout of {self.execution_timeout}"))
        if outcome.get("fatal"):
            raise self._for_good(outcome["message"])
        if self.never_fail:
            raise AirflowSkipException(outcome["message"])
        from airflow_provider.altcraft import client

        kind: type[AltcraftError] = getattr(client, outcome["error"], client.RetriableError)
        raise kind(outcome["message"])

    def _unmet(self, error: Exception) -> Exception:
        return AirflowSkipException(str(error)) if self.soft_fail or self.never_fail else error

    def _for_good(self, message: str) -> Exception:
        """Fail without a retry, also with ``soft_fail``: a wrong token must not look like an unmet wait."""
        return AirflowSkipException(message) if self.never_fail else AirflowFailException(message)

    def _defer(self, wait: WaitState, pause: float) -> None:
        from airflow_provider.altcraft.triggers.action import AltcraftActionTrigger

        left = wait.execution_left()
        cohort = wait.quorum is not None
        self.defer(
            trigger=AltcraftActionTrigger(
                altcraft_conn_id=self.altcraft_conn_id,
                condition=wait.condition.to_json(),
                deadline=wait.deadline.isoformat(),
                poke_interval=self.poke_interval,
                profile=None if cohort else dict(wait.profiles[0]),
                profiles=[dict(fields) for fields in wait.profiles] if cohort else None,
                quorum=wait.quorum,
                list_id=list_id_of(self.list_id),
                since=None if wait.since is None else wait.since.isoformat(),
                silent_fail=self.silent_fail,
                max_consecutive_failures=self._allowed_failures(),
                exponential_backoff=wait.pauses.exponential,
                max_wait=wait.pauses.longest,
                execution_deadline=None if wait.execution_deadline is None else wait.execution_deadline.isoformat(),
                next_look=later(dt.datetime.now(dt.UTC), pause).isoformat(),
                failures=wait.failures,
            ),
            method_name="execute_complete",
            # The trigger keeps the time itself; this ends the wait where no triggerer runs it.
            timeout=dt.timedelta(seconds=min(self.timeout, math.inf if left is None else left) + _GRACE),
        )

    def _wait(self, context: Context) -> WaitState:
        """Return the state of the wait in this try.

        Raises:
            ValueError: an argument does not fit.
        """
        self.check_rendered()
        cohort = self.profiles is not None
        lookups = profiles_of(self.profiles if cohort else self.profile)
        if not cohort and len(lookups) != 1:
            raise ValueError(f"profile: expected one profile, got {len(lookups)}")
        list_id_of(self.list_id)
        now = dt.datetime.now(dt.UTC)
        polls, began = earlier_polls(context) if self.reschedule and not self.deferrable else (0, None)
        limit = self.execution_timeout
        return WaitState(
            profiles=[lookup.fields for lookup in lookups],
            condition=self._condition(),
            quorum=quorum_of(self.quorum, len(lookups)) if cohort else None,
            since=self._since(context),
            # In the user's zone, in which logs show it.
            deadline=later(began or now, self.timeout, zone_of(self.timezone)),
            execution_deadline=None if limit is None else later(began or now, limit.total_seconds()),
            pauses=Pauses(
                self.poke_interval,
                self.exponential_backoff,
                None if self.max_wait is None else self.max_wait.total_seconds(),
            ),
            budget=None if self.silent_fail else self._allowed_failures(),
            polls=polls,
            failures=earlier_failures(context) if polls else 0,
            reported_at=reported_at(began or now, now, self.poke_interval),
        )

    def _allowed_failures(self) -> int:
        return whole_number(self.max_consecutive_failures, "max_consecutive_failures", 1)

    def _since(self, context: Context) -> dt.datetime | None:
        zone = zone_of(self.timezone)
        since = run_due(context) if self.since == RUN_DUE else instant_of(self.since, "since", zone)
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
            arguments[name] = ordered(from_json(arguments[name], name))
        for name in ("min_count", "message_id", "campaign_id"):
            if arguments[name] is not None:
                arguments[name] = whole_number(arguments[name], name)
        return ActionCondition(**arguments)
