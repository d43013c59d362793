"""The page and the plot, from what was measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from benchmarks import cold, requests_asked, side_by_side
from benchmarks.measure import CONNECTIONS, EVENTS
from benchmarks.plan import Goal, Steps
from benchmarks.results import Results, Runs

PACKAGES: tuple[str, ...] = (
    "apache-airflow",
    "aiohttp",
    "uvloop",
    "pyarrow",
    "requests",
    "httpx",
    "pydantic",
    "dlt",
    "psycopg",
)
PACKAGES += ("apache-airflow-providers-http", "airflow-provider-altcraft")
MAIN = "ours_parts"

HEAD = """# Benchmarks

Written by `make bench`. `make bench-quick` takes less than three minutes and prints a smaller one. Both set up all they
need; PostgreSQL is `BENCH_POSTGRES` (default `postgresql://postgres@127.0.0.1:5432/postgres`) and is left out where there is none.

The question: what do users get who pull the histories of many profiles, asked one by one, into one place? Each contender is written
as its documentation shows, and each run is a process of its own against a server on the same machine.
"""

BOUNDS = """## What bounds it

The cores: Python's threads take turns, so a long pull reads its large responses in a process of its own. Of the processor's time of a pull
of 8,000 profiles into Parquet parts, counted by thread and process, 55 % goes into reading (JSON into columns, an `event_key` for each row), 31 % into HTTP and
the event loop (aiohttp, the pace, time-outs, the hand-over), 12 % into writing (Parquet, zstd, checksums). The server is on the same two cores. The loop of
the floor costs next to nothing; it reads and writes the same way, in one process.

- **Reading** was a dictionary for each row, and is now a struct of C for each (msgspec); what has no column is taken as bytes, and turned into
  canonical JSON once for all rows of an answer that have the same. Here all rows of a profile have, as a profile's subscriptions come with
  each of its events; with a different object in each row, reading was measured to take 1.6 times as long. Of 0.45 ms an answer, the JSON takes 0.08, columns and `extra`
  0.06, Arrow's arrays 0.13, identities and keys 0.08. Making the arrays of a hundred answers at once saves 0.15 ms by itself, and
  nothing in a pull: the rows' objects are out of the cache by then, and garbage collection has more to look at.
- **Reading within the event loop** instead of a thread of its own was tried: no difference beyond the noise, and the loop stands still during it.
  Handing eight answers over to the thread at once, instead of three, was worth a tenth.
- **Reading in another process** costs 0.4 s of the processor to start and about 40 MB, so it begins where 64 MB of responses are still expected. Bodies and
  batches pass through memory that both have: through a socket, 8,000 profiles took 11.8 s instead of 8.5. On two cores the process is busy for three quarters of the
  wall time; letting the task read too while the process is behind was tried, without a gain. Shards leave the other cores to one another ([scaling](scaling.md)).
- **A whole database** is read in one process: what a page repeats of the one before is known by rows, which are not handed over.
- **PostgreSQL**: of 2.0 s for 200,000 rows the server took 1.35 s to take in the copied rows, in parallel to which Arrow writes them as CSV, and 0.3 s to
  make key and index.
- **A loop of `requests`** waits for the server's 20 ms, whatever the processor, and this provider for the processor: the faster the machine, the larger the
  ratio, up to that of the floor. It was 13.6 in the morning of 2026-11-29, on a machine that read and wrote 2.5 times as slowly, where the floor itself
  came to 18.
- **httpx and models** take turns with this provider on the same cores; single runs differ by a third. It was 6.6 times on that slower machine.
- **PostgreSQL's `insert_rows`** took 7.0 s in a run two hours earlier on the same machine, where COPY took 1.68: 4.2 times.
- **20,000 profiles next to 7f64096** came to 1.64 times on the slower machine. On the faster one the floor, which is one process without retries, takes
  9.3 s, so the most that one process could reach is 1.4. This provider uses 14.3 s of the processor and the server 3.8, of 22.6 that two cores have in
  that time; each of the 64 connections is busy for 36 ms a profile, of which the server takes 20.
- **Memory** is that of all processes, and counts what is imported once a pull needs it. Of the second process it counts what is not of files: those of
  libraries are the first one's too. That is some 40 MB. Until 2026-11-29 what the system keeps of an ended process was taken, which includes the memory of
  the one that it was started from: 381 MB beyond imports for the same 20,000 profiles, instead of 164.
- **A cold task** was a third slower until the heap of Airflow was left out of garbage collection from the start of a pull, not only while rows come: the
  imports of a pull make so many objects that all of it was visited, once for 0.1 s, and more often into S3. Ratios of five runs differ by a tenth.

