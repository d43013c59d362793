"""docs/readers.md: each of its functions gives every value back, of each shape that the page says it reads.

Spark, DataFusion and ClickHouse's engine are brought by ``make test-readers``.
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.util
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.window import Window

PAGE = (Path(__file__).parents[3] / "docs/readers.md").read_text()
SCOPE = Scope(1, None, Window.of("2026-01-01", "2026-01-02"))
PATHS = {
    "object": "a.parquet",
    "days": "lake/date={date}/a.parquet",
    "parts": "parts/",
    "csv": "a.csv",
    "jsonl": "a.jsonl",
}
READ = {"object": "a.parquet", "days": "lake", "parts": "parts", "csv": "a.csv", "jsonl": "a.jsonl"}
PATTERNS = READ | {"days": "lake/*/*.parquet", "parts": "parts/part-*.parquet"}

# For each reader what the page says that it reads, by which name, and what has to be installed.
READERS: dict[str, tuple[dict[str, str], str]] = {
    "pyarrow": (READ, "pyarrow"),
    "pandas": (READ, "pandas"),
    "polars": (READ, "polars"),
    "duckdb": (PATTERNS, "duckdb"),
    "datafusion": ({shape: place for shape, place in READ.items() if shape != "csv"}, "datafusion"),
    "spark": (READ, "pyspark"),
    "clickhouse": (PATTERNS, "chdb"),
}


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "list_id": 1,
        "xxh": f"{number:016d}",
        "profile_id": None,
        "email": "ann@example.com",
        "action": "click",
        "channel": "email",
        "count": 1,
        "datetime": dt.datetime(2026, 1, 1 + number % 2, 3, 4, 5, number, tzinfo=dt.UTC),
        "message_id": number,
        "message_name": "m",
        "campaign_id": None,
        "campaign_name": "",
        "smid": None,
        "event_id": None,
        "event_key": f"{number:032d}",
        "matching": "phone",
        "lookup": "+79000000000",
        "extra": '{"a":"x, \\"y\\"","b":1}',
    } | more


ROWS = [
    row(1),
    row(2, message_id=None, campaign_name=None, message_name="NULL"),
    row(3, message_id=2**60 + 1, message_name='NA, "so"\nand so'),
    row(4, email="", message_name="жук", campaign_id=2**53 + 1, xxh=None),
    row(5, count=2**62, datetime=dt.datetime(2026, 1, 2, 23, 59, 59, 999999, dt.UTC)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    batch = pa.RecordBatch.from_pylist(ROWS, SCHEMA)
    for shape, path in PATHS.items():
        options: dict[str, Any] = {"part_rows": 2} if shape == "parts" else {}
        writer = ObjectStorageTarget(f"{folder}/{path}", **options).open(SCOPE)
        writer.write(batch)
        writer.commit()
    return folder


@pytest.fixture(scope="module")
def functions() -> dict[str, Callable[..., Any]]:
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    return names


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()


def rows_of(found: Any) -> list[dict[str, Any]]:
    """Rows as Python's values, whatever the reader gives."""
    kind = type(found).__module__.partition(".")[0]
    if kind == "pyspark":
        in_microseconds = [
            "unix_micros(datetime) AS datetime" if name == "datetime" else name for name in found.columns
        ]
        rows = [each.asDict() for each in found.selectExpr(*in_microseconds).collect()]
        begin = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        return [each | {"datetime": begin + dt.timedelta(microseconds=each["datetime"])} for each in rows]
    if kind == "pandas":
        found = pa.Table.from_pandas(found, preserve_index=False)
    if kind == "polars":
        found = found.to_arrow()
    assert pa.types.is_timestamp(found.schema.field("datetime").type)
    assert found.schema.field("datetime").type.tz == "UTC"
    rows_found: list[dict[str, Any]] = found.to_pylist()
    return rows_found


CASES = [(reader, shape) for reader, (places, _) in READERS.items() for shape in places]


@pytest.mark.parametrize(("reader", "shape"), CASES, ids=lambda each: each)
def test_every_value_comes_back(
    reader: str, shape: str, written: Path, functions: dict[str, Callable[..., Any]], request: pytest.FixtureRequest
) -> None:
    places, module = READERS[reader]
    try:
        importlib.import_module(module)
    except ImportError:
        pytest.skip(f"no engine: make test-readers brings {module}")
    if reader == "spark" and not shutil.which("java"):
        pytest.skip("no engine: Spark needs Java")
    path = str(written / places[shape])
    name = f"{reader}_{shape if shape in {'csv', 'jsonl'} else 'parquet'}"
    read = functions.get(f"{name}_{shape}", functions[name])
    found = rows_of(read(request.getfixturevalue("spark"), path) if reader == "spark" else read(path))
    if shape == "days":
        assert all(str(each["date"]) == str(each["datetime"].date()) for each in found)
    values = [{name: each[name] for name in SCHEMA.names} for each in found]
    assert sorted(values, key=lambda each: each["event_key"]) == ROWS


def test_what_the_page_warns_of(written: Path, request: pytest.FixtureRequest) -> None:
    """Readings with their own settings, each wrong in the way that the page says."""
    import duckdb
    import pandas as pd

    by_default = pd.read_json(written / "a.jsonl", lines=True, dtype={"campaign_id": "int64[pyarrow]"})
    assert by_default["campaign_id"].dropna().tolist() != [2**53 + 1]
    assert pd.read_parquet(written / "a.parquet")["campaign_id"].dtype == "float64"
    assert duckdb.sql(f"SELECT count(*) FROM '{written}/a.csv' WHERE campaign_name = ''").fetchall() == [(0,)]
    if importlib.util.find_spec("datafusion"):
        from datafusion import SessionContext

        rows = SessionContext().read_csv(str(written / "a.csv"), schema=pa.schema(list(SCHEMA))).to_arrow_table()
        assert rows["campaign_name"].null_count == len(ROWS)
    if importlib.util.find_spec("pyspark") and shutil.which("java"):
        session = request.getfixturevalue("spark")
        rows = session.read.csv(str(written / "a.csv"), header=True).collect()
        assert not {each["extra"] for each in rows} & {each["extra"] for each in ROWS}


def test_the_page_says_what_is_read() -> None:
    """A row for each reader; DataFusion's CSV alone is not read right."""
    table = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")][2:]
    assert [cells[0].strip().lower() for cells in table] == list(READERS)
    for reader, cells in zip(READERS, table, strict=True):
        read = [shape for shape, cell in zip(PATHS, cells[1:], strict=True) if cell.strip().startswith("✔")]
        assert read == list(READERS[reader][0])
