"""Tables whose policies, triggers, rules and constraints refuse or swallow rows: ``open`` refuses them."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.altcraft.targets import Scope
from tests.integration.databases import Database
from tests.integration.targets.proofs import ANN, DATABASE, DISPOSITIONS, SCOPE, make, refused, same, user_of, write


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_row_security(postgres: Database, poor: Database, batch: Any, disposition: str) -> None:
    """A user whom a policy lets do everything writes; one whose rows a policy refuses is refused by ``open``."""
    table, user = postgres.new_table(), user_of(poor)
    write(postgres.target(table, disposition), batch)
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    postgres.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    postgres.execute(f"CREATE POLICY list_1 ON {table} TO {user} USING (list_id = 1)")
    target = poor.target(table, disposition)
    write(target, batch)
    assert postgres.count(table) == (10 if disposition == "append" else 5)
    said, _ = refused(target, Scope(2, [ANN]))
    assert "row-level security policy" in said


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_foreign_key_without_the_list(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str
) -> None:
    """The list is known when the target opens; other values are the rows' own, and a key of theirs may hold."""
    database: Database = request.getfixturevalue(kind)
    table, lists = database.new_table(), database.new_table()
    write(database.target(table, disposition), batch)
    database.execute(f"CREATE TABLE {lists} (id BIGINT PRIMARY KEY)")
    database.execute(f"INSERT INTO {lists} VALUES (1)")
    database.execute(f"ALTER TABLE {table} ADD FOREIGN KEY (list_id) REFERENCES {lists} (id)")
    write(database.target(table, disposition), batch)
    said, _ = refused(database.target(table, disposition), Scope(2, [ANN]))
    assert "foreign key" in said
    database.execute(f"DROP TABLE {table}")


SWALLOWS = {
    "postgres": (
        "CREATE FUNCTION {0}_none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER none BEFORE INSERT ON {0} FOR EACH ROW EXECUTE FUNCTION {0}_none()",
    ),
    "sqlite": ("CREATE TRIGGER {0}_none BEFORE INSERT ON {0} BEGIN SELECT RAISE(IGNORE); END",),
}


@pytest.mark.parametrize("disposition", DISPOSITIONS)
@pytest.mark.parametrize("kind", SWALLOWS)
def test_a_trigger_that_swallows_rows(request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str) -> None:
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    write(database.target(table, disposition), batch)
    for statement in SWALLOWS[kind]:
        database.execute(statement.format(table))
    said, _ = refused(database.target(table, disposition))
    assert "the table accepted a row but does not hold it" in said
    assert database.count(table) == 5


# What undoes the replacement of a row: a function of PostgreSQL, and what stands before a change of the table.
KEPT_BACK = {
    ("postgres", "merge", "none"): ("RETURN NULL", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "merge", "old"): ("RETURN OLD", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "replace", "none"): ("RETURN NULL", "TRIGGER {0}_t BEFORE DELETE ON {0} FOR EACH ROW EXECUTE"),
    ("postgres", "replace", "rule"): ("", "RULE {0}_r AS ON DELETE TO {0} DO INSTEAD NOTHING"),
    ("sqlite", "merge", "none"): ("", "TRIGGER {0}_t BEFORE UPDATE ON {0} BEGIN SELECT RAISE(IGNORE); END"),
    ("sqlite", "replace", "none"): ("", "TRIGGER {0}_t BEFORE DELETE ON {0} BEGIN SELECT RAISE(IGNORE); END"),
    ("mariadb", "merge", "old"): ("", "TRIGGER {0}_t BEFORE UPDATE ON {0} FOR EACH ROW SET NEW.count = OLD.count"),
}


def guard(database: Database, table: str, body: str, statement: str) -> None:
    if body:
        database.execute(f"CREATE FUNCTION {table}_f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; END$$")
        statement += f" FUNCTION {table}_f()"
    database.execute("CREATE " + statement.format(table))


