"""Tables of ClickHouse through the conformance suite, over its engine; ``make test-clickhouse`` brings that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider.altcraft.targets.sql.clickhouse.turn import Turn
from airflow_provider.altcraft.testing.conformance import OutageConformance, TargetConformance
from tests.integration.clickhouse import ClickHouse, own_server


class Tables:
    """A table of ClickHouse, each new."""

    keeps = "union"
    at_once = "day"
    disposition = "merge"

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[ClickHouse]:
        with own_server() as server:
            yield server

    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dead attempt is taken for dead soon."""
        monkeypatch.setattr(Turn, "lease", 0.5)
        monkeypatch.setattr(Turn, "poll", 0.05)

    @pytest.fixture
    def target(self, server: ClickHouse) -> Any:
        self.server, self.table = server, server.new_table()
        self.others = server.tables()
        return server.target(self.table, self.disposition)

    def read(self, target: Any) -> Any:
        return self.server.rows(self.table) if self.table in self.server.tables() else []

    def leftovers(self, target: Any) -> list[str]:
        return sorted(self.server.tables() - self.others - {self.table, f"{self.table}_pulls"})


class TestClickHouse(Tables, TargetConformance):
    kill_rows = 90
    kill_points = 5
    left_out = {  # noqa: RUF012
        "test_the_ends_of_time": "a partition is a Date, which ends in 1970 and 2149: see test_clickhouse.py"
    }


class TestClickHouseReplace(Tables, TargetConformance):
    keeps = "scope"
    disposition = "replace"
    kill_rows = 90
    kill_points = 5
    left_out = TestClickHouse.left_out | {"test_a_large_pull": "it costs most, and is alike in the twin of this target"}


class Outage(Tables, OutageConformance):
    outages = 3

    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow_provider.altcraft.targets.sql.clickhouse.writer import ClickHouseWriter

        monkeypatch.setattr(ClickHouseWriter, "reconnects_for", 1.0)


class TestOutage(Outage):
    pass


class TestOutageReplace(Outage):
    keeps = "scope"
    disposition = "replace"
