"""What operators share that pull history into a target: open, pull apart, commit, and say what came of it."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider.altcraft._arguments import (
    check_list_id_constant,
    check_window_constants,
    is_template,
    list_id_of,
)
from airflow_provider.altcraft.hooks.altcraft import AltcraftHook
from airflow_provider.altcraft.operators._lineage import LineageMixin
from airflow_provider.altcraft.targets import KeepsFailures, Resumable, resolve_target
from airflow_provider.altcraft.window import DateLike, Window

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract._pull import Piece, Pull
    from airflow_provider.altcraft.targets import Scope, Target, TargetWriter, Written

log = logging.getLogger(__name__)

T = TypeVar("T")


class PullOperator(LineageMixin, BaseOperator):
    """Runs one pull into one target. A subclass says which pull (``_prepare``) and what to report (``_result``)."""

    template_fields: Sequence[str] = ("target", "list_id", "date_from", "date_to", "altcraft_conn_id")
    ui_color = "#e8f4ec"

    def __init__(
        self,
        *,
        target: Target | str,
        list_id: int | str | None,
        date_from: DateLike,
        date_to: DateLike,
        altcraft_conn_id: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # A mapped task is made anew for each of its instances, from one and the same target.
        self.target = own(target)
        self.list_id = list_id
        self.date_from = date_from
        self.date_to = date_to
        self.altcraft_conn_id = altcraft_conn_id
        check_window_constants(date_from, date_to)
        check_list_id_constant(list_id)
        if not is_template(target):
            resolve_target(target)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render the templates, those of a copy of the target: Airflow renders it in place, and runs may share it."""
        self.target = own(self.target)
        super().render_template_fields(context, jinja_env)

    def execute(self, context: Context) -> dict[str, Any]:
        """Pull and write; the result is the XCom."""
        from airflow_provider.altcraft.client import FatalError

        # A retry would meet the same, so none is wasted on it.
        try:
            pull, writer = self._open()
        except (ValueError, FatalError) as error:
            raise AirflowFailException(_told(error)) from error
        try:
            result = self._run(pull, writer)
        except FatalError as error:
            raise AirflowFailException(_told(error)) from error
        self.report(context, result, AltcraftHook(self.altcraft_conn_id))
        return result

    def _place(self, target: Target) -> Target:
        """The target, or the part of it that this task writes."""
        return target

    def _prepare(self, client: BulkClient, list_id: int, window: Window) -> tuple[Pull, Scope]:
        """The pull and what it covers.

        Raises:
            ValueError: an argument that does not fit.
        """
        raise NotImplementedError

    def _result(self, pull: Any, written: Written, failed_uri: str | None) -> dict[str, Any]:
        """The XCom.

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

        target = self._place(resolve_target(self.target))
        window = Window.of(self.date_from, self.date_to)
        base_url, token, options = AltcraftHook(self.altcraft_conn_id).client_arguments()
        client = BulkClient(base_url, token, **options)
        pull, scope = self._prepare(client, client.settings.database(list_id_of(self.list_id)), window)
        # Stores run event loops of their own, so the target opens and commits outside of ours.
        return pull, target.open(scope)

    def _run(self, pull: Pull, writer: TargetWriter) -> dict[str, Any]:
        try:
            if isinstance(writer, Resumable):
                state = writer.resume(pull.fingerprint)
                if state is not None:
                    pull.resume(state)
                    log.info("Going on from an earlier attempt: %s", pull.progress.line())
            _run_apart(_hand_on(pull, writer))
            failed_uri = writer.keep_failures(pull.failed) if isinstance(writer, KeepsFailures) else None
            self._written = written = writer.commit()
        except BaseException:
            writer.abort()
            raise
        log.info("%s; written to %s", pull.progress.line(), ", ".join(written.uris))
        return self._result(pull, written, failed_uri)


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

    with _heap_left_out(), ThreadPoolExecutor(1, "altcraft-pull") as pool:
        done = pool.submit(asyncio.run, run())
        try:
            done.result()
        except BaseException:
            loop, task = begun.result()
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(task.cancel)
            raise


@contextmanager
def _heap_left_out() -> Iterator[None]:
    """Leave out of garbage collection what Airflow has loaded: a full one looks at all of it, which takes 0.2 s."""
    if gc.get_freeze_count():  # somebody did so before, and has his reasons when to end it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _hand_on(pull: Pull, writer: TargetWriter) -> None:
    async with pull.client:
        async for piece in pull.batches():
            # Writing blocks, so it runs beside the event loop, one piece at a time.
            await asyncio.to_thread(_keep, writer, piece)


def _keep(writer: TargetWriter, piece: Piece) -> None:
    if piece.batch is not None:
        writer.write(piece.batch)
    if isinstance(writer, Resumable) and piece.state is not None:
        writer.checkpoint(piece.state, keep=piece.keep)


def own(target: T) -> T:
    """A copy of a target or source with something to render; any other stays the object that the user made."""
    fields = getattr(target, "template_fields", ())
    return copy.copy(target) if any(is_template(getattr(target, name, None)) for name in fields) else target


def _told(error: BaseException) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", [])])
