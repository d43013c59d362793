"""The histories of many profiles: asked side by side, handed on in the order in which the profiles were given."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Any, Literal

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft.client import (
    AltcraftError,
    AsyncAltcraftClient,
    HistoryEvent,
    ProfileLookup,
    RequestError,
    RetriableError,
)
from airflow_provider.altcraft.extract._progress import Progress
from airflow_provider.altcraft.extract._pull import Piece
from airflow_provider.altcraft.schema import RowBuffer
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

BATCH_ROWS = 10_000


@dataclass
class ProfilesPull:
    """One pull of profiles' histories.

    Attributes:
        client: asks the platform; its ``max_connections`` bounds the requests under way.
        lookups: the profiles, each once.
        list_id: their database.
        window: which events are wanted.
        on_profile_error: ``fail`` ends the pull at the first profile whose history cannot be had; ``skip`` goes on.
            Errors that would befall every profile (token, rights, tariff, certificate, a wrong address) always end it,
            and so does the last error where no profile at all could be had.
        max_failed_profiles: how many ``skip`` passes over before it gives up as well.
        concurrency: profiles asked at once.
        failed: the profiles passed over so far: ``{"lookup": {…}, "error": "…"}`` each.
    """

    client: AsyncAltcraftClient
    lookups: Sequence[ProfileLookup]
    list_id: int
    window: Window
    on_profile_error: Literal["fail", "skip"] = "fail"
    max_failed_profiles: int = 100
    concurrency: int = 16
    failed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start to count."""
        self.progress = Progress(len(self.lookups))
        self._last_error: AltcraftError | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of the profiles, their order and database, the window, and this package's version."""
        digest = blake2b(digest_size=16)
        for part in (__version__, self.list_id, self.window.to_json(), *(lookup.fields for lookup in self.lookups)):
            digest.update(to_json(part) + b"\n")
        return digest.hexdigest()

    def resume(self, state: Any) -> None:
        """Leave out the profiles that an earlier attempt has done."""
        self.progress.resume(state["profiles"], state["events"])
        self.failed[:] = state["failed"]

    async def batches(self) -> AsyncIterator[Piece]:
        """Batches of ``schema.SCHEMA``: profiles in their order, the events of each by time.

        Raises:
            AltcraftError: a history that cannot be had and may not be passed over.
        """
        buffer = RowBuffer()
        async for lookup, outcome in self._histories():
            if isinstance(outcome, AltcraftError):
                self._pass_over(lookup, outcome)
                self.progress.done(0)
                continue
            matching, value = lookup.text
            buffer.add(outcome, list_id=self.list_id, matching=matching, lookup=value)
            self.progress.done(len(outcome))
            if len(buffer) >= BATCH_ROWS:
                yield self._piece(buffer.flush())
        if self.failed and len(self.failed) == len(self.lookups):
            assert self._last_error is not None  # noqa: S101 - it came with the last of them
            self._last_error.add_note("No profile's history could be had, so nothing was written.")
            raise self._last_error
        yield self._piece(buffer.flush() if len(buffer) else None)

    def _piece(self, batch: pa.RecordBatch | None) -> Piece:
        done = {"profiles": self.progress.profiles, "events": self.progress.events, "failed": list(self.failed)}
        return Piece(batch, done)

    async def _histories(self) -> AsyncIterator[tuple[ProfileLookup, list[HistoryEvent] | AltcraftError]]:
        waiting = islice(self.lookups, self.progress.profiles, None)
        under_way: deque[tuple[ProfileLookup, asyncio.Task[list[HistoryEvent] | AltcraftError]]] = deque()

        def start(count: int) -> None:
            under_way.extend((lookup, asyncio.create_task(self._ask(lookup))) for lookup in islice(waiting, count))

        start(self.concurrency)
        try:
            while under_way:
                lookup, task = under_way[0]
                outcome = await task
                under_way.popleft()
                start(1)
                yield lookup, outcome
        finally:
            for _, task in under_way:
                task.cancel()
            for _, task in under_way:
                with suppress(asyncio.CancelledError, Exception):
                    await task

    async def _ask(self, lookup: ProfileLookup) -> list[HistoryEvent] | AltcraftError:
        try:
            return await self.client.get_history(
                lookup, list_id=self.list_id, date_from=self.window.start, date_to=self.window.end
            )
        except RequestError as error:
            if error.code is None:  # not the platform's word on this profile, but a wrong address
                raise
            return error
        except RetriableError as error:
            return error

    def _pass_over(self, lookup: ProfileLookup, error: AltcraftError) -> None:
        place = f"profile {self.progress.profiles + 1} of {self.progress.total}, looked up by {lookup.text[0]}"
        log.debug("%s: %s", place, lookup.fields)
        if self.on_profile_error == "fail":
            error.add_note(f"This is {place}. on_profile_error='skip' would go on without it.")
            raise error
        log.warning("Skipped %s: %s", place, error)
        self._last_error = error
        self.failed.append({"lookup": lookup.fields, "error": str(error)})
        if len(self.failed) > self.max_failed_profiles:
            error.add_note(
                f"More than max_failed_profiles={self.max_failed_profiles} profiles failed; the last is {place}."
            )
            raise error
