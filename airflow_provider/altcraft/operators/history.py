"""Operators that pull action history into a target."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider.altcraft._arguments import (
    check_list_id_constant,
    check_profile_constants,
    check_window_constants,
    is_template,
    list_id_of,
    profiles_of,
)
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.targets import KeepsFailures, Scope, resolve_target
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.extract.profiles import ProfilesPull
    from airflow_provider.altcraft.targets import Target, TargetWriter

log = logging.getLogger(__name__)

T = TypeVar("T")


class AltcraftHistoryOperator(BaseOperator):
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

    template_fields: Sequence[str] = (
        "profiles",
        "target",
        "list_id",
        "date_from",
        "date_to",
        "on_profile_error",
        "altcraft_conn_id",
    )
    ui_color = "#e8f4ec"

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
        super().__init__(**kwargs)
        self.profiles = profiles
        # A mapped task is made anew for each of its instances, from one and the same target.
        self.target = _own(target)
        self.list_id = list_id
        self.date_from = date_from
        self.date_to = date_to
        self.on_profile_error = on_profile_error
        self.max_failed_profiles = max_failed_profiles
        self.concurrency = concurrency
        self.altcraft_conn_id = altcraft_conn_id
        check_profile_constants(profiles)
        check_window_constants(date_from, date_to)
        check_list_id_constant(list_id)
        if not is_template(target):
            resolve_target(target)
        if not is_template(on_profile_error):
            _check_on_profile_error(on_profile_error)
        if max_failed_profiles < 0:
            raise ValueError(f"max_failed_profiles: 0 or more is wanted, not {max_failed_profiles}")
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency: 1 or more is wanted, not {concurrency}")

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render the templates, those of a copy of the target: Airflow renders it in place, and runs may share it."""
        self.target = _own(self.target)
        super().render_template_fields(context, jinja_env)

    def execute(self, context: Context) -> dict[str, Any]:
        """Pull and write; the result is the XCom."""
        from airflow_provider.altcraft.client import FatalError

        # A retry would meet the same, so none is wasted on it.
        try:
            pull, writer = self._open()
        except ValueError as error:
            raise AirflowFailException(_told(error)) from error
        try:
            return self._run(pull, writer)
        except FatalError as error:
            raise AirflowFailException(_told(error)) from error

    def _open(self) -> tuple[ProfilesPull, TargetWriter]:
        """Check everything that can be checked before the first request."""
        from airflow_provider.altcraft.client import AsyncAltcraftClient
        from airflow_provider.altcraft.extract.profiles import ProfilesPull

        _check_on_profile_error(self.on_profile_error)
        target = resolve_target(self.target)
        window = Window.of(self.date_from, self.date_to)
        lookups = profiles_of(self.profiles)
        if not lookups:
            log.warning("There are no profiles to ask, so what is written is empty")
        base_url, token, options = AltcraftHook(self.altcraft_conn_id).client_arguments()
        client = AsyncAltcraftClient(base_url, token, **options)
        most = client.settings.max_connections
        pull = ProfilesPull(
            client=client,
            lookups=lookups,
            list_id=client.settings.database(list_id_of(self.list_id)),
            window=window,
            on_profile_error=self.on_profile_error,
            max_failed_profiles=self.max_failed_profiles,
            concurrency=min(self.concurrency or most, most),
        )
        # Stores run event loops of their own, so the target opens and commits outside of ours.
        return pull, target.open(Scope(pull.list_id, [lookup.text for lookup in lookups], window))

    @staticmethod
    def _run(pull: ProfilesPull, writer: TargetWriter) -> dict[str, Any]:
        try:
            _run_apart(_hand_on(pull, writer))
            failed_uri = writer.keep_failures(pull.failed) if isinstance(writer, KeepsFailures) else None
            written = writer.commit()
        except BaseException:
            writer.abort()
            raise
        log.info("%s; written to %s", pull.progress.line(), ", ".join(written.uris))
        return {
            "uris": list(written.uris),
            "rows": written.rows,
            "bytes": written.bytes,
            "profiles": len(pull.lookups),
            "failed_profiles": pull.failed,
            "failed_profiles_uri": failed_uri,
            "window": pull.window.to_json(),
        }


def _run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run the work in an event loop of another thread, and end it where this one is interrupted.

    Airflow raises time-outs and terminations in the main thread, amid whatever runs there: an event loop may take them
    for a callback's failure and go on.
    """
    begun: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = Future()

    async def run() -> None:
        task = asyncio.ensure_future(work)
        begun.set_result((asyncio.get_running_loop(), task))
        await task

    with ThreadPoolExecutor(1, "altcraft-pull") as pool:
        done = pool.submit(asyncio.run, run())
        try:
            done.result()
        except BaseException:
            loop, task = begun.result()
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
            raise


async def _hand_on(pull: ProfilesPull, writer: TargetWriter) -> None:
    async with pull.client:
        async for batch in pull.batches():
            # Writing blocks, so it runs beside the event loop, one batch at a time.
            await asyncio.to_thread(writer.write, batch)


def _own(target: T) -> T:
    """A copy of a target with something to render; any other stays the object that the user made."""
    fields = getattr(target, "template_fields", ())
    return copy.copy(target) if any(is_template(getattr(target, name, None)) for name in fields) else target


def _check_on_profile_error(value: object) -> None:
    if value not in {"fail", "skip"}:
        raise ValueError(f"on_profile_error: 'fail' or 'skip' is wanted, not {value!r}")


def _told(error: BaseException) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", [])])
