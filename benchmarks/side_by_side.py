"""Pulls of this build and of another revision's, in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Run
from benchmarks.plan import DATABASE, PARTS, Contender


@dataclass(frozen=True, slots=True)
class Side:
    """A pull that both do.

    Attributes:
        contender: what runs.
        profiles: how many, at 20 ms.
        runs: of each.
        least: how many times faster than the other, at least.
    """

    contender: Contender
    profiles: int
    runs: int
    least: float | None = None

    @property
    def name(self) -> str:
        """In the table."""
        return f"{self.contender.name.removeprefix('this provider, ')}, {self.profiles:,} profiles"


SIDES = (Side(PARTS, 2_000, 5), Side(PARTS, 20_000, 3, least=1.5), Side(DATABASE, 2_000, 5))


@dataclass(slots=True)
class Sides:
    """What was measured: runs of each side by its name."""

    against: str = ""
    now: dict[str, list[Run]] = field(default_factory=dict)
    then: dict[str, list[Run]] = field(default_factory=dict)


def run(against: str, tree: Path, say: Callable[[str], None]) -> Sides:
    """Run them.

    Raises:
        RuntimeError: one failed.
    """
    sides = Sides(against)
    for side in SIDES:
        with measure.origin(side.profiles, 20, "full") as url:
            if side.contender is DATABASE:
                measure.run(side.contender.module, url, side.profiles)  # the server builds the pages
                measure.run(side.contender.module, url, side.profiles, tree=tree)
            for number in range(side.runs):
                for found, where in ((sides.now, None), (sides.then, tree)):
                    found.setdefault(side.name, []).append(
                        measure.run(side.contender.module, url, side.profiles, tree=where)
                    )
                walls = [found[side.name][-1].wall for found in (sides.now, sides.then)]
                say(f"  {side.name}, {number + 1} of {side.runs}: {walls[0]:.2f} s, {walls[1]:.2f} s at {against}")
    return sides


def table(sides: Sides) -> str:
    """The table, in Markdown; nothing where there is no other revision."""
    if not sides.against:
        return ""
    then = f"at {sides.against}"
    lines = [
        f"## Next to {sides.against}\n",
        "In turn, against the same server, at 20 ms; medians. CPU and memory include any process started.\n",
        f"| | wall s | {then} | times faster | wanted | | CPU s | {then} | peak MB | {then} | rows | runs |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for side in SIDES:
        now, before = sides.now.get(side.name, []), sides.then.get(side.name, [])
        if not now:
            continue
        times = _median(before, "wall") / _median(now, "wall")
        wanted = "" if side.least is None else f"at least {side.least:g}"
        word = "" if side.least is None else "reached" if times >= side.least else "**not reached**"
        cells = [
            side.name,
            f"{_median(now, 'wall'):.2f}",
            f"{_median(before, 'wall'):.2f}",
            f"{times:.2f}",
            wanted,
            word,
        ]
        for name, digits in (("cpu", 2), ("peak_mb", 0)):
            cells += [f"{_median(runs, name):,.{digits}f}" for runs in (now, before)]
        cells += [next((each.wrong for each in [*now, *before] if each.wrong), "✓"), str(len(now))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _median(runs: list[Run], name: str) -> float:
    figures: list[float] = [getattr(run, name) for run in runs]
    return statistics.median(figures)
