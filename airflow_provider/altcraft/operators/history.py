"""Operators that pull action history into a target."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider.altcraft._arguments import check_profile_constants, is_template, lookups_of, shard_pair
from airflow_provider.altcraft.extract.sources import ProfileSource, shard_of
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._database import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.operators._pull import PullOperator, own
from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract.profiles import ProfilesPull
    from airflow_provider.altcraft.targets import Target, Written

__all__ = ["AltcraftDatabaseHistoryOperator", "AltcraftHistoryOperator"]

log = logging.getLogger(__name__)


class AltcraftHistoryOperator(PullOperator):
    """Writes the action history of one or many profiles to a target.

    After it succeeds, the target holds exactly the events of this pull; retried, cleared or killed and run again,
    nothing is lost and nothing doubled.

    Args:
        profiles: one profile or a list of them, also from an earlier task: a ``ProfileLookup``, a mapping such as
            ``{"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}`` or ``{"xxh": "…"}``, or an e-mail.
            Or where they stand: ``FileProfiles``, ``SqlProfiles`` or ``PlatformProfiles`` of ``extract.sources``, or a
            callable without arguments that gives an iterable. One that is given twice is asked once.
        shard: ``(i, n)``: only the i-th of n parts of the profiles, from 0. A profile is always in the same one.
        target: a ``Target`` or its URI, such as ``s3://conn_id@bucket/history/{{ ds }}.parquet``. A shard's path holds
            ``{shard}``, which becomes ``0000-of-0008``, so that each writes to a place of its own.
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

    template_fields: Sequence[str] = ("profiles", "shard", "on_profile_error", *PullOperator.template_fields)

    def __init__(
        self,
        *,
        profiles: Any,
        target: Target | str,
        shard: Any = None,
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
        self.profiles = own(profiles)
        self.shard = shard
        if not is_template(shard):
            shard_pair(shard)
        self.on_profile_error = on_profile_error
        self.max_failed_profiles = max_failed_profiles
        self.concurrency = concurrency
        if not is_template(on_profile_error):
            _check_on_profile_error(on_profile_error)
        if max_failed_profiles < 0:
            raise ValueError(f"max_failed_profiles: 0 or more is wanted, not {max_failed_profiles}")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency: 1 or more is wanted, not {concurrency}")

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render the templates; like the target, a source may be shared by runs."""
        self.profiles = own(self.profiles)
        super().render_template_fields(context, jinja_env)

    def _place(self, target: Target) -> Target:
        shard = shard_pair(self.shard)
        for_shard = getattr(target, "for_shard", None)
        return target if shard is None or for_shard is None else for_shard(*shard)

    def _lookups(self, list_id: int) -> Iterator[dict[str, Any]]:
        if isinstance(self.profiles, ProfileSource):
            with AltcraftHook(self.altcraft_conn_id).get_conn() as client:
                yield from self.profiles.lookups(client, list_id)
        else:
            yield from lookups_of(self.profiles)

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[ProfilesPull, Scope]:
        from airflow_provider.altcraft.extract._lookups import Lookups
        from airflow_provider.altcraft.extract.profiles import ProfilesPull

        _check_on_profile_error(self.on_profile_error)
        found = self._lookups(list_id)
        if shard := shard_pair(self.shard):
            number, count = shard
            found = (lookup for lookup in found if shard_of(lookup, count) == number)
        lookups = Lookups(found)
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
