"""What is run against what, how often, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to pull.

    Attributes:
        module: in ``benchmarks.contenders``.
        name: in the table.
        share: the part of the profiles that it pulls, where its rate is the same for fewer and its time would be long.
        ours: whether it is this project's.
    """

    module: str
    name: str
    share: float = 1.0
    ours: bool = False


OURS = [
    Contender("ours_parquet", "this provider, Parquet", ours=True),
    Contender("ours_parts", "this provider, Parquet parts and manifest", ours=True),
    Contender("ours_jsonl", "this provider, JSONL", ours=True),
    Contender("ours_postgres", "this provider, PostgreSQL", ours=True),
]
FLOOR = Contender("floor", "floor: raw sockets, same decode and write")
LOOP = Contender("requests_loop", "requests, a loop", share=0.1)
THREADS = Contender("requests_threads", "requests, 16 threads")
HTTPX = Contender("httpx_models", "httpx async, pydantic models", share=0.5)
DLT = Contender("dlt_dicts", "dlt, REST client, dict rows")
DLT_ARROW = Contender("dlt_arrow", "dlt, REST client, Arrow tables")
HTTP_OPERATOR = Contender("http_operator", "HttpOperator, tasks in one process", share=0.1)

ALL = [*OURS, FLOOR, THREADS, DLT_ARROW, DLT, HTTPX, LOOP, HTTP_OPERATOR]


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting.

    Attributes:
        profiles: how many.
        latency_ms: of each answer.
        runs: of each contender, interleaved.
        contenders: who takes part.
        once: who of them is run only once here, for its time is long.
    """

    profiles: int
    latency_ms: float
    runs: int
    contenders: tuple[Contender, ...]
    once: tuple[Contender, ...] = ()

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.profiles:,} profiles, {self.latency_ms:g} ms"


@dataclass(frozen=True, slots=True)
class Pair:
    """Ways to do one thing, side by side.

    Attributes:
        name: of the setting.
        profiles: whose events they move.
        contenders: the ways.
        runs: of each.
        latency_ms: of each answer.
        warm: whether each is run once before, uncounted: the server builds the pages that it is asked for.
    """

    name: str
    profiles: int
    contenders: tuple[Contender, ...]
    runs: int = 5
    latency_ms: float = 0
    warm: bool = False


DATABASE = Contender("database", "this provider, whole database, Parquet", ours=True)
DATABASE_PARTS = Contender(
    "database_partitions", "this provider, whole database, parallel_partitions=8, Parquet", ours=True
)
DATABASE_ALONE = Contender("database_alone", "decode and write alone, no network")
DATABASE_WAYS = (DATABASE, DATABASE_PARTS, DATABASE_ALONE)
COPY = Contender("sql_postgres_copy", "this provider's SqlTarget (COPY)", ours=True)
INSERT_ROWS = Contender("sql_postgres_insert_rows", "Airflow's PostgresHook.insert_rows (executemany)")
EXECUTEMANY = Contender("sql_postgres_executemany", "psycopg 3 executemany, pipelined, one transaction")
MAPPED = Contender("http_operator_mapped", "HttpOperator, mapped, by dag.test()")


@dataclass(frozen=True, slots=True)
class Steps:
    """A whole benchmark.

    Attributes:
        cells: profiles pulled one by one.
        pairs: the rest.
        main: profiles of the setting that the goals are about, at 20 ms.
        large: profiles of the one whose memory is compared with it.
        cold: runs of each cold task.
    """

    cells: tuple[Cell, ...]
    pairs: tuple[Pair, ...]
    main: int
    large: int
    cold: int


PARTS = OURS[1]
SLOW = (DLT_ARROW, DLT, HTTPX, LOOP)
# Other targets of ours, where Parquet parts are the measure.
OTHER_TARGETS = tuple(each for each in OURS if each is not PARTS)

FULL = Steps(
    cells=(
        Cell(2_000, 20, 5, tuple(ALL), once=(HTTP_OPERATOR,)),
        Cell(2_000, 0, 5, (PARTS, FLOOR, THREADS, *OTHER_TARGETS, *SLOW), once=(*OTHER_TARGETS, *SLOW)),
        Cell(20_000, 20, 1, (PARTS, FLOOR, THREADS)),
        Cell(20_000, 0, 1, (PARTS, FLOOR)),
    ),
    pairs=(
        Pair("whole database, 20 ms", 2_000, DATABASE_WAYS, latency_ms=20, warm=True),
        Pair("PostgreSQL", 2_000, (COPY, INSERT_ROWS, EXECUTEMANY)),
        Pair("mapped tasks, 20 ms", 10, (MAPPED,), runs=1, latency_ms=20),
    ),
    main=2_000,
    large=20_000,
    cold=5,
)
QUICK = Steps(
    cells=(
        Cell(600, 20, 3, tuple(ALL), once=(*OTHER_TARGETS, *SLOW, HTTP_OPERATOR)),
        Cell(600, 0, 1, (PARTS, FLOOR)),
        Cell(6_000, 20, 1, (PARTS, FLOOR)),
    ),
    pairs=(
        Pair("whole database, 20 ms", 1_000, DATABASE_WAYS, runs=1, latency_ms=20, warm=True),
        Pair("PostgreSQL", 300, (COPY, INSERT_ROWS, EXECUTEMANY), runs=1),
    ),
    main=600,
    large=6_000,
    cold=2,
)
TRIAL = Steps(
    cells=(Cell(40, 20, 1, tuple(ALL)), Cell(40, 0, 1, (PARTS, FLOOR)), Cell(80, 20, 1, (PARTS,))),
    pairs=(
        Pair("whole database, 20 ms", 40, DATABASE_WAYS, runs=1, latency_ms=20, warm=True),
        Pair("PostgreSQL", 40, (COPY, INSERT_ROWS, EXECUTEMANY), runs=1),
        Pair("mapped tasks, 20 ms", 2, (MAPPED,), runs=1, latency_ms=20),
    ),
    main=40,
    large=80,
    cold=1,
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that must be reached.

    Attributes:
        text: against what, and in which figure.
        least: at least so much; at most, where ``most``.
        most: whether less is better.
        unit: of the figure.
    """

    text: str
    least: float
    most: bool = False
    unit: str = " times"

    def reached(self, value: float) -> bool:
        """Whether it is."""
        return value <= self.least if self.most else value >= self.least
