"""Tables of ClickHouse beyond the conformance suite: engine, order of pulls, what a reader may see, refusals."""

from __future__ import annotations

import copy
import datetime as dt
import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.httpclient import HttpClient

from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator
from airflow_provider.altcraft.targets import Scope
from airflow_provider.altcraft.targets.sql import SqlTarget
from airflow_provider.altcraft.targets.sql.clickhouse.commit import Commit
from airflow_provider.altcraft.targets.sql.clickhouse.server import Server, quote
from airflow_provider.altcraft.targets.sql.clickhouse.turn import Turn
from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.testing.conformance import as_table
from airflow_provider.altcraft.testing.conformance.killing import Forked
from airflow_provider.altcraft.testing.conformance.pulls import PROFILES, Pull, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put, same
from airflow_provider.altcraft.window import Window
from tests.integration.clickhouse import DATABASE, ClickHouse, own_server
from tests.integration.targets.test_queries import MONDAY, OF_CLICKHOUSE, VIEW, VIEWS, api

__all__ = ["api"]

WINDOW = Window.of("2026-01-01", "2026-01-02")
EVENTS = draw_events(300, days=2)
DAYS = (dt.date(2026, 1, 1), dt.date(2026, 1, 2))


@pytest.fixture(scope="module")
def server() -> Iterator[ClickHouse]:
    with own_server() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "lease", 1.0)
    monkeypatch.setattr(Turn, "poll", 0.05)


def pull(number: int, *profiles: str) -> Pull:
    """The same events of some profiles, counted again."""
    events = [event | {"count": number} for event in EVENTS]
    return pull_of(events, Scope(1, [("email", each) for each in profiles or PROFILES], WINDOW))


def state(server: ClickHouse, table: str, final: str = "FINAL") -> Any:
    return as_table(server.rows(table, final))


def of(*pulls: Pull) -> Any:
    return as_table([row for each in pulls for row in each.table.to_pylist()])


def counts(server: ClickHouse, table: str) -> dict[dt.date, set[int]]:
    """Which pulls the rows of each day are of."""
    found = server.execute(f"SELECT toDate(datetime), groupUniqArray(count) FROM {table} FINAL GROUP BY 1")
    return {day: set(numbers) for day, numbers in found}


@pytest.mark.parametrize(("disposition", "order"), [("merge", "event_key"), ("replace", "event_key, matching, lookup")])
def test_the_table_that_is_made(server: ClickHouse, disposition: str, order: str) -> None:
    table = server.new_table()
    put(server.target(table, disposition), pull(1))
    ((engine, partition, key),) = server.execute(
        f"SELECT engine_full, partition_key, sorting_key FROM system.tables WHERE name = '{table}'"
    )
    assert engine.startswith("ReplacingMergeTree(pulled_at) PARTITION BY toDate(datetime) ORDER BY ")
    assert (partition, key.strip("()")) == ("toDate(datetime)", order)
    types = dict(server.execute(f"SELECT name, type FROM system.columns WHERE table = '{table}'"))
    assert types["datetime"] == types["pulled_at"] == "DateTime64(6, 'UTC')"
    assert types["action"] == "LowCardinality(String)"
    assert types["campaign_name"] == "LowCardinality(Nullable(String))"
    assert (types["count"], types["message_id"]) == ("Int64", "Nullable(Int64)")
    put(server.target(table, disposition), pull(2))  # into one that is there
    same(state(server, table), of(pull(2)), "one table, two pulls")


def test_a_reader_without_final(server: ClickHouse) -> None:
    """After a second merge of the same it sees rows of both, until the engine has united them; with FINAL never."""
    table = server.new_table()
    for number in (1, 2):
        put(server.target(table), pull(number))
    same(state(server, table), of(pull(2)), "with FINAL one row of each event")
    assert len(server.rows(table, "")) == 2 * len(server.rows(table))
    settings = server.execute(f"SELECT engine_full FROM system.tables WHERE name = '{table}'")[0][0]
    assert "min_age_to_force_merge_seconds = 600, min_age_to_force_merge_on_partition_only = 1" in settings
    server.execute(f"ALTER TABLE {table} MODIFY SETTING min_age_to_force_merge_seconds = 1")
    deadline = time.monotonic() + 60
    while len(server.rows(table, "")) > len(server.rows(table)):
        assert time.monotonic() < deadline, "the engine has not united the rows of a day"
    same(state(server, table, ""), of(pull(2)), "the engine unites the rows of a day by itself")


