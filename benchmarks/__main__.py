"""``python -m benchmarks`` runs everything and writes docs/benchmarks.md; ``--quick`` runs some of it, and prints only.

``--try`` runs next to nothing, to see whether all of it works.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

from benchmarks import cold, measure, plan, report, requests_asked, side_by_side
from benchmarks.raw import ceiling
from benchmarks.results import Results


def main() -> int:
    """Run the plan; the exit code is 1 where rows of this provider were wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than three minutes; writes into .bench/ only")
    parser.add_argument("--try", action="store_true", dest="trial", help="next to nothing, to see that it works")
    parser.add_argument("--shape", choices=("full", "oldest"), default="full", help="of the platform's rows")
    parser.add_argument(
        "--against", default="", help="a git revision, to measure pulls, cold tasks and requests next to its"
    )
    parser.add_argument("--cold", action="store_true", help="nothing but cold tasks and requests; printed only")
    options = parser.parse_args()
    steps = plan.TRIAL if options.trial else plan.QUICK if options.quick else plan.FULL
    started = time.monotonic()
    results = Results(shape=options.shape, date=f"{datetime.now(UTC):%Y-%m-%d}", quick=steps is not plan.FULL)
    against = options.against
    with measure.postgres_schema() as schema, measure.unpacked(against) as tree:
        if options.cold:
            print(cold.table(cold.measure(plan.FULL.cold, against, tree, schema)))
            print(requests_asked.table(requests_asked.measure(against, tree)))
            return 0
        for cell in steps.cells:
            _say(started, cell.name)
            _cell(cell, results, schema, started)
        _say(started, "apart from the profiles")
        for pair in steps.pairs:
            _pair(pair, results, schema)
        _say(started, "cold tasks")
        results.cold = cold.measure(steps.cold, against, tree, schema)
        _say(started, "requests")
        results.asked = requests_asked.measure(against, tree)
        if tree and steps is plan.FULL:
            _say(started, f"next to {against}")
            results.sides = side_by_side.run(against, tree, partial(_say, started))
    folder = measure.ROOT / ".bench"
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(asdict(results), indent=1))
    page = report.page(results, steps)
    (folder / "benchmarks.md").write_text(page)
    (folder / "benchmarks.svg").write_text(report.plot(results, steps))
    if steps is plan.FULL:
        for name in ("benchmarks.md", "benchmarks.svg"):
            (measure.ROOT / "docs" / name).write_text((folder / name).read_text())
    print(page)
    _say(started, f"written to {'docs' if steps is plan.FULL else folder.name}/benchmarks.md")
    return int(any(runs.wrong for runs in results.all() if runs.ours))


def _cell(cell: plan.Cell, results: Results, schema: str, started: float) -> None:
    with measure.origin(cell.profiles, cell.latency_ms, results.shape) as url:
        if not cell.latency_ms and not results.ceiling:
            results.ceiling, results.body = ceiling(url, cell.profiles, measure.CONNECTIONS, 3)
        for number in range(cell.runs):
            for contender in cell.contenders:
                if number and contender in cell.once:
                    continue
                if "postgres" in contender.module and not schema:
                    continue
                _once(cell.name, contender, url, cell.profiles, results, schema)
            _say(started, f"  {number + 1} of {cell.runs}")


def _pair(pair: plan.Pair, results: Results, schema: str) -> None:
    with measure.origin(pair.profiles, pair.latency_ms, results.shape) as url:
        if pair.warm:
            for contender in pair.contenders:
                with contextlib.suppress(RuntimeError):
                    measure.run(contender.module, url, pair.profiles, schema=schema)
        for _ in range(pair.runs):
            for contender in pair.contenders:
                if "postgres" in contender.module and not schema:
                    continue
                _once(pair.name, contender, url, pair.profiles, results, schema)


def _once(where: str, contender: plan.Contender, url: str, profiles: int, results: Results, schema: str) -> None:
    count = max(1, round(profiles * contender.share))
    try:
        run = measure.run(contender.module, url, count, schema=schema)
    except RuntimeError as error:
        print(f"      {contender.name} failed: {error}", file=sys.stderr, flush=True)
        results.fail(where, contender, count)
        return
    results.add(where, contender, count, run)
    wrong = f"  WRONG: {run.wrong}" if run.wrong else ""
    print(f"      {contender.name:45}{count / run.wall:9,.0f} profiles/s{run.wall:9.2f} s{wrong}", flush=True)


def _say(started: float, text: str) -> None:
    print(f"{time.monotonic() - started:5.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
