"""The base class of the operators that pull history into a target: open, pull, commit, report."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, BaseOperator

from airflow_provider.altcraft._airflow.event_loop import run_apart
from airflow_provider.altcraft._airflow.instance_names import name_by_shard
from airflow_provider.altcraft._airflow.interrupt import Interruptible, interruptible
from airflow_provider.altcraft._airflow.records import keep
from airflow_provider.altcraft._airflow.rendering import RenderedOperator, is_of_several
from airflow_provider.altcraft._airflow.undefined import DefinedNames
from airflow_provider.altcraft._arguments import (
    check_event_key_by,
    check_list_id_constant,
    check_window_constants,
    is_template,
    list_id_of,
    may_differ,
    pair_of,
    path_text,
    window_of,
)
from airflow_provider.altcraft._redact import without_secrets
from airflow_provider.altcraft._words import counted, places
from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.hooks.links import DocsLink, OutputLink
from airflow_provider.altcraft.operators._lineage import LineageMixin
from airflow_provider.altcraft.targets import SupportsFailureReport, SupportsResume, resolve_target
from airflow_provider.altcraft.window import DateLike, Window, zone_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract._progress import Progress, PullProgress
    from airflow_provider.altcraft.extract._protocol import Piece, Pull
    from airflow_provider.altcraft.extract._summary import EventSummary
    from airflow_provider.altcraft.targets import Scope, Target, TargetWriter, Written

    Record = Callable[[PullProgress], object]
    """Stores the progress of a pull."""

log = logging.getLogger(__name__)

SUMMARY = "summary"
"""The key of the counts of events, in the result and in a checkpoint."""


class PullOperator(Interruptible, DefinedNames, RenderedOperator, LineageMixin, BaseOperator):
    """Runs one pull into one target. A subclass says which pull (``_prepare``) and what to report (``_result``).

    The arguments here are those of every pull; a subclass describes them to its users.
    """

    template_fields: Sequence[str] = (
        "target",
        "list_id",
        "date_from",
        "date_to",
        "timezone",
        "shard",
        "altcraft_conn_id",
    )
    operator_extra_links = (OutputLink(), DocsLink())
    pull_sizes: ClassVar[PullSizes] = PullSizes()
    ui_color = "#e8f4ec"

    follow: Callable[[Progress], object] | None = None
    """Called with the progress of each pull that begins; for a progress bar outside of a task."""

    def __init__(
        self,
        *,
        target: Target | PathLike[str] | str,
        list_id: int | str | None = None,
        date_from: DateLike = None,
        date_to: DateLike = None,
        timezone: str = "UTC",
        shard: Sequence[int | str] | str | None = None,
        event_key_by: Literal["row", "event_id"] = "row",
        altcraft_conn_id: str = AltcraftHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target = path_text(target)
        self.list_id = list_id
        self.date_from = date_from
        self.date_to = date_to
        self.timezone = timezone
        self.shard = shard
        self.altcraft_conn_id = altcraft_conn_id
        self.event_key_by: Literal["row", "event_id"] = event_key_by
        check_event_key_by(event_key_by)
        check_window_constants(date_from, date_to, timezone)
        check_list_id_constant(list_id)
        if not is_template(shard):
            pair_of(shard, "shard")
        if not is_template(self.target):
            resolve_target(self.target)

    @property
    def instance_name(self) -> str:
        """The name of this instance of a mapped task; empty where only its number tells it from others."""
        return name_by_shard(self.shard)

    def _check_in_group(self) -> None:
        """Refuse, in a mapped task group, what a mapped task is refused; once all arguments are set."""
        if next(self.iter_mapped_task_groups(), None) is not None:
            over = {name: getattr(self, name, None) for name in self.template_fields}
            self.check_mapped(over, frozenset(name for name in over if _has_what_may_differ(over[name])))

    @classmethod
    def check_mapped(cls, constants: Mapping[str, Any], over: frozenset[str] | None) -> None:
        """Refuse a target in which only the last instance's rows would be left."""
        target = path_text(constants.get("target"))
        # What begins as a template may be a table.
        if target is None or may_differ(target) or (isinstance(target, str) and target.lstrip().startswith("{")):
            return
        check = getattr(resolve_target(target), "check_mapped", None)
        if check is not None:
            check(over)

    @interruptible
    def execute(self, context: Context) -> dict[str, Any]:
        """Pull and write; the result is the XCom."""
        if is_of_several(self, "target", context):
            try:
                self.check_mapped({"target": self.target}, None)
            except ValueError as error:
                raise AirflowFailException(str(error)) from error
        with _heap_left_out():
            from airflow_provider.altcraft.extract._progress import PULL_KEY

            result = self.pull(partial(keep, context, PULL_KEY))
            self.report(context, result, AltcraftHook(self.altcraft_conn_id))
            return result

    def pull(self, record: Record | None = None) -> dict[str, Any]:
        """Pull and write, also where there is no task; the result is that of ``execute``.

        Args:
            record: called with the progress every ten seconds, in a thread.
        """
        from airflow_provider.altcraft.client import FatalError

        with without_secrets(), _heap_left_out():
            # A retry would meet the same, so none is wasted on it.
            try:
                pull, writer = self._open()
            except (ValueError, FatalError, AirflowNotFoundException) as error:
                raise AirflowFailException(_message_of(error)) from error
            try:
                return self._run(pull, writer, record)
            except FatalError as error:
                raise AirflowFailException(_message_of(error)) from error

    def _place(self, target: Target) -> Target:
        """Return the target, or the part of it that this shard writes."""
        shard = pair_of(self.shard, "shard")
        for_shard = getattr(target, "for_shard", None)
        return target if shard is None or for_shard is None else for_shard(*shard)

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[Pull, Scope]:
        """Return the pull and what it covers.

        Raises:
            ValueError: an argument that does not fit.
        """
        raise NotImplementedError

    def _result(self, pull: Any, written: Written, failed_uri: str | None) -> dict[str, Any]:
        """Return the XCom.

        Args:
            pull: what ``_prepare`` gave, when it is over.
            written: what the commit left behind.
            failed_uri: where the target keeps the profiles that were passed over, if anywhere.
        """
        return {
            "uris": list(written.uris),
            "rows": written.rows,
            "bytes": written.bytes,
            "window": pull.window.to_json(),
        }

    def _open(self) -> tuple[Pull, TargetWriter]:
        """Check everything that can be checked before the first request."""
        from airflow_provider.altcraft.client._bulk import BulkClient

        self.check_rendered()
        target = self._place(resolve_target(self.target))
        window = window_of(self.date_from, self.date_to, zone_of(self.timezone))
        base_url, token, options = AltcraftHook(self.altcraft_conn_id).client_arguments()
        client = BulkClient(base_url, token, **options)
        pull, scope = self._prepare(client, client.settings.database(list_id_of(self.list_id)), window)
        # Stores run event loops of their own, so the target opens and commits outside of ours.
        try:
            return pull, target.open(scope)
        except (PermissionError, FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            # Of the target's place, which no retry makes; a file of profiles, read before, may still arrive.
            raise AirflowFailException(_message_of(error)) from error

    def _run(self, pull: Pull, writer: TargetWriter, record: Record | None) -> dict[str, Any]:
        try:  # from the first line on, for a time-out may come at any of them
            from airflow_provider.altcraft.extract._summary import EventSummary

            summary = EventSummary(pull.window.zone)
            if self.follow is not None:
                self.follow(pull.progress)
            if isinstance(writer, SupportsResume):
                state = writer.resume(pull.fingerprint)
                if state is not None:
                    pull.resume(state)
                    if SUMMARY in state:  # not in what a version before it has left
                        summary.resume(state[SUMMARY])
                    log.info("Going on from an earlier attempt: %s", pull.progress.line())
            log.info("Pulling %s; events %s", pull.plan, pull.window.words)
            run_apart(_transfer(pull, writer, summary, self.event_key_by, record))
            failed_uri = writer.keep_failures(pull.failed) if isinstance(writer, SupportsFailureReport) else None
            self._written = written = writer.commit()
        except BaseException:
            writer.abort()
            raise
        log.info("%s; written to %s", pull.progress.line(), places(written.uris))
        return self._result(pull, written, failed_uri) | {SUMMARY: summary.result()}


@contextmanager
def _heap_left_out() -> Iterator[None]:
    """Leave out of garbage collection what Airflow has loaded: a full one visits all of it, which takes 0.1 s or more.

    The imports of a pull make so many objects that one is due, and into S3 more than one.
    """
    if gc.get_freeze_count():  # other code froze it before and decides when to unfreeze it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _transfer(
    pull: Pull, writer: TargetWriter, summary: EventSummary, event_key_by: str, record: Record | None
) -> None:
    without, alone = 0, asyncio.Lock()
    async with pull.client, _recorded(pull.progress, record, alone):
        async for piece in pull.batches():
            if event_key_by == "event_id" and piece.batch is not None:
                without += piece.batch.column("event_id").null_count
            # Writing blocks, so it runs in a thread next to the event loop, one piece at a time.
            async with alone:
                await asyncio.to_thread(_keep, writer, summary, piece)
    if without:
        log.warning(
            "event_key_by='event_id': %s without one; their event_key is made of the row's fields",
            counted(without, "event"),
        )


