"""A bar on stderr that shows how far a pull is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from airflow_provider.altcraft._words import counted
from airflow_provider.altcraft.extract._progress import Progress as Counts
from airflow_provider.altcraft.extract._progress import WalkProgress

_COLUMNS: Final = ("{task.fields[done]}", "{task.fields[events]}")


class ProgressBar:
    """A context that gives what a pull's counts are handed to."""

    def __enter__(self) -> Callable[[Counts], object]:
        self._bar = _Bar()
        self._bar.start()
        return self._bar.follow

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()


class _Bar(Progress):
    """Reads the counts as often as it is drawn, so that the pull does nothing for it."""

    def __init__(self) -> None:
        self._counts: Counts | None = None
        done, events = map(TextColumn, _COLUMNS)
        super().__init__(
            done, BarColumn(), events, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)
        )
        self._shown = self.add_task("", total=None, done="starting", events="")

    def follow(self, counts: Counts) -> None:
        """Show these from now on; a pull that begins again has others."""
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
