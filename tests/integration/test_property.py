"""Whatever is pulled, fails, is retried, comes late and overlaps: a target holds what the platform holds for its scope.

Stories are drawn by hypothesis (``stories``) and played through the real operators to an emulator and a real target.
After each step the target is read by other means than ours and compared, as a multiset, with what it must hold.
"""

from __future__ import annotations

import copy
import datetime as dt
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.operators._base import PullOperator
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.schema import SCHEMA
from airflow_provider.altcraft.targets import ObjectStorageTarget, read_manifest
from airflow_provider.altcraft.testing import Emulator
from tests.integration import expected, stories
from tests.integration.stores import Disk

CONNECTION = "altcraft_stories"

# What dies leaves its files to the kernel to close, or here to Python.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:Implicitly cleaning:ResourceWarning")


class DiedError(Exception):
    """What cuts a task off."""


# The targets


@dataclass(frozen=True)
class Kind:
    """A kind of target: how it is made again, how others read it, and what it must hold."""

    new: Callable[[], Any]
    read: Callable[[Any], list[dict[str, Any]]]
    holds: type[expected.Last]
    whole_days: bool = False
    again: bool = False

    @property
    def stories(self) -> st.SearchStrategy[stories.Story]:
        too_late = self.holds is not expected.All
        return stories.stories(whole_days=self.whole_days, again=self.again, reported_too_late=too_late)


def decoded(name: str, data: bytes) -> list[dict[str, Any]]:
    if name.endswith(".parquet"):
        return pq.read_table(io.BytesIO(data)).to_pylist()
    if name.endswith(".csv"):
        texts = pa_csv.ConvertOptions(
            column_types=SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        )
        newlines = pa_csv.ParseOptions(newlines_in_values=True)
        return pa_csv.read_csv(io.BytesIO(data), parse_options=newlines, convert_options=texts).to_pylist()
    rows = [json.loads(line) for line in data.splitlines()]
    for row in rows:
        row["datetime"] = dt.datetime.fromisoformat(row["datetime"])
    return rows


def objects(store: Any, shape: str, holds: type[expected.Last], **how: bool) -> Kind:
    """A kind of target in a store, each time with a prefix of its own."""
    number = itertools.count()

    def new() -> Any:
        return ObjectStorageTarget(store.uri(f"story-{next(number)}/{shape}"))

    def read(target: Any) -> list[dict[str, Any]]:
        prefix = target.path.partition("story-")[2].partition("/")[0]
        seen = [key for key in store.keys(f"story-{prefix}/") if not key.rpartition("/")[2].startswith((".", "_"))]
        return [row for key in seen for row in decoded(key, store.read(key))]

    return Kind(new, read, holds, **how)


def parts(store: Any) -> Kind:
    number = itertools.count()

    def new() -> Any:
        return ObjectStorageTarget(store.uri(f"parts-{next(number)}/"), format="jsonl", part_rows=2)

    def read(target: Any) -> list[dict[str, Any]]:
        try:
            named = read_manifest(target.path).parts
        except FileNotFoundError:
            return []
        prefix = f"parts-{target.path.partition('parts-')[2]}"
        return [row for part in named for row in decoded(part.name, store.read(prefix + part.name))]

    return Kind(new, read, Parts)


def table(database: Any, disposition: str) -> Kind:
    def read(target: Any) -> list[dict[str, Any]]:
        return database.rows(target.table) if database.exists(target.table) else []

    holds = {"merge": expected.Union, "replace": expected.Scopes, "append": expected.All}[disposition]
    return Kind(lambda: database.target(database.new_table(), disposition), read, holds, again=disposition != "append")


class Parts(expected.Last):
    """The last pull; a retry goes on with what its earlier tries got, so an event may be as it was at any of them."""

    resumes = True


QUICK = ["parquet", "jsonl", "csv", "days", "parts", "sqlite merge", "sqlite replace", "sqlite append"]
REMOTE = ["postgres merge", "postgres replace", "s3", "s3 parts"]
ALL = [*QUICK, *REMOTE, "s3 days", "mariadb merge", "mariadb replace", "duckdb merge", "duckdb replace"]


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    where, _, how = request.param.partition(" ")
    if where in {"postgres", "mariadb", "sqlite", "duckdb"}:
        return table(request.getfixturevalue(where), how)
    store = request.getfixturevalue("s3") if where == "s3" else Disk(tmp_path_factory.mktemp(where))
    shape = how or where
    if shape == "parts":
        return parts(store)
    if shape == "days":
        return objects(store, "date={date}/a.parquet", expected.ByDay, whole_days=True, again=True)
    return objects(store, f"a.{shape}" if shape in {"jsonl", "csv"} else "a.parquet", expected.Last)


# What runs


@pytest.fixture(scope="module")
def api() -> Iterator[Emulator]:
    """One emulator for all stories, and pulls that hand on few rows at a time."""
    with Emulator(record=False) as api, pytest.MonkeyPatch.context() as patch:
        value = {
            "conn_type": "altcraft",
            "host": api.url,
            "password": api.token,
            "extra": {"timeout": 5, "outage_timeout": 0},
        }
        patch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(value))
        patch.setattr(PullOperator, "pull_sizes", PullSizes(batch_rows=2))
        yield api


