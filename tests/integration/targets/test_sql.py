"""Tables of real databases, written whole or not at all: what holds for each of them and each write disposition."""

from __future__ import annotations

import pytest

from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets._spool import Spool
from airflow_provider.altcraft.window import Window

ANN, BOB = ("email", "ann@example.com"), ("email", "bob@example.com")
DAY = Window.of("2024-01-01", "2024-01-01")


def alike(rows, wanted):
    """Whether the rows are these, as a multiset."""

    def key(row):
        return repr(sorted(row.items()))

    return sorted(rows, key=key) == sorted(wanted, key=key)


def pull(database, table, disposition, *batches, scope=None):
    """One pull, from the opening to the commit."""
    writer = database.target(table, disposition).open(scope or Scope(1, [ANN], DAY))
    for each in batches:
        writer.write(each)
    return writer.commit()


@pytest.fixture
def table(database):
    return database.new_table()


@pytest.fixture
def of(batch):
    """Rows by a lookup."""

    def make(lookup, rows, start=0, **columns):
        return batch(rows, start, matching=lookup[0], lookup=lookup[1], **columns)

    return make


@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
@pytest.mark.parametrize("rows", [0, 1, 25_003])
def test_what_was_written_reads_back_alike(database, table, of, disposition, rows):
    found = of(ANN, rows)
    written = pull(database, table, disposition, found)
    assert written.uris == (f"sql://{database.conn_id}/{table}",)
    assert written.rows == rows
    assert alike(database.rows(table), found.to_pylist())


def test_a_pull_again_leaves_the_same(database, table, of):
    for disposition in ("merge", "replace"):
        name = f"{table}_{disposition}"
        for _ in range(2):
            pull(database, name, disposition, of(ANN, 500), of(ANN, 500, start=500))
        assert alike(database.rows(name), of(ANN, 1000).to_pylist())


def test_nothing_is_seen_before_the_commit(database, table, of):
    for disposition in ("merge", "replace", "append"):
        writer = database.target(table + disposition, disposition).open(Scope(1, [ANN]))
        writer.write(of(ANN, 10))
        assert not database.exists(table + disposition)
        writer.abort()
        assert not database.exists(table + disposition)
        with pytest.raises(RuntimeError, match="was aborted already"):
            writer.commit()


@pytest.mark.parametrize("again", [False, True])
def test_a_new_table_has_its_key_and_index_however_it_was_filled(postgres, of, again):
    """At one go where each event is there once, else by the upsert: the last of each is kept."""
    name = postgres.new_table()
    found = [of(ANN, 50, count=1), of(BOB, 30, count=2)] if again else [of(ANN, 50, count=1)]
    pull(postgres, name, "merge", *found)
    wanted = {row["event_key"]: row for each in found for row in each.to_pylist()}
    assert alike(postgres.rows(name), list(wanted.values()))
    made = postgres.execute("SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY indexdef", (name,))
    assert [text.partition("(")[2] for (text,) in made] == ["list_id, datetime)", "event_key)"]
    pull(postgres, name, "merge", *found)
    assert postgres.count(name) == len(wanted)


class Overtime(BaseException):
    """As Airflow's, which come during anything."""


@pytest.mark.parametrize("disposition", ["merge", "replace", "append"])
def test_what_comes_during_a_commit_comes_out_as_it_is(database, table, of, disposition, mocker):
    """A driver that makes its own error of a time-out, in a callback, would have it take for one of the database's."""
    pull(database, table, disposition, of(ANN, 50))
    writer = database.target(table, disposition).open(Scope(1, [ANN], DAY))
    writer.write(of(ANN, 30_000, start=100))

    def during(spool, key=None):
        for each in read(spool, key):
            yield each.slice(0, 15_000)
            raise Overtime

    read = Spool.read
    mocker.patch.object(Spool, "read", during)
    with pytest.raises(Overtime):
        writer.commit()
    writer.abort()
    assert alike(database.rows(table), of(ANN, 50).to_pylist())


@pytest.mark.parametrize("window", [DAY, Window()])
def test_a_merge_keeps_to_one_kind_of_key(database, table, of, window):
    """Among the first and the last rows of the window: those between are as many as they like."""
    kept = Scope(1, [ANN], window)
    other = Scope(1, [ANN], window, event_key_by="event_id")
    pull(database, table, "merge", of(ANN, 150, event_id=None), of(ANN, 100, start=150, event_id="66f6"), scope=kept)
    with pytest.raises(ValueError, match="by 'row', got 'event_id'"):
        database.target(table, "merge").open(other)
    pull(database, table, "merge", scope=kept)
    pull(database, f"{table}_2", "merge", of(ANN, 1, event_id="66f6", event_key="i" + "0" * 31), scope=other)
    with pytest.raises(ValueError, match="by 'event_id', got 'row'"):
        database.target(f"{table}_2", "merge").open(kept)
    pull(database, f"{table}_2", "merge", scope=other)
    database.target(f"{table}_2", "merge").open(Scope(2, [ANN], window)).abort()
