"""Operators that pull action history into a target."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider.altcraft._airflow.instance_names import name_by_profiles
from airflow_provider.altcraft._arguments import (
    check_number_constant,
    check_profile_constants,
    is_template,
    lookups_of,
    pair_of,
    whole_number,
)
from airflow_provider.altcraft.extract.sources import ProfileSource, shard_of
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._base import PullOperator
from airflow_provider.altcraft.operators._database import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.window import Window

if TYPE_CHECKING:
    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract.profiles.pull import ProfilesPull
    from airflow_provider.altcraft.targets import Written

__all__ = ["AltcraftDatabaseHistoryOperator", "AltcraftHistoryOperator"]

log = logging.getLogger(__name__)

AltcraftDatabaseHistoryOperator.__module__ = __name__  # Airflow shows it, and users import it from here


class AltcraftHistoryOperator(PullOperator):
    """Writes the action history of one or many profiles to a target.

    After it succeeds, the target holds exactly the events of this pull; retried, cleared or killed and run again,
    nothing is lost and nothing doubled.

    Args:
        profiles: one profile or a list of them, also from an earlier task: a ``ProfileLookup``, a mapping such as
            ``{"matching": "custom", "field_name": "CRM_ID", "field_value": "7"}`` or ``{"xxh": "…"}``, or an e-mail.
            Or where they stand: ``FileProfiles``, ``SqlProfiles`` or ``PlatformProfiles`` of ``extract.sources``, a
            ``ProfileSource`` of your own, or a callable that gives an iterable when the task runs; it may take
            ``context`` and ``jinja_env``. One that is given twice is asked once.
        shard: ``(i, n)``: only the i-th of n parts of the profiles, from 0. A profile is always in the same one.
        target: a ``Target`` or its URI, such as ``s3://conn_id@bucket/history/{{ ds }}.parquet``. A shard's path holds
            ``{shard}``, which becomes ``0000-of-0008``, so that each writes to a place of its own.
        list_id: the profile database; the connection's own where ``None``.
        date_from: a date (from its first instant in ``timezone``) or an aware date-time; ``None`` for no bound.
        date_to: a date (to its last instant in ``timezone``) or an aware date-time, itself excluded; ``None`` for no
            bound.
        timezone: IANA name of the time zone of the days: of dates, and of ``{date}`` in the path. ``datetime``
            in the rows stays UTC.
        on_profile_error: ``fail`` at the first profile whose history cannot be read, or ``skip`` it and report it in
            the result and in a file next to the output.
        max_failed_profiles: how many profiles ``skip`` passes over before the task fails all the same.
        concurrency: profiles asked at once; no more than the connection's ``max_connections``, which is the default.
        event_key_by: what ``event_key`` is made of: several fields of the ``row``, or ``event_id`` alone, for those who
            know that theirs is unique.
        altcraft_conn_id: the connection.

    Returns:
        The XCom: ``uris``, ``rows``, ``bytes``, ``profiles`` (how many were asked), ``failed_profiles`` (a list of
        ``{"lookup": {…}, "error": "…"}``), ``failed_profiles_uri``, ``window`` (``start``, ``end``, UTC), ``summary``
        (counts of the events that were pulled: see docs/page.md) and, where the connection has a ``timezone``,
        ``asked_wider_because`` (why days around its own were asked, else ``None``).

    Raises:
        ValueError: a constant argument that does not fit, when the DAG file is parsed.
        AirflowFailException: an argument, the connection or the account does not fit, so that a retry would not help.
    """

    template_fields: Sequence[str] = (
        "profiles",
        "on_profile_error",
        "max_failed_profiles",
        "concurrency",
        *PullOperator.template_fields,
    )

    def __init__(
        self,
        *,
        profiles: Any,
        on_profile_error: Literal["fail", "skip"] = "fail",
        max_failed_profiles: int | str = 100,
        concurrency: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        _check_source(profiles)
        check_profile_constants(profiles)
        super().__init__(**kwargs)
        self.profiles = profiles
        self.on_profile_error = on_profile_error
        self.max_failed_profiles = max_failed_profiles
        self.concurrency = concurrency
        if not is_template(on_profile_error):
            _check_on_profile_error(on_profile_error)
        check_number_constant(max_failed_profiles, "max_failed_profiles", 0)
        if concurrency is not None:
            check_number_constant(concurrency, "concurrency", 1)
        self._check_in_group()

    @property
    def instance_name(self) -> str:
        """The name of this instance of a mapped task, by its shard, else by its profiles."""
        return super().instance_name or name_by_profiles(self.profiles)

    def _lookups(self, list_id: int) -> Iterator[dict[str, Any]]:
        source = self.profiles
        if not isinstance(source, ProfileSource):
            yield from lookups_of(source)
            return
        with AltcraftHook(self.altcraft_conn_id).get_conn() as client:
            found = source.lookups(client.lasting(), list_id)
            # The sources of this package check what they read.
            yield from found if type(source).lookups is ProfileSource.lookups else _checked(source, found)

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[ProfilesPull, Scope]:
        from airflow_provider.altcraft.extract.profiles.lookups import Lookups
        from airflow_provider.altcraft.extract.profiles.pull import ProfilesPull

        _check_on_profile_error(self.on_profile_error)
        found = self._lookups(list_id)
        if shard := pair_of(self.shard, "shard"):
            number, count = shard
            found = (lookup for lookup in found if shard_of(lookup, count) == number)
        lookups = Lookups(found)
        if not len(lookups):
            log.warning("There are no profiles to ask, so what is written is empty")
        client.expect(len(lookups))
        most = client.settings.max_connections
        pull = ProfilesPull(
            client=client,
            lookups=lookups,
            list_id=list_id,
            window=window,
            on_profile_error=self.on_profile_error,
            max_failed_profiles=whole_number(self.max_failed_profiles, "max_failed_profiles", 0),
            concurrency=most
            if self.concurrency is None
            else min(whole_number(self.concurrency, "concurrency", 1), most),
            event_key_by=self.event_key_by,
            second_core=self.shard is None,
            sizes=self.pull_sizes,
        )
        return pull, Scope(list_id, lookups.texts, window, self.event_key_by)

    def _result(self, pull: ProfilesPull, written: Written, failed_uri: str | None) -> dict[str, Any]:
        result = super()._result(pull, written, failed_uri) | {
            "profiles": len(pull.lookups),
            "failed_profiles": pull.failed,
            "failed_profiles_uri": failed_uri,
        }
        zone = pull.client.settings.zone
        return result if zone is None else result | {"asked_wider_because": pull.asked_wider_because}


def _check_on_profile_error(value: object) -> None:
    if value not in ("fail", "skip"):
        raise ValueError(f"on_profile_error: expected 'fail' or 'skip', got {value!r}")


def _check_source(profiles: object) -> None:
    if isinstance(profiles, type) and hasattr(profiles, "lookups"):
        raise ValueError(
            f"profiles: expected a source, got the class {profiles.__name__}; write {profiles.__name__}(…)"
        )
    if hasattr(profiles, "lookups") and not isinstance(profiles, ProfileSource):
        name = type(profiles).__name__
        raise ValueError(f"profiles: {name} has a method `lookups`; let it inherit extract.sources.ProfileSource")


def _checked(source: ProfileSource, found: object) -> Iterator[dict[str, Any]]:
    """Check the profiles of a user's own source."""
    place = f"profiles: {type(source).__name__}.lookups()"
    if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
        raise ValueError(
            f"{place}: expected an iterable of profiles, got {type(found).__name__}; yield them one by one"
        )
    try:
        yield from lookups_of(found)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