def operator_of(pull: stories.Pull, target: Any, list_id: int) -> Any:
    common: dict[str, Any] = {
        "task_id": "pull",
        "target": target,
        "list_id": list_id,
        "date_from": pull.date_from,
        "date_to": pull.date_to,
        "altcraft_conn_id": CONNECTION,
    }
    if pull.lookups is None:
        return AltcraftDatabaseHistoryOperator(**common, **dict(pull.options))
    return AltcraftHistoryOperator(**common, profiles=[stories.LOOKUPS[index][0] for index in pull.lookups])


def spoil(target: Any, run: stories.Run) -> None:
    """Have the task die where the run says: orderly, so that it aborts, or as if it was killed."""
    how, _, where = (run.trouble or "").partition(" ")
    if how not in {"cut", "dead"}:
        return
    really_open = target.open

    def open_(scope: Any) -> Any:
        writer = really_open(scope)
        really_write, really_commit, writes = writer.write, writer.commit, itertools.count()

        def write(batch: pa.RecordBatch) -> None:
            if where == "in a write" and next(writes) == run.after:
                raise DiedError
            really_write(batch)

        def commit() -> Any:
            if where != "at the commit":
                written = really_commit()
                if where == "in a write":  # there were too few
                    return written
            raise DiedError

        writer.write, writer.commit = write, commit
        if how == "dead":
            writer.abort = lambda: None
        return writer

    target.open = open_


def tell(story: stories.Story, api: Emulator, kind: Kind, first: int) -> Counter[str]:
    """Let it happen, and look at the target after each step."""
    platform = stories.Platform(api, first, story.knobs)
    platform.happen(story.before)
    target, holds = kind.new(), kind.holds()
    tries: dict[stories.Pull, list[stories.Rows]] = {}
    counts: Counter[str] = Counter()
    for step in story.steps:
        if isinstance(step, stories.Late):
            platform.happen(step.events)
        elif isinstance(step, stories.Change):
            platform.change(step.which, step.count)
        else:
            pull = story.pulls[step.pull]
            list_id, gives = platform.lists[pull.base], platform.gives(pull)
            own = copy.copy(target)
            spoil(own, step)
            stories.spoil(api, step)
            refused = holds.refuses(pull, list_id)
            try:
                operator_of(pull, own, list_id).execute({})
                assert not refused, "a pull of the other kind was taken"
                went = "done"
            except Exception as error:
                if refused and "one table takes one of the two" in str(error):
                    went = "refused"
                elif refused or step.trouble is None or step.trouble == "one answer":
                    raise
                else:
                    went = "failed" if isinstance(error, DiedError) else type(error).__name__
            finally:
                api.reset()
            note(f"{step}: {went}")
            counts[went if went in {"done", "refused"} else "failed"] += 1
            got = kind.read(target)
            if refused:
                pass
            elif went == "done" or step.trouble == stories.REPORTED_TOO_LATE:
                if hasattr(holds, "resumes") and pull in tries:
                    gives = one_of(got, [*tries.pop(pull), gives])
                holds.took(pull, list_id, gives)
            else:
                tries.setdefault(pull, []).append(gives)
            assert expected.counted(got) == expected.counted(holds.held), "the target holds other rows"
            check_keys(got, kind.holds)
    return counts


def one_of(got: stories.Rows, tries: list[stories.Rows]) -> stories.Rows:
    """These rows, each of which must be as it was at one of the tries, and there as often as then."""
    known = set().union(*map(expected.counted, tries))
    assert not expected.counted(got).keys() - known, "the target holds rows of no try"
    now = Counter(map(expected.by_lookup, got))
    then = [Counter(map(expected.by_lookup, rows)) for rows in tries]
    for event in now.keys() | set().union(*then):
        assert min(each[event] for each in then) <= now[event] <= max(each[event] for each in then), event
    return got


def check_keys(got: stories.Rows, holds: type[expected.Last]) -> None:
    """An ``event_key`` is of one event, and events alike have one each."""
    events: dict[str, Any] = {}
    for row in got:
        assert events.setdefault(row["event_key"], expected.identity_of(row)) == expected.identity_of(row)
    if holds is not expected.All:
        by_key = Counter((row["event_key"], row["matching"], row["lookup"]) for row in got)
        assert max(by_key.values(), default=1) == 1
    if holds is expected.Union:
        assert len(events) == len(got)


FIRST = itertools.count(1_000, 2)


def check(kind: Kind, api: Emulator, examples: int, **how: Any) -> Counter[str]:
    """Tell so many stories."""
    counts: Counter[str] = Counter()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), **how)
    @given(kind.stories)
    def each(story: stories.Story) -> None:
        counts.update({"stories": 1} | tell(story, api, kind, next(FIRST)))

    each()
    return counts


@pytest.mark.parametrize("kind", QUICK, indirect=True)
def test_local_targets(kind: Kind, api: Emulator) -> None:
    counts = check(kind, api, 6)
    assert counts["done"] > counts["failed"] > 0


@pytest.mark.parametrize("kind", REMOTE, indirect=True)
def test_servers(kind: Kind, api: Emulator) -> None:
    check(kind, api, 3)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ALL, indirect=True)
def test_thousands(kind: Kind, api: Emulator, request: pytest.FixtureRequest) -> None:
    """Other ones in each run, after those that have failed before."""
    counts = check(kind, api, 300, derandomize=False, database=DirectoryBasedExampleDatabase(".hypothesis/examples"))
    print(request.node.callspec.id, dict(counts))