The figures of this section are of the days when each part was made, 2026-11-20 to 29.

"""

FAIR = """## What makes it unfair

To the others:

- All run on one machine with the server, over loopback. Where an answer takes long and a network is slow, all that do enough at once are
  equally fast.
- `requests`, httpx and dlt could be tuned: other JSON parsers, a connection pool each, more processes. They are as their documentation shows them.
- dlt infers and evolves a schema, keeps state and loads in a step of its own, which this provider does not. Its rows come from a function
  that calls its REST client, for its `rest_api` source would do the same call with more around it.
- `HttpOperator` is not meant for this. What is measured is its `execute` for one profile after the other in one process: mapped for
  real, each is also scheduled, started and reported, as the row by `dag.test()` shows.
- The floor has no time-outs, no retries and no TLS, and reads this server's answers only.
- All rows of a profile have the same subscriptions here, which this provider turns into text once an answer, and the others for each row.

To this provider:

- It retries, keeps a pace, checks each answer's envelope, cuts by the window, computes an `event_key` for each row, sorts what comes out of
  order, writes parts that a retry resumes, and replaces what was there at once. The scripts do none of that: they keep all rows in memory
  and write at the end, and a fault ends them.
- It is run as the operator, so Airflow is loaded; *whole process* has that. The scripts would run within a task too, and would pay the
  same there.
