"""The views of a DAG and of the menu: rows, duration and lateness of pulls, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from airflow_provider.altcraft.page._instance import Instance
from airflow_provider.altcraft.page._pull_view import WIDTH, clock
from airflow_provider.altcraft.page._result import Result, parse

_HEIGHT: Final = 60


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a small chart."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A pull in a table."""

    dag_id: str
    task: str
    run: str
    when: str
    rows: int
    seconds: str
    late: str
    failed: int
    state: str
    href: str


@dataclass(frozen=True, slots=True)
class TaskView:
    """The pulls of a task, the last first, and charts of its runs, the last on the right."""

    task: str
    lines: list[Line]
    rows: list[Column]
    seconds: list[Column]
    late: list[Column]


@dataclass(frozen=True, slots=True)
class DagView:
    """The pulls by task, and all in one list."""

    tasks: list[TaskView]
    lines: list[Line]


def dag_view(pulls: Sequence[Instance]) -> DagView:
    """Return what to show of pulls, which are given the last first."""
    read = [(pull, result) for pull in pulls if (result := parse(pull.result))]
    tasks: dict[tuple[str, str], list[tuple[Instance, Result]]] = {}
    for pull, result in read:
        tasks.setdefault((pull.dag_id, pull.task_id), []).append((pull, result))
    return DagView([_task(task, found) for (_, task), found in tasks.items()], [_line(*each) for each in read])


def _task(task: str, found: Sequence[tuple[Instance, Result]]) -> TaskView:
    runs: dict[str, list[tuple[Instance, Result]]] = {}  # of a mapped task one column for all its instances
    for each in reversed(found):
        runs.setdefault(each[0].run_id, []).append(each)
    when = [clock(of_run[0][0].run_after, "UTC") or "" for of_run in runs.values()]
    rows = [sum(result.rows for _, result in of_run) for of_run in runs.values()]
    seconds = [max(pull.seconds or 0.0 for pull, _ in of_run) for of_run in runs.values()]
    late = [max(_hours(result) or 0.0 for _, result in of_run) for of_run in runs.values()]
    return TaskView(
        task,
        [_line(*each) for each in found],
        _columns(rows, [f"{at}: {count:,} rows" for at, count in zip(when, rows, strict=True)]),
        _columns(seconds, [f"{at}: {duration(each)}" for at, each in zip(when, seconds, strict=True)]),
        _columns(late, [f"{at}: up to {hours:g} h" for at, hours in zip(when, late, strict=True)]) if any(late) else [],
    )


def _columns(values: Sequence[float], titles: Sequence[str]) -> list[Column]:
    most, step = max(values, default=0) or 1, WIDTH / max(len(values), 10)
    return [
        Column(
            round(at * step, 2),
            round(_HEIGHT - _HEIGHT * value / most, 2),
            round(step * 0.8, 2),
            round(_HEIGHT * value / most, 2),
            title,
        )
        for at, (value, title) in enumerate(zip(values, titles, strict=True))
    ]


def _line(pull: Instance, result: Result) -> Line:
    hours = _hours(result)
    return Line(
        dag_id=pull.dag_id,
        task=pull.name,
        run=pull.run_id,
        when=clock(pull.run_after, "UTC") or "",
        rows=result.rows,
        seconds=duration(pull.seconds),
        late="" if hours is None else f"up to {hours:g} h",
        failed=len(result.failed_profiles),
        state=pull.state or "",
        href=href_of(pull),
    )


def href_of(instance: Instance) -> str:
    """Return the address of a task instance's page, relative to that of the menu and of a DAG."""
    names = ("dag_id", "run_id", "task_id", "map_index")
    return f"task?{urlencode({name: getattr(instance, name) for name in names})}"


def _hours(result: Result) -> float | None:
    """Return by how many hours the latest of late events came, at most."""
    hours = result.lateness.hours if result.lateness else None
    return hours.get("at_most", {}).get("max") if hours else None


def duration(seconds: float | None) -> str:
    """Return a duration in words."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days"
