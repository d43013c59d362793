"""A progress bar of a pull on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.extract._progress import Progress as Counts
from airflow_provider.altcraft.extract._progress import WalkProgress

_COLUMNS: Final = ("{task.fields[done]}", "{task.fields[events]}")


class ProgressBar:
    """Shows a bar within a ``with`` block, which gets the function that takes the counts of a pull."""

    def __enter__(self) -> Callable[[Counts], object]:
        self._bar = _Bar()
        self._bar.start()
        return self._bar.follow

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class _Bar(Progress):
    """The bar, which reads the counts whenever it is drawn, so that the pull has no work with it."""

    def __init__(self) -> None:
        self._counts: Counts | None = None
        done, events = map(TextColumn, _COLUMNS)
        super().__init__(
            done, BarColumn(), events, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        )
        self._shown = self.add_task("", total=None, done="starting", events="")

    def follow(self, counts: Counts) -> None:
        """Show these counts from now on; a pull that begins again has new ones."""
        self._counts = counts

    def get_renderables(self) -> Iterable[RenderableType]:
        counts = self._counts
        if counts is not None:
            is_walk = isinstance(counts, WalkProgress)
            what = counted(counts.total, "walk" if is_walk else "profile")
            self.update(
                self._shown,
                # Before one is over, walks do not show how far they are.
                total=None if is_walk and not counts.profiles else counts.total,
                completed=counts.profiles,
                done=f"{counts.profiles:,} of {what}",
                events=counted(counts.events, "event"),
            )
        yield from super().get_renderables()