@asynccontextmanager
async def _recorded(progress: Progress, record: Record | None, alone: asyncio.Lock) -> AsyncIterator[None]:
    """Record the progress every ten seconds, also while the platform does not answer.

    Not while a piece is written, as a target of others may ask Airflow for something then: before Airflow 3.2, two
    threads of a task that ask at once may get each other's answers.
    """
    from airflow_provider.altcraft.extract._progress import EVERY

    async def record_each() -> None:
        while record is not None:
            await asyncio.sleep(EVERY)
            async with alone:
                await asyncio.to_thread(record, progress.record())

    task = asyncio.create_task(record_each())
    try:
        yield
    finally:
        task.cancel()


def _keep(writer: TargetWriter, summary: EventSummary, piece: Piece) -> None:
    if piece.batch is not None:
        summary.add(piece.batch)
        writer.write(piece.batch)
    is_due = getattr(writer, "is_due", None)  # a writer of others' need not have it
    if isinstance(writer, SupportsResume) and piece.state is not None and (is_due is None or is_due(keep=piece.keep)):
        writer.checkpoint(piece.state | {SUMMARY: summary.state}, keep=piece.keep)


def _has_what_may_differ(value: Any) -> bool:
    return any(map(may_differ, value)) if isinstance(value, list | tuple) else may_differ(value)


def _message_of(error: BaseException) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", [])])
