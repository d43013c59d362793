"""The benchmark's page reports what was measured as it is, reached or not, and nothing that was not measured."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from benchmarks import cold, plan, report, requests_asked, side_by_side
from benchmarks.cold import Cold
from benchmarks.measure import Run
from benchmarks.plan import Contender, Goal, Steps
from benchmarks.requests_asked import PULLS, Counted
from benchmarks.results import Results
from benchmarks.side_by_side import Sides

MAIN, LARGE = "2,000 profiles, 20 ms", "20,000 profiles, 20 ms"


def run(wall: float, peak: float = 300, *, wrong: str = "") -> Run:
    return Run(wall=wall, cpu=wall, base_mb=200, peak_mb=peak, whole=wall + 3, whole_cpu=wall + 3, rows=1, wrong=wrong)


def results(*, threads: float = 6.0, large_peak: float = 320) -> Results:
    """A benchmark in which ours takes 1, 2 and 9 seconds."""
    found = Results("full", "2026-11-24", quick=False, ceiling=20_000, body=73_000)
    for wall in (1, 2, 9):
        found.add(MAIN, plan.PARTS, 2_000, run(wall))
    found.add(MAIN, plan.THREADS, 2_000, run(threads))
    found.add(MAIN, plan.LOOP, 200, run(10))
    found.add(LARGE, plan.PARTS, 20_000, run(20, large_peak))
    found.fail(MAIN, plan.DLT, 2_000)
    return found


def line(page: str, begin: str) -> str:
    (found,) = (line for line in page.splitlines() if line.startswith(begin))
    return found


def reached(found: Results, text: str) -> tuple[float | None, bool | None]:
    ((goal, value),) = ((goal, value) for goal, value in report.goals(found, plan.FULL) if text in goal.text)
    return value, None if value is None else goal.reached(value)


def test_ratios_are_of_the_medians_and_of_rates() -> None:
    """A contender that pulled fewer profiles is measured by its rate."""
    assert reached(results(), "16 threads") == (3.0, True)
    assert reached(results(), "in a loop") == (1000 / 20, True)


def test_a_goal_that_is_missed_says_so() -> None:
    assert reached(results(threads=5.9), "16 threads")[1] is False
    page = report.page(results(threads=5.9), plan.FULL)
    assert line(page, "| `requests`, 16 threads").endswith("| at least 3 times | 2.95 times | **not reached** |")


def test_what_was_not_measured_has_no_figure() -> None:
    assert reached(results(), "PostgreSQL") == (None, None)
    assert line(report.page(results(), plan.FULL), "| PostgreSQL").endswith("| not measured | |")


@pytest.mark.parametrize(("peak", "fine"), [(330, True), (331, False)])
def test_memory_may_hardly_grow(peak: float, fine: bool) -> None:
    assert reached(results(large_peak=peak), "against 2,000")[1] is fine


def test_failures_and_wrong_rows_stand_in_the_table() -> None:
    found = results()
    found.add(MAIN, plan.FLOOR, 2_000, run(1, wrong="7 rows are doubled"))
    page = report.page(found, plan.FULL)
    assert "| failed |" in line(page, f"| {plan.DLT.name}")
    assert "| 7 rows are doubled |" in line(page, f"| {plan.FLOOR.name}")


@pytest.mark.parametrize(("ceiling", "words"), [(8_000, "4.0 times"), (7_000, "less than the expected 4")])
def test_the_server_has_to_be_faster_than_all(ceiling: float, words: str) -> None:
    found = results()
    found.ceiling = ceiling
    found.add(MAIN, plan.FLOOR, 2_000, run(1))
    assert words in report.page(found, plan.FULL)


def test_the_page_tells_no_hosts_or_paths() -> None:
    page = report.page(results(), plan.FULL)
    assert not re.search(r"(^|[\s`(])/(home|tmp|root|usr|work)\b", page)
    assert re.search(r"2026-11-24, \d+ cores, \d+ GB of memory, Python 3\.\d+", page)


def test_the_plot_has_a_bar_for_each_that_ended() -> None:
    root = ElementTree.fromstring(report.plot(results(), plan.FULL))
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in root.iter(f"{space}rect") if bar.get("class") in {"ours", "other"}]
    assert len(bars) == 2 * 3
    names = [text.text for text in root.iter(f"{space}text") if text.get("class") == "name"]
    assert f"{plan.LOOP.name} (200 profiles)" in names  # its memory is that of fewer
    assert plan.THREADS.name in names
    width = float(root.get("width", "0"))
    assert all(0 < float(bar.get("width", "0")) < width - float(bar.get("x", "0")) for bar in bars)


@pytest.mark.parametrize("steps", [plan.FULL, plan.QUICK, plan.TRIAL], ids=["full", "quick", "trial"])
def test_each_plan_measures_every_goal(steps: Steps) -> None:
    found = Results("full", "2026-11-24", quick=False, ceiling=1, body=1)
    for where in (*steps.cells, *steps.pairs):
        for contender in where.contenders:
            found.add(where.name, contender, where.profiles, run(1))
    assert all(value is not None for _, value in report.goals(found, steps))


def test_the_main_cell_is_run_often() -> None:
    (main,) = (cell for cell in plan.FULL.cells if cell.name == MAIN)
    assert main.runs >= 5
    often: set[Contender] = set(main.contenders) - set(main.once)
    assert {plan.PARTS, plan.THREADS, plan.LOOP, plan.HTTPX, plan.DLT, plan.DLT_ARROW, plan.FLOOR} <= often


def test_goals_at_their_border() -> None:
    assert Goal("", 3).reached(3)
    assert not Goal("", 3).reached(2.99)
    assert Goal("", 1.1, most=True).reached(1.1)
    assert not Goal("", 1.1, most=True).reached(1.11)


def test_cold_tasks_stand_side_by_side_with_those_of_the_other_revision() -> None:
    took = [{"cpu": cpu, "wall": 1.0, "mb": 60.4, "modules": 224.0} for cpu in (0.3, 0.5, 0.9)]
    before = [{"cpu": 1.25, "wall": 1.0, "mb": 147.0, "modules": 1_315.0}]
    found = Cold(
        "7f64096", {cold.FILE.name: took, cold.POLL.name: took}, {cold.FILE.name: before, cold.POLL.name: took}
    )
    page = cold.table(found)
    expected = "| 0.50 | 1.25 | 0.40 | at most 0.4 | reached | 224 | 1,315 | 60 | 147 | 3 |"
    assert line(page, f"| {cold.FILE.name}") == f"| {cold.FILE.name} {expected}"
    assert "| 1.00 | at most 0.9 | **not reached** |" in line(page, f"| {cold.POLL.name}")
    assert "| CPU s | at 7f64096 |" in page
    alone = line(cold.table(Cold(now={cold.FILE.name: took})), f"| {cold.FILE.name}")
    assert alone.endswith("| 0.50 |  |  | at most 0.4 |  | 224 |  | 60 |  | 3 |")


def test_requests_stand_next_to_those_of_the_other_revision() -> None:
    counted = Counted("7f64096", {PULLS[0].name: 1.1, PULLS[1].name: 1.051}, {PULLS[0].name: 3.857})
    page = requests_asked.table(counted)
    assert line(page, f"| {PULLS[0].name}") == f"| {PULLS[0].name} | 1.10 | 3.86 | at most 1.1 | reached |"
    assert line(page, f"| {PULLS[1].name}") == f"| {PULLS[1].name} | 1.05 |  | at most 1.05 | **not reached** |"


def test_pulls_stand_next_to_those_of_the_other_revision() -> None:
    few, many, _ = side_by_side.SIDES
    sides = Sides(
        "7f64096",
        {few.name: [run(2)], many.name: [run(20), run(21), run(22)]},
        {few.name: [run(3)], many.name: [run(31), run(31), run(40)]},
    )
    page = side_by_side.table(sides)
    assert "| 2.00 | 3.00 | 1.50 |  |  | 2.00 | 3.00 | 300 | 300 | ✓ | 1 |" in line(page, f"| {few.name}")
    assert "| 21.00 | 31.00 | 1.48 | at least 1.5 | **not reached** |" in line(page, f"| {many.name}")
    assert side_by_side.table(Sides()) == ""