- The others get rows whose nested fields they keep as JSON without order, which is cheaper than a canonical form.
"""


def page(results: Results, steps: Steps) -> str:
    """The page, in Markdown."""
    parts = [HEAD, _machine(results), _goals(results, steps), "![Profiles a second](benchmarks.svg)\n"]
    parts += [_table(name, cell) for name, cell in results.cells.items()]
    parts += [side_by_side.table(results.sides), cold.table(results.cold), requests_asked.table(results.asked)]
    return "\n".join([*filter(None, parts), BOUNDS, FAIR])


def _machine(results: Results) -> str:
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    rows = {"full": "as the newest known texts show them", "oldest": "as the oldest text shows them"}[results.shape]
    return (
        f"{results.date}, {os.cpu_count()} cores, {_memory():.0f} GB of memory, Python {platform.python_version()}, {platform.system()}. {versions}.\n\n"
        f"{EVENTS} events a profile, rows {rows}, {results.body / 1000:.0f} kB an answer, {CONNECTIONS} connections. "
        f"The server gives {results.ceiling:,.0f} answers a second to a client that does nothing with them, "
        f"{_headroom(results)}. Medians of as many runs as the last column says, those of all contenders in turn; the clock starts when all is imported and ends when the output is complete; "
        "then the output is read back, and every row is there once and is its profile's, where *rows* says ✓.\n"
    )


def _memory() -> float:
    """Of the machine, in gigabytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _headroom(results: Results) -> str:
    rates = [
        runs.rate for name, cell in results.cells.items() if "profiles" in name for runs in cell.values() if runs.runs
    ]
    times = results.ceiling / max(rates, default=1)
    return f"{times:.1f} times what the fastest of these gets" + (
        "" if times >= 4 else ": **less than the expected 4**"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _table(name: str, cell: dict[str, Runs]) -> str:
    lines = [
        f"## {name[0].upper()}{name[1:]}\n",
        (
            "| | profiles | wall s (least to most) | profiles/s | CPU s per million events | peak MB | of it after imports "
            "| whole process s | rows | runs |"
        ),
        "| --- |" + " ---: |" * 9,
    ]
    for runs in sorted(cell.values(), key=lambda runs: -runs.rate if runs.runs else 0):
        if not runs.runs:
            lines.append(f"| {runs.name} | {runs.profiles:,} | failed |" + " |" * 7)
            continue
        peak, base = runs.median("peak_mb"), runs.median("base_mb")
        name = f"**{runs.name}**" if runs.ours else runs.name
        lines.append(
            f"| {name} | {runs.profiles:,} | {runs.median('wall'):.2f} ({runs.spread}) | {runs.rate:,.0f} | {runs.cpu:.1f} "
            f"| {peak:,.0f} | {peak - base:,.0f} | {runs.median('whole'):.1f} | {runs.wrong or '✓'} | {len(runs.runs)} |"
        )
    return "\n".join([*lines, ""])


def goals(results: Results, steps: Steps) -> list[tuple[Goal, float | None]]:
    """What must be reached, and what was; None where it was not measured."""
    main, large = f"{steps.main:,} profiles, 20 ms", f"{steps.large:,} profiles, 20 ms"
    ours, ours_large = results.get(main, MAIN), results.get(large, MAIN)

    def against(module: str) -> float | None:
        other = results.get(main, module)
        return ours.rate / other.rate if ours and other else None

    def pair(where: str, module: str, other: str) -> float | None:
        one, two = results.get(where, module), results.get(where, other)
        return one.rate / two.rate if one and two else None

    memory = ours_large.median("peak_mb") / ours.median("peak_mb") if ours and ours_large else None
    beyond = ours_large.median("peak_mb") - ours_large.median("base_mb") if ours_large else None
    return [
        (Goal("`requests`, 16 threads: wall", 3), against("requests_threads")),
        (Goal("`requests` in a loop: profiles a second", 25), against("requests_loop")),
        (Goal("dlt, dict rows: wall", 7), against("dlt_dicts")),
        (Goal("dlt, Arrow tables: wall", 3), against("dlt_arrow")),
        (Goal("httpx async and models: profiles a second", 7), against("httpx_models")),
        (Goal("the floor: profiles a second", 0.5), against("floor")),
        (Goal(f"peak memory of {steps.large:,} profiles against {steps.main:,}", 1.1, most=True), memory),
        (Goal(f"peak memory of {steps.large:,} profiles beyond imports", 200, most=True, unit=" MB"), beyond),
        (
            Goal("whole database by ranges of days: decode and write alone", 0.65),
            pair("whole database, 20 ms", "database", "database_alone"),
        ),
        (
            Goal("whole database with `parallel_partitions=8`: decode and write alone", 0.6),
            pair("whole database, 20 ms", "database_partitions", "database_alone"),
        ),
        (
            Goal("PostgreSQL: `executemany` by Airflow's `insert_rows`", 3.5),
            pair("PostgreSQL", "sql_postgres_copy", "sql_postgres_insert_rows"),
        ),
    ]


def _goals(results: Results, steps: Steps) -> str:
    lines = [
        f"## What must be reached\n\nAt 20 ms and {steps.main:,} profiles, to Parquet parts with checkpoints.\n",
        "| against | wanted | measured | |",
        "| --- | ---: | ---: | --- |",
    ]
    for goal, value in goals(results, steps):
        wanted = f"{'at most' if goal.most else 'at least'} {goal.least:g}{goal.unit}"
        if value is None:
            lines.append(f"| {goal.text} | {wanted} | not measured | |")
            continue
        figure = f"{value:,.0f}{goal.unit}" if goal.unit != " times" else f"{value:.2f} times"
        lines.append(
            f"| {goal.text} | {wanted} | {figure} | {'reached' if goal.reached(value) else '**not reached**'} |"
        )
    return "\n".join([*lines, ""])


WIDTH, ROW, LEFT = 900, 26, 370


def plot(results: Results, steps: Steps) -> str:
    """Profiles a second and peak memory of each contender in the main setting, as SVG."""
    cell = results.cells.get(f"{steps.main:,} profiles, 20 ms", {})
    shown = sorted((runs for runs in cell.values() if runs.runs), key=lambda runs: -runs.rate)
    lines: list[str] = []
    top = 30
    for title, figures, unit in (
        ("Profiles a second (more is better)", [runs.rate for runs in shown], ""),
        ("Peak memory, MB (less is better)", [runs.median("peak_mb") for runs in shown], ""),
    ):
        lines.append(f'<text x="10" y="{top}" class="title">{title}: {steps.main:,} profiles, 20 ms</text>')
        scale = (WIDTH - LEFT - 80) / max(figures, default=1)
        for place, (runs, figure) in enumerate(zip(shown, figures, strict=True)):
            y = top + 14 + place * ROW
            kind = "ours" if runs.ours else "other"
            fewer = "" if runs.profiles == steps.main else f" ({runs.profiles:,} profiles)"
            lines += [
                f'<text x="{LEFT - 8}" y="{y + 14}" class="name">{runs.name}{fewer}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{figure * scale:.1f}" height="{ROW - 8}" class="{kind}"/>',
                f'<text x="{LEFT + figure * scale + 6:.1f}" y="{y + 14}">{figure:,.0f}{unit}</text>',
            ]
        top += len(shown) * ROW + 50
    style = (
        "text{font:13px sans-serif;fill:#333}.title{font-weight:bold}.name{text-anchor:end}"
        ".ours{fill:#2a8f5b}.other{fill:#9aa5b1}rect.bg{fill:#fff}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
    return "\n".join(
        [head, f"<style>{style}</style>", '<rect class="bg" width="100%" height="100%"/>', *lines, "</svg>\n"]
    )
