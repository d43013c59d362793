"""What a pull is to those who write it away: a stream of batches, each with how far the pull is after it."""

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
    """How much of a pull is held, kept or tried at once.

    Attributes:
        batch_rows: rows of a batch, about.
        kept_profiles: after how many profiles, at least, what is done is kept: a killed pull costs requests, and a part
            is seldom full when each profile has few events.
        kept_shares: after how many equal shares of the profiles, at most.
        probes: profiles that are asked first for the days of the account's zone alone, to see whether their events
            prove it.
        least_proved: profiles, at least, for which that is worth the requests.
        held_rows: rows that wait for a slower response before them, at which no other profile is asked.
        process_after: bytes of large responses after which the rest may be read on a second core.
        process_least: bytes still to be expected, at least, for which that is worth a process.
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
    """A batch of ``schema.SCHEMA`` (``None`` where there are no new rows), and what is done once it is written.

    ``state`` is plain JSON, which ``Pull.resume`` takes; ``None`` where there is nothing to go on from. ``keep`` says
    that a good share of the pull was done since this was last said, which no retry should have to do again.
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
        """What is pulled and asked, as a log gives it: ``2 profiles of database 1 by 2 requests``."""
        ...

    @property
    def fingerprint(self) -> str:
        """A digest of all that decides the rows and their order; a state is of use only to the same pull."""
        ...

    def resume(self, state: Any) -> None:
        """Leave out what an earlier attempt says is done; before ``batches``."""
        ...

    def batches(self) -> AsyncIterator[Piece]:
        """All rows that are not done yet, in an order that depends on nothing but the platform's data.

        Raises:
            AltcraftError: what cannot be had and may not be passed over.
        """
        ...