@pytest.mark.parametrize(("kind", "disposition", "how"), KEPT_BACK)
def test_a_table_that_keeps_the_rows_to_replace(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str, how: str
) -> None:
    """It would double them, or keep their old values, in success."""
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    expected = write(database.target(table, disposition), batch)
    guard(database, table, *KEPT_BACK[kind, disposition, how])
    for scope in [SCOPE, DATABASE] if disposition == "merge" else [SCOPE]:
        said, _ = refused(database.target(table, disposition), scope)
        assert "the table still holds a row that a statement has" in said
    same(database, table, expected)


REFUSES = {
    "postgres": ("RAISE EXCEPTION 'no changes'", "TRIGGER {{0}}_t BEFORE {0} ON {{0}} FOR EACH ROW EXECUTE"),
    "mariadb": (
        "",
        "TRIGGER {{0}}_t BEFORE {0} ON {{0}} FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no changes'",
    ),
    "sqlite": ("", "TRIGGER {{0}}_t BEFORE {0} ON {{0}} BEGIN SELECT RAISE(ABORT, 'no changes'); END"),
}


@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize("kind", REFUSES)
def test_a_table_that_refuses_to_replace_rows(
    request: pytest.FixtureRequest, batch: Any, kind: str, disposition: str
) -> None:
    """As one to which rows may only be added; the first pull into it would pass, and the second not."""
    database: Database = request.getfixturevalue(kind)
    table = database.new_table()
    expected = write(database.target(table, disposition), batch)
    body, statement = REFUSES[kind]
    guard(database, table, body, statement.format("UPDATE" if disposition == "merge" else "DELETE"))
    said, _ = refused(database.target(table, disposition))
    assert "no changes" in said
    same(database, table, expected)


@pytest.mark.parametrize("disposition", ["merge", "replace"])
def test_row_security_without_a_policy_to_replace(
    postgres: Database, poor: Database, batch: Any, disposition: str
) -> None:
    table, user = postgres.new_table(), user_of(poor)
    expected = write(postgres.target(table, disposition), batch)
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    postgres.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    postgres.execute(f"CREATE POLICY seen ON {table} FOR SELECT TO {user} USING (true)")
    postgres.execute(f"CREATE POLICY added ON {table} FOR INSERT TO {user} WITH CHECK (true)")
    said, _ = refused(poor.target(table, disposition))
    assert ("row-level security policy" if disposition == "merge" else "a statement has deleted") in said
    same(postgres, table, expected)


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_what_is_checked_at_the_end_of_the_transaction(postgres: Database, batch: Any, disposition: str) -> None:
    table, lists = postgres.new_table(), postgres.new_table()
    write(postgres.target(table, disposition), batch)
    postgres.execute(f"CREATE TABLE {lists} (id BIGINT PRIMARY KEY)")
    postgres.execute(f"INSERT INTO {lists} VALUES (1)")
    key = f"ADD FOREIGN KEY (list_id) REFERENCES {lists} (id) DEFERRABLE INITIALLY DEFERRED"
    postgres.execute(f"ALTER TABLE {table} {key}")
    write(postgres.target(table, disposition), batch)
    said, _ = refused(postgres.target(table, disposition), Scope(2, [ANN]))
    assert "foreign key" in said
    postgres.execute(f"DROP TABLE {table}")


def test_a_key_that_is_checked_late(postgres: Database, batch: Any) -> None:
    """No merge goes by it: a refusal, not an outage for which a retry could be worth it."""
    table = postgres.new_table()
    write(postgres.target(table, "merge"), batch)
    postgres.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD UNIQUE (event_key) DEFERRABLE")
    said, _ = refused(postgres.target(table, "merge"))
    assert "deferrable" in said


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_a_number_of_a_sequence_without_a_right_to_it(
    postgres: Database, poor: Database, batch: Any, disposition: str
) -> None:
    like, user = postgres.new_table(), user_of(poor)
    write(postgres.target(like, "append"), batch)
    table = make(postgres, like, "id BIGSERIAL, UNIQUE (event_key)" if disposition == "merge" else "id BIGSERIAL")
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user}")
    said, _ = refused(poor.target(table, disposition))
    assert f"permission denied for sequence {table}_id_seq" in said
