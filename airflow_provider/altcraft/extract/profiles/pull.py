"""The pull of many profiles: their histories are requested in parallel, and passed on in the order of the profiles."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from itertools import islice
from typing import Any, Literal

import pyarrow as pa  # noqa: TID253 - only a running pull imports this module
from pydantic_core import to_json

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.client import AltcraftError, BadRequestError, RetriableError
from airflow_provider.altcraft.client._bulk import BulkClient
from airflow_provider.altcraft.client._core import Call, in_window
from airflow_provider.altcraft.client._days import Asked, AskedDays, Found, say_asked_wider
from airflow_provider.altcraft.client._lookup import lookup_text
from airflow_provider.altcraft.client.transport._httpx import Response
from airflow_provider.altcraft.extract._progress import Progress
from airflow_provider.altcraft.extract._protocol import Piece, PullSizes
from airflow_provider.altcraft.extract.decoding.decoder import fast_batch
from airflow_provider.altcraft.extract.decoding.decoder_process import DecoderProcess, cores
from airflow_provider.altcraft.extract.decoding.rows import RowReader
from airflow_provider.altcraft.extract.profiles.lookups import Lookups
from airflow_provider.altcraft.extract.profiles.ordered import ordered
from airflow_provider.altcraft.schema import KeyBy, RowBuffer, batch_of_events
from airflow_provider.altcraft.window import Window

log = logging.getLogger(__name__)


@dataclass
class ProfilesPull:
    """One pull of profiles' histories.

    Attributes:
        client: asks the platform.
        lookups: the profiles.
        list_id: their database.
        window: which events to pull.
        on_profile_error: ``fail`` ends the pull at the first profile whose history cannot be read; ``skip`` goes on.
            Errors that concern every profile (token, rights, tariff, certificate, a wrong address, an outage) always
            end it, and so does the last error where no profile at all could be read.
        max_failed_profiles: how many ``skip`` passes over before it gives up as well.
        concurrency: profiles asked at once.
        event_key_by: see ``schema.identities_of``.
        second_core: whether another process may read large responses.
        sizes: of batches and checkpoints.
        failed: the profiles passed over so far: ``{"lookup": {…}, "error": "…"}`` each.
        asked_wider_because: why days are asked around those of the account's zone; ``None`` where they are not, or
            where the zone is not known.
    """

    client: BulkClient
    lookups: Lookups
    list_id: int
    window: Window
    on_profile_error: Literal["fail", "skip"] = "fail"
    max_failed_profiles: int = 100
    concurrency: int = 16
    event_key_by: KeyBy = "row"
    second_core: bool = True
    sizes: PullSizes = field(default_factory=PullSizes)
    failed: list[dict[str, Any]] = field(default_factory=list)
    asked_wider_because: str | None = None

    def __post_init__(self) -> None:
        self.progress = Progress(len(self.lookups))
        self._rows = RowReader()
        self._last_error: AltcraftError | None = None
        self._handed_on = self._events = self._without_events = 0
        self._asked_by: set[str] = set()
        self._asked: Asked | None = None
        self._bytes = self._large = 0
        self._process: DecoderProcess | None = None

    @property
    def plan(self) -> str:
        """The profiles, their database, and the requests, for the log."""
        left = len(self.lookups) - self._handed_on
        at_once = f", {self.concurrency} at once" if left > 1 < self.concurrency else ""
        requests = f"{counted(left, 'request')}{at_once}"
        return f"{counted(len(self.lookups), 'profile')} of database {self.list_id} by {requests}"

    @property
    def fingerprint(self) -> str:
        """A digest of the profiles, their order and database, the window, and this package's version."""
        decides = [__version__, self.lookups.digest, self.list_id, self.window.to_json(), self.event_key_by]
        return blake2b(to_json(decides), digest_size=16).hexdigest()

    def resume(self, state: Any) -> None:
        """Go on after the profiles that an earlier attempt has done."""
        self._handed_on, self._events = state["profiles"], state["events"]
        self.progress.resume(self._handed_on, self._events)
        self._without_events = state["without_events"]
        self.failed[:] = state["failed"]

    async def batches(self) -> AsyncIterator[Piece]:
        """Yield batches of ``schema.SCHEMA``: profiles in their order, the events of each by time.

        Raises:
            AltcraftError: a history that cannot be read and may not be passed over.
        """
        try:
            async for piece in self._pieces():
                yield piece
        finally:
            if self._process:
                await self._process.aclose()

    async def _pieces(self) -> AsyncIterator[Piece]:
        await self._prove_days()
        buffer = RowBuffer()
        # Counted from the first profile, so that the parts of a resumed pull end at the same profiles.
        share = max(self.sizes.kept_profiles, len(self.lookups) // self.sizes.kept_shares)
        async for lookup, outcome in ordered(
            self.lookups.since(self._handed_on),
            self._ask_counted,
            workers=self.concurrency,
            size=_rows_of,
            most=self.sizes.held_rows,
        ):
            if isinstance(outcome, AltcraftError):
                self._pass_over(lookup, outcome)
            else:
                buffer.extend(outcome)
                self._without_events += not outcome.num_rows
                self._asked_by.add(" ".join(filter(None, (lookup.get("matching", "xxh"), lookup.get("field_name")))))
            self._handed_on += 1
            self._events += _rows_of(outcome)
            keep = self._handed_on % share == 0
            if keep or len(buffer) >= self.sizes.batch_rows:
                yield self._piece(buffer, keep=keep)
        if self.failed and len(self.failed) == len(self.lookups):
            error = self._last_error or RetriableError(self.failed[-1]["error"])
            error.add_note("No profile's history could be read, so nothing was written.")
            raise error
        self._say_who_is_missing()
        yield self._piece(buffer)

    async def _prove_days(self) -> None:
        """Check by the first profiles whether the days of the account's zone are enough; else ask as without the zone.

        A profile is one request for any number of days, and its own events seldom prove the zone.
        """
        days, found = AskedDays.known(self.window, self.client.settings.zone), None
        if days is None:
            return
        count, least, first = len(self.lookups), self.sizes.least_proved, self.sizes.probes
        if count < least:
            self.asked_wider_because = f"too few profiles to prove the days by: {count} of {least}"
            return
        (self._asked,) = days.asked
        probes = ordered(islice(self.lookups, first), self._ask, workers=self.concurrency, size=lambda _: 1, most=first)
        async for _, outcome in probes:
            if not isinstance(outcome, AltcraftError) and outcome.num_rows:
                times = outcome["datetime"]  # in order
                found = Found.of([times[0].as_py(), times[-1].as_py()], found)
        if missing := days.missing([found]):
            self._asked = None
            say_asked_wider(missing)
            self.asked_wider_because = "; ".join(each.why for each in missing)

    def _piece(self, buffer: RowBuffer, *, keep: bool = False) -> Piece:
        done = {
            "profiles": self._handed_on,
            "events": self._events,
            "failed": list(self.failed),
            "without_events": self._without_events,
        }
        return Piece(buffer.flush() if len(buffer) else None, done, keep)

    def _say_who_is_missing(self) -> None:
        """Log profiles without events: the platform answers alike for missing profiles and misspelt fields."""
        answered = len(self.lookups) - len(self.failed)
        if answered and self._without_events == answered:
            log.warning(
                "%s within the window, looked up by %s in the database of list_id %d: check that the "
                "profiles are there, and the spelling of custom fields",
                "The one profile had no event" if answered == 1 else f"None of the {answered:,} profiles had an event",
                ", ".join(sorted(self._asked_by)) or "what an earlier attempt asked",
                self.list_id,
            )
        elif self._without_events:
            of_all = f"{self._without_events:,} of {counted(answered, 'profile')}"
            log.info("%s had no event within the window", of_all)

    async def _ask_counted(self, lookup: dict[str, Any]) -> pa.RecordBatch | AltcraftError:
        # Its rows may have to wait for an earlier profile; states count it only once they are handed on.
        outcome = await self._ask(lookup)
        self.progress.done(_rows_of(outcome))
        return outcome

    async def _ask(self, lookup: dict[str, Any]) -> pa.RecordBatch | AltcraftError:
        call = self.client.core.history_by(lookup, self.list_id, self.window, asked=self._asked)
        read = partial(self._read, *lookup_text(lookup))
        read_apart = partial(self._read_apart, *lookup_text(lookup))
        try:
            try:
                return await self.client.ask(call, read, read_apart=read_apart)
            except RetriableError as error:
                if not error.outage:
                    return error
                if not await self.client.answers():
                    raise
            # The outage has just ended, or this profile was the only call.
            try:
                return await self.client.ask(call, read, many=False)
            except RetriableError as error:
                if not await self.client.answers():
                    raise
                return error
        except BadRequestError as error:
            if error.code is None:  # not the platform's word on this profile, but a wrong address
                raise
            return error

    async def _read_apart(self, matching: str, value: str, call: Call, response: Response) -> pa.RecordBatch:
        if self._process is None and self.second_core and self._worth_a_process(len(response.body)):
            self._process = DecoderProcess(self.window, self.list_id, self.event_key_by)
            self._process.start()
        if self._process:
            kind = response.headers.get("content-type", "")
            batch = await self._process.read(matching, value, kind, response.body)
            if batch is not None:
                return batch
        return await self.client.apart(partial(self._read, matching, value, call, response))

    def _worth_a_process(self, size: int) -> bool:
        self._bytes += size
        self._large += 1
        left = (len(self.lookups) - self.progress.profiles) * self._bytes // self._large
        return self._bytes >= self.sizes.process_after and left >= self.sizes.process_least and cores() > 1

    def _read(self, matching: str, value: str, call: Call, response: Response) -> pa.RecordBatch:
        how: dict[str, Any] = {"list_id": self.list_id, "matching": matching, "lookup": value, "by": self.event_key_by}
        sent = self._rows.read(response.body, response.headers.get("content-type", ""))
        if sent is not None and sent.data:
            batch = fast_batch(sent.data, self.window, **how)
            if batch is not None:
                return batch
        events = in_window(self.client.core.events_of(call, response).rows, self.window)
        return batch_of_events(events, **how)

    def _pass_over(self, lookup: dict[str, Any], error: AltcraftError) -> None:
        place = f"profile {self._handed_on + 1} of {self.progress.total}, looked up by {lookup_text(lookup)[0]}"
        log.debug("%s: %s", place, lookup)
        if self.on_profile_error == "fail":
            error.add_note(f"This is {place}. on_profile_error='skip' would go on without it.")
            raise error
        log.warning("Skipped %s: %s", place, error)
        self._last_error = error
        self.failed.append({"lookup": lookup, "error": str(error)})
        if len(self.failed) > self.max_failed_profiles:
            error.add_note(f"More than max_failed_profiles={self.max_failed_profiles} failed; the last is {place}.")
            raise error


def _rows_of(outcome: pa.RecordBatch | AltcraftError) -> int:
    return 0 if isinstance(outcome, AltcraftError) else outcome.num_rows
