"""What was measured, by setting and contender."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.answers import Shape
from benchmarks.cold import Cold
from benchmarks.measure import EVENTS, Run
from benchmarks.plan import Contender
from benchmarks.requests_asked import Counted
from benchmarks.side_by_side import Sides


@dataclass(slots=True)
class Runs:
    """The runs of one contender in one setting."""

    name: str
    profiles: int
    ours: bool
    runs: list[Run] = field(default_factory=list)
    failed: int = 0

    @property
    def wrong(self) -> str:
        """What is wrong with the rows of any run."""
        if self.failed:
            return f"{self.failed} runs failed"
        return next((run.wrong for run in self.runs if run.wrong), "")

    def median(self, name: str) -> float:
        """Of one of the figures of a run."""
        figures: list[float] = [getattr(run, name) for run in self.runs]
        return statistics.median(figures)

    @property
    def rate(self) -> float:
        """Profiles a second."""
        return self.profiles / self.median("wall")

    @property
    def cpu(self) -> float:
        """Seconds of the processor for a million events."""
        return self.median("cpu") / (self.profiles * EVENTS) * 1e6

    @property
    def spread(self) -> str:
        """The least and the most wall time."""
        walls = [run.wall for run in self.runs]
        return f"{min(walls):.2f} to {max(walls):.2f}" if len(walls) > 1 else "one run"


@dataclass(slots=True)
class Results:
    """Everything."""

    shape: Shape
    date: str
    quick: bool
    ceiling: float = 0
    body: int = 0
    cells: dict[str, dict[str, Runs]] = field(default_factory=dict)
    cold: Cold = field(default_factory=Cold)
    asked: Counted = field(default_factory=Counted)
    sides: Sides = field(default_factory=Sides)

    def add(self, where: str, contender: Contender, profiles: int, run: Run) -> None:
        """Keep a run."""
        self._runs(where, contender, profiles).runs.append(run)

    def fail(self, where: str, contender: Contender, profiles: int) -> None:
        """Keep that one failed."""
        self._runs(where, contender, profiles).failed += 1

    def get(self, where: str, module: str) -> Runs | None:
        """The runs of a contender, where there are any that ended."""
        runs = self.cells.get(where, {}).get(module)
        return runs if runs and runs.runs else None

    def all(self) -> Iterator[Runs]:
        """Every contender in every setting."""
        for cell in self.cells.values():
            yield from cell.values()

    def _runs(self, where: str, contender: Contender, profiles: int) -> Runs:
        cell = self.cells.setdefault(where, {})
        return cell.setdefault(contender.module, Runs(contender.name, profiles, contender.ours))
