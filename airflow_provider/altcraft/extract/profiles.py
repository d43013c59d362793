"""The histories of many profiles: asked side by side, handed on in the order in which the profiles were given."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Literal

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft.client import AltcraftError, RequestError, RetriableError
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._core import Call, in_window
from airflow_provider.altcraft.client._lookup import lookup_text
from airflow_provider.altcraft.client._transport import Answer
from airflow_provider.altcraft.extract._decode import fast_batch
from airflow_provider.altcraft.extract._lookups import Lookups
from airflow_provider.altcraft.extract._ordered import ordered
from airflow_provider.altcraft.extract._progress import Progress
from airflow_provider.altcraft.extract._pull import Piece
from airflow_provider.altcraft.extract._rows import RowReader
from airflow_provider.altcraft.schema import RowBuffer, batch_of_events
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)

BATCH_ROWS = 10_000

KEPT_PROFILES = 200
KEPT_SHARES = 50
"""What is done is kept after each of so many equal shares of the profiles, or so many profiles where that is more: a
killed pull costs requests, and a part is seldom full when each profile has few events."""

HELD_ROWS = 50_000
"""Rows that wait for a slower answer before them, at which no other profile is asked."""


@dataclass
class ProfilesPull:
    """One pull of profiles' histories.

    Attributes:
        client: asks the platform.
        lookups: the profiles.
        list_id: their database.
        window: which events are wanted.
        on_profile_error: ``fail`` ends the pull at the first profile whose history cannot be had; ``skip`` goes on.
            Errors that would befall every profile (token, rights, tariff, certificate, a wrong address) always end it,
            and so does the last error where no profile at all could be had.
        max_failed_profiles: how many ``skip`` passes over before it gives up as well.
        concurrency: profiles asked at once.
        failed: the profiles passed over so far: ``{"lookup": {…}, "error": "…"}`` each.
    """

    client: BulkClient
    lookups: Lookups
    list_id: int
    window: Window
    on_profile_error: Literal["fail", "skip"] = "fail"
    max_failed_profiles: int = 100
    concurrency: int = 16
    failed: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Start to count."""
        self.progress = Progress(len(self.lookups))
        self._rows = RowReader()
        self._last_error: AltcraftError | None = None

    @property
    def fingerprint(self) -> str:
        """A digest of the profiles, their order and database, the window, and this package's version."""
        decides = [__version__, self.lookups.digest, self.list_id, self.window.to_json()]
        return blake2b(to_json(decides), digest_size=16).hexdigest()

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
        # Counted from the first profile, so that the parts of a pull that was killed end where those of another do.
        share = max(KEPT_PROFILES, len(self.lookups) // KEPT_SHARES)
        async for lookup, outcome in ordered(
            self.lookups.since(self.progress.profiles),
            self._ask,
            workers=self.concurrency,
            size=lambda outcome: 0 if isinstance(outcome, AltcraftError) else outcome.num_rows,
            most=HELD_ROWS,
        ):
            if isinstance(outcome, AltcraftError):
                self._pass_over(lookup, outcome)
                self.progress.done(0)
            else:
                buffer.extend(outcome)
                self.progress.done(outcome.num_rows)
            keep = self.progress.profiles % share == 0
            if keep or len(buffer) >= BATCH_ROWS:
                yield self._piece(buffer, keep=keep)
        if self.failed and len(self.failed) == len(self.lookups):
            error = self._last_error or RetriableError(self.failed[-1]["error"])
            error.add_note("No profile's history could be had, so nothing was written.")
            raise error
        yield self._piece(buffer)

    def _piece(self, buffer: RowBuffer, *, keep: bool = False) -> Piece:
        done = {"profiles": self.progress.profiles, "events": self.progress.events, "failed": list(self.failed)}
        return Piece(buffer.flush() if len(buffer) else None, done, keep)

    async def _ask(self, lookup: dict[str, Any]) -> pa.RecordBatch | AltcraftError:
        call = self.client.core.history_by(lookup, self.list_id, self.window)
        try:
            return await self.client.ask(call, partial(self._read, *lookup_text(lookup)))
        except RequestError as error:
            if error.code is None:  # not the platform's word on this profile, but a wrong address
                raise
            return error
        except RetriableError as error:
            return error

    def _read(self, matching: str, value: str, call: Call, answer: Answer) -> pa.RecordBatch:
        sent = self._rows.read(answer)
        if sent is not None and sent.data:
            batch = fast_batch(sent.data, self.window, list_id=self.list_id, matching=matching, lookup=value)
            if batch is not None:
                return batch
        events = in_window(self.client.core.events_of(call, answer).rows, self.window)
        return batch_of_events(events, list_id=self.list_id, matching=matching, lookup=value)

    def _pass_over(self, lookup: dict[str, Any], error: AltcraftError) -> None:
        place = f"profile {self.progress.profiles + 1} of {self.progress.total}, looked up by {lookup_text(lookup)[0]}"
        log.debug("%s: %s", place, lookup)
        if self.on_profile_error == "fail":
            error.add_note(f"This is {place}. on_profile_error='skip' would go on without it.")
            raise error
        log.warning("Skipped %s: %s", place, error)
        self._last_error = error
        self.failed.append({"lookup": lookup, "error": str(error)})
        if len(self.failed) > self.max_failed_profiles:
            error.add_note(
                f"More than max_failed_profiles={self.max_failed_profiles} profiles failed; the last is {place}."
            )
            raise error
