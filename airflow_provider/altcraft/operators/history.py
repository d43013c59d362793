"""Operators that pull action history into a target."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider.altcraft._arguments import check_profile_constants, is_template, lookups_of
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._pull import PullOperator
from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract.profiles import ProfilesPull
    from airflow_provider.altcraft.targets import Target, Written

log = logging.getLogger(__name__)


class AltcraftHistoryOperator(PullOperator):
    """Writes the action history of one or many profiles to a target.

    After it succeeds, the target holds exactly the events of this pull; retried, cleared or killed and run again,
    nothing is lost and nothing doubled.

    Args:
        profiles: one profile or a list of them, also from an earlier task: a ``ProfileLookup``, a mapping such as
            ``{"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}`` or ``{"xxh": "…"}``, or an e-mail.
            One that is given twice is asked once.
        target: a ``Target`` or its URI, such as ``s3://conn_id@bucket/history/{{ ds }}.parquet``.
        list_id: the profile database; the connection's own where ``None``.
        date_from: a date (from its first instant in UTC) or an aware date-time; ``None`` for no bound.
        date_to: a date (to its last instant in UTC) or an aware date-time, itself excluded; ``None`` for no bound.
        on_profile_error: ``fail`` at the first profile whose history cannot be had, or ``skip`` it and report it in the
            result and in a file beside the output.
        max_failed_profiles: how many profiles ``skip`` passes over before the task fails all the same.
        concurrency: profiles asked at once; no more than the connection's ``max_connections``, which is the default.
        altcraft_conn_id: the connection.

    Returns:
        The XCom: ``uris``, ``rows``, ``bytes``, ``profiles`` (how many were asked), ``failed_profiles`` (a list of
        ``{"lookup": {…}, "error": "…"}``), ``failed_profiles_uri`` and ``window`` (``start``, ``end``, UTC).

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: an argument, the connection or the account does not fit, so that a retry would not help.
    """

    template_fields: Sequence[str] = ("profiles", "on_profile_error", *PullOperator.template_fields)

    def __init__(
        self,
        *,
        profiles: Any,
        target: Target | str,
        list_id: int | str | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        on_profile_error: Literal["fail", "skip"] = "fail",
        max_failed_profiles: int = 100,
        concurrency: int | None = None,
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        check_profile_constants(profiles)
        super().__init__(
            target=target,
            list_id=list_id,
            date_from=date_from,
            date_to=date_to,
            altcraft_conn_id=altcraft_conn_id,
            **kwargs,
        )
        self.profiles = profiles
        self.on_profile_error = on_profile_error
        self.max_failed_profiles = max_failed_profiles
        self.concurrency = concurrency
        if not is_template(on_profile_error):
            _check_on_profile_error(on_profile_error)
        if max_failed_profiles < 0:
            raise ValueError(f"max_failed_profiles: 0 or more is wanted, not {max_failed_profiles}")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency: 1 or more is wanted, not {concurrency}")

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[ProfilesPull, Scope]:
        from airflow_provider.altcraft.extract._lookups import Lookups
        from airflow_provider.altcraft.extract.profiles import ProfilesPull

        _check_on_profile_error(self.on_profile_error)
        lookups = Lookups(lookups_of(self.profiles))
        if not len(lookups):
            log.warning("There are no profiles to ask, so what is written is empty")
        most = client.settings.max_connections
        pull = ProfilesPull(
            client=client,
            lookups=lookups,
            list_id=list_id,
            window=window,
            on_profile_error=self.on_profile_error,
            max_failed_profiles=self.max_failed_profiles,
            concurrency=min(self.concurrency or most, most),
        )
        return pull, Scope(list_id, lookups.texts, window)

    def _result(self, pull: ProfilesPull, written: Written, failed_uri: str | None) -> dict[str, Any]:
        return super()._result(pull, written, failed_uri) | {
            "profiles": len(pull.lookups),
            "failed_profiles": pull.failed,
            "failed_profiles_uri": failed_uri,
        }


def _check_on_profile_error(value: object) -> None:
    if value not in {"fail", "skip"}:
        raise ValueError(f"on_profile_error: 'fail' or 'skip' is wanted, not {value!r}")
