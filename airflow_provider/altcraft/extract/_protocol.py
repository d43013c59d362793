"""The protocol of a pull: a stream of batches, each with the state of the pull after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_provider.altcraft.client._bulk import BulkClient
    from airflow_provider.altcraft.extract._progress import Progress
    from airflow_provider.altcraft.window import Window


@dataclass(frozen=True, slots=True)
class PullSizes:
    """Sizes in a pull.

    Attributes:
        batch_rows: rows of a batch, about.
        kept_profiles: profiles, at least, between two checkpoints that are to be kept: a killed pull costs requests,
            and a part is seldom full when each profile has few events.
        kept_shares: such checkpoints in a pull, at most.
        probes: profiles that are asked first, only for the days of the account's zone, to see whether their events
            prove the zone.
        least_proved: profiles of a pull, at least, for which the probes are worth their requests.
        held_rows: rows that may wait for a slower response before them; with more, no other profile is asked.
        process_after: bytes of large responses after which a process may read the rest on a second core.
        process_least: bytes still expected, at least, for which the process is worth its start.
    """

    batch_rows: int = 10_000
    kept_profiles: int = 200
    kept_shares: int = 50
    probes: int = 32
    least_proved: int = 640
    held_rows: int = 50_000
    process_after: int = 8 << 20
    process_least: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A batch of ``schema.SCHEMA`` (``None`` where there are no new rows), and the state of the pull after it.

    ``state`` is plain JSON for ``Pull.resume``; ``None`` where a retry could not go on from here. ``keep`` asks the
    writer for a checkpoint now: a good share of the pull was done since the last one.
    """

    batch: pa.RecordBatch | None
    state: Any
    keep: bool = False


class Pull(Protocol):
    """One pull, made before any request and run once.

    Attributes:
        client: asks the platform; the code that runs the pull closes it.
        window: which events to pull.
        progress: counts what is done.
        failed: the profiles passed over so far: ``{"lookup": {…}, "error": "…"}`` each.
    """

    client: BulkClient
    window: Window
    progress: Progress
    failed: list[dict[str, Any]]

    @property
    def plan(self) -> str:
        """The profiles or the database, and the requests, for the log: ``2 profiles of database 1 by 2 requests``."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides the rows and their order; a state is valid only for the same pull."""
        ...

    def resume(self, state: Any) -> None:
        """Go on from the state of an earlier attempt; called before ``batches``."""
        ...

    def batches(self) -> AsyncIterator[Piece]:
        """Yield all rows that are not done yet, in an order that depends only on the platform's data.

        Raises:
            AltcraftError: a history that cannot be read and may not be passed over.
        """
        ...