def test_a_reader_of_replace_needs_no_final(server: ClickHouse) -> None:
    table = server.new_table()
    for number in (1, 2):
        put(server.target(table, "replace"), pull(number))
        same(state(server, table, ""), of(pull(number)), "a day is replaced, not joined")


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_what_is_explained_is_what_is_sent(
    server: ClickHouse, disposition: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order, all but queries and signs of life; what depends on the pull is shortened."""
    sent: list[str] = []
    command = HttpClient.command

    def noting(self: Any, cmd: str, *args: Any, **kwargs: Any) -> Any:
        sent.append(cmd)
        return command(self, cmd, *args, **kwargs)

    target = SqlTarget(server.conn_id, f"{DATABASE}.{server.new_table()}", disposition)
    one = pull_of(draw_events(20, days=1), Scope(1, [("email", PROFILES[0])], Window.of("2026-01-01", "2026-01-01")))
    writer = target.open(one.scope)
    for batch in one.batches:
        writer.write(batch)
    monkeypatch.setattr(HttpClient, "command", noting)
    writer.commit()
    hashes = dict(
        zip(dict.fromkeys(re.findall("_altcraft_([0-9a-f]{32})", " ".join(sent))), ("hash", "other hash"), strict=False)
    )
    shown = []
    for sql in sent:
        text = re.sub("(?<=_altcraft_)[0-9a-f]{32}", lambda found: f"<{hashes[found[0]]}>", sql)
        text = re.sub("COMMENT '[0-9a-f]{32} 0'", "COMMENT '<owner> 0'", text)
        text = re.sub(r"(INSERT INTO [^(]+) \([^)]*\)", r"\1 (…)", text)
        text = re.sub(r"SELECT .*? FROM (.*) AND NOT ifNull.*", r"SELECT … FROM \1 AND NOT <the pull's scope>", text)
        text = re.sub(r"VALUES \(.*\)$", "VALUES (…)", text)
        text = re.sub(r"(>`) \(.*\) (?=ENGINE)", r"\1 (…) ", text)
        if not re.search("^SELECT|MODIFY COMMENT", text):
            shown.append(f"{text};")
    explained = [line for line in target.explain().split("\n") if not line.startswith("--")]
    assert "\n".join(shown) == "\n".join(explained)


@pytest.mark.parametrize(
    ("disposition", "statement"), [("merge", "ATTACH PARTITION"), ("replace", "REPLACE PARTITION")]
)
def test_a_commit_that_ends_between_two_days(
    server: ClickHouse, disposition: str, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader then sees one day new and one old, each whole; a retry repairs."""
    table = server.new_table()
    target = server.target(table, disposition)
    put(target, pull(1))
    run, done = Server.run, []

    def dying(self: Server, sql: str) -> None:
        if statement in sql and "1970" not in sql:
            if done:
                raise OSError("the task ends here")
            done.append(sql)
        run(self, sql)

    with monkeypatch.context() as patch:
        patch.setattr(Server, "run", dying)
        with pytest.raises(OSError, match="the task ends here"):
            put(target, pull(2))
    assert counts(server, table) == {DAYS[0]: {2}, DAYS[1]: {1}}
    put(target, pull(2))
    same(state(server, table), of(pull(2)), "a retry repairs")


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_an_earlier_pull_that_commits_later(
    server: ClickHouse, disposition: str, caplog: pytest.LogCaptureFixture
) -> None:
    table = server.new_table()
    target = server.target(table, disposition)
    writers = [copy.copy(target).open(pull(0).scope) for _ in range(2)]
    for number, writer in enumerate(writers, 1):
        for batch in pull(number).batches:
            writer.write(batch)
    writers[1].commit()
    with caplog.at_level(logging.WARNING):
        written = writers[0].commit()
    same(state(server, table), of(pull(2)), "what the later one wrote stays")
    if disposition == "replace":
        assert written.rows == 0
        assert "a pull of the same that began later" in caplog.text


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_one_that_was_taken_for_dead(
    server: ClickHouse, disposition: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has read the days, halts, and another one commits: it must not put back what it has read."""
    table = server.new_table()
    target = server.target(table, disposition)
    put(target, pull(1))
    slow = target.open(pull(2, PROFILES[0]).scope)
    for batch in pull(2, PROFILES[0]).batches:
        slow.write(batch)
    one_part, halted = Commit._make_one_part, []

    def halting(self: Commit, staged: Any, day: dt.date) -> None:
        one_part(self, staged, day)
        if day == DAYS[1] and not halted:
            halted.append(day)
            put(server.target(table, disposition), pull(3, *PROFILES[1:]))

    monkeypatch.setattr(Commit, "_make_one_part", halting)
    with caplog.at_level(logging.WARNING):
        slow.commit()
    assert "has shown no life for 1 s" in caplog.text
    assert "took this one for dead" in caplog.text
    same(state(server, table), of(pull(2, PROFILES[0]), pull(3, *PROFILES[1:])), "neither write is lost")
    assert [name for name in server.tables() if name.startswith(f"{table}_altcraft")] == []


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_shards_of_the_same_days_at_once(server: ClickHouse, disposition: str) -> None:
    """Tasks that commit at once, each the rows of its own profiles, lose nothing of one another."""
    from tests.integration.targets.tasks import at_once

    table = server.new_table()
    target = server.target(table, disposition)
    for number in (1, 2):
        shards = [pull(number, each) for each in PROFILES]
        assert at_once([(target, shard) for shard in shards], tries=3) == [[]] * len(shards)
        same(state(server, table), of(*shards), "each shard wrote its own")


def test_an_event_on_another_day_than_before(server: ClickHouse) -> None:
    """Its key does not hold its instant, and the engine unites rows of one day only."""
    table, scope = server.new_table(), Scope(1, [("email", PROFILES[0])], WINDOW, event_key_by="event_id")
    for day in (1, 2):
        event = EVENTS[0] | {"email": PROFILES[0], "datetime": f"2026-01-0{day}T03:00:00Z"}
        (batch,) = pull_of([event], scope).batches
        at = batch.schema.get_field_index("event_key")
        writer = server.target(table).open(scope)
        writer.write(batch.set_column(at, batch.schema.field(at), pa.array(["i" + "0" * 31])))
        writer.commit()
        assert [row["datetime"].day for row in server.rows(table, "")] == [day]


@pytest.mark.parametrize("days", [(1, 2), (2, 1)])
def test_of_an_event_on_two_days_of_a_pull_the_last_is_written(server: ClickHouse, days: tuple[int, int]) -> None:
    table, scope = server.new_table(), Scope(1, [("email", PROFILES[0])], WINDOW, event_key_by="event_id")
    writer = server.target(table).open(scope)
    for day in days:
        event = EVENTS[0] | {"email": PROFILES[0], "datetime": f"2026-01-0{day}T03:00:00Z"}
        (batch,) = pull_of([event], scope).batches
        at = batch.schema.get_field_index("event_key")
        writer.write(batch.set_column(at, batch.schema.field(at), pa.array(["i" + "0" * 31])))
    writer.commit()
    assert [row["datetime"].day for row in server.rows(table, "")] == [days[1]]


def test_columns_of_the_users_own_stay(server: ClickHouse) -> None:
    table = server.new_table()
    target = server.target(table, "replace")
    put(target, pull(1))
    server.execute(
        f"ALTER TABLE {table} ADD COLUMN note String DEFAULT 'new', ADD COLUMN day Date ALIAS toDate(datetime)"
    )
    server.execute(f"ALTER TABLE {table} UPDATE note = 'kept' WHERE 1 SETTINGS mutations_sync = 1")
    put(target, pull(2, PROFILES[0]))
    found = server.execute(f"SELECT email = '{PROFILES[0]}', groupUniqArray(note) FROM {table} GROUP BY 1 ORDER BY 1")
    assert found == [(0, ["kept"]), (1, ["new"])]


def test_an_odd_name(server: ClickHouse) -> None:
    table = "odd `name`\\ 'ж.{}'"
    target = SqlTarget(server.conn_id, f'"{table}"')
    put(target, pull(1))
    put(target, pull(2))
    assert table in server.tables()
    assert server.execute(f"SELECT uniqExact(count), count() FROM {quote(table)} FINAL") == [(1, len(EVENTS))]


def test_a_killed_commit_leaves_what_the_next_one_removes(server: ClickHouse) -> None:
    table = server.new_table()
    target = server.target(table)

    def die() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Commit, "_make_one_part", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            put(target, pull(1))

    assert Forked(die).killed
    left = {name for name in server.tables() if name.startswith(f"{table}_altcraft")}
    assert len(left) == 2  # the lock and the staged rows
    put(target, pull(2))
    assert {name for name in server.tables() if name.startswith(table)} == {table}
    same(state(server, table), of(pull(2)), "as if it had never been")


def test_every_view_of_the_page(server: ClickHouse, api: Emulator) -> None:
    """The views of docs/queries.md, over the same pull as those of the other databases."""
    views = VIEW.findall(OF_CLICKHOUSE)
    assert [name for _, name in views] == [name for _, name in VIEWS]
    table = server.new_table()
    for _ in range(2):  # each event is there in two rows then
        AltcraftDatabaseHistoryOperator(
            task_id="pull", date_from="2026-01-05", date_to="2026-01-31", target=f"sql://{server.conn_id}/{table}"
        ).execute({})
    for sql, name in views:
        named = re.sub(rf"\b{name}\b", f"{name}_{table}", re.sub(r"\bhistory\b", table, sql))
        server.execute(named.rstrip(";"))
    funnel = server.execute(f"SELECT * FROM campaign_funnel_{table} WHERE campaign_id = 7")
    assert funnel == [(7, "Spring", 3, 2, 1, 2)]
    cohort = server.execute(f"SELECT * FROM weekly_cohort_{table} ORDER BY weeks_later")
    assert cohort == [(MONDAY.date(), 0, 1, 3), (MONDAY.date(), 1, 1, 3)]
    ((minutes, median),) = server.execute(f"SELECT any(minutes), median(minutes) FROM time_to_confirm_{table}")
    assert minutes == median == pytest.approx(30)


def test_rows_of_another_list_than_was_asked(server: ClickHouse) -> None:
    """They are no part of the scope; the pull that got them writes each once."""
    table, scope = server.new_table(), pull(1).scope
    other = pull_of([event | {"list_id": 2} for event in EVENTS[:5]], scope)
    alone = pull_of([event | {"list_id": 2, "count": 7} for event in EVENTS[5:6]], Scope(2, scope.lookups, WINDOW))
    put(server.target(table, "replace"), alone)
    for number in (1, 2):
        mixed = Pull(scope, (*pull(number).batches, *other.batches))
        put(server.target(table, "replace"), mixed)
        same(state(server, table, ""), of(pull(number), other, alone), "each of them once")
