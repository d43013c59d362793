"""A storm of kills: writes of tables that have no transaction of a database are killed at random instants.

Also within their libraries. After each one a reader sees the old rows or the new ones, and at the end nothing is lost
and nothing doubled.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.testing.conformance import killing
from airflow_provider.altcraft.testing.conformance.base import FIRST, LATER, ConformanceBase
from airflow_provider.altcraft.testing.conformance.pulls import Pull, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put
from tests.integration.databases import postgres
from tests.integration.stores import s3
from tests.integration.targets import places
from tests.integration.targets.places import Bucket, Folder
from tests.integration.targets.test_clickhouse_conformance import Tables as ClickHouseTables

__all__ = ["postgres", "s3"]

KILLS = 75
ROWS = 600

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def run(work: Callable[[], object], seconds: float | None = None) -> bool:
    """Run it in a fork, which the kernel ends after so long wherever it is; whether it came to its end."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            killing.forget_the_parent()
            if seconds is not None:
                signal.setitimer(signal.ITIMER_REAL, seconds)  # whose signal ends a process without a handler
            work()
            code = 0
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert ended in ({0} if seconds is None else {0, -signal.SIGALRM}), f"the write failed with {ended}"
    return ended == 0


def _seconds(work: Callable[[], object]) -> float:
    """How long it takes in a fork: as other work on the machine lets it, so it is measured again and again."""
    started = time.monotonic()
    run(work)
    return time.monotonic() - started


class Storm(ConformanceBase):
    """One target that is killed many times."""

    keeps = "union"

    def test_killed_at_random_instants(self, target: Any) -> None:
        seed = random.randrange(10**6)
        chance, history, began = random.Random(seed), [self._pull(0)], time.monotonic()
        run(lambda: put(target, history[0]))
        history.append(self._pull(1))
        whole = _seconds(lambda: put(target, history[1]))
        seen: Counter[str] = Counter()
        kills, number = 0, 1
        while kills < KILLS:
            number += 1
            pull, seconds = self._pull(number), chance.uniform(0.1, 1.3) * whole
            old, new = self.expected(history), self.expected([*history, pull])
            if not run(lambda: put(target, pull), seconds):  # noqa: B023 - called at once
                kills += 1
            state = self.state(target)
            self.old_or_new_or_fail(state, old, new)
            seen["new" if state.equals(new) else "old" if state.equals(old) else "some"] += 1
            # Where each day is put in place for itself, some may be new and some old, until a retry.
            if not state.equals(new) and (not state.equals(old) or chance.random() < 0.5):
                whole = _seconds(lambda: put(target, pull))  # noqa: B023 - called at once
                state = self.state(target)
                assert state.equals(new), "a retry has not repaired"
            if state.equals(new):
                history.append(pull)
        held = Counter(self.state(target)["event_key"].to_pylist())
        expected = Counter(self.expected(history)["event_key"].to_pylist())
        lost, doubled = (sum((one - other).values()) for one, other in ((expected, held), (held, expected)))
        print(f"\n{type(self).__name__}: {kills} kills in {number} writes (seed {seed}); a reader then saw")
        print(
            f"  {seen['old']} times the old rows, {seen['new']} times the new ones, {seen['some']} times some days new;"
        )
        print(f"  in the end lost {lost}, doubled {doubled} of {sum(expected.values())} rows;")
        print(f"  a whole write takes {whole:.2f} s, all took {time.monotonic() - began:.0f} s")
        assert (lost, doubled) == (0, 0)
        self.holds(target, *history)

    def _pull(self, number: int) -> Pull:
        """The same events counted again, and some that came late."""
        events = [event | {"count": number + 1} for event in draw_events(ROWS)]
        return pull_of([*events, *draw_events(5, seed=number + 1)], (FIRST, LATER)[number % 2])


class TestDeltaLocal(places.Delta, Storm):
    @pytest.fixture
    def place(self, tmp_path: Any) -> Folder:
        return Folder(tmp_path / "lake")


class TestDeltaS3(places.Delta, Storm):
    @pytest.fixture
    def place(self, s3: Any) -> Bucket:
        return Bucket(s3)


class TestIcebergLocal(places.Iceberg, Storm):
    @pytest.fixture
    def catalog(self, tmp_path: Any) -> places.Catalog:
        return places.Catalog(f"sqlite:///{tmp_path}/catalog.db", Folder(tmp_path / "lake"))


class TestIcebergS3(places.Iceberg, Storm):
    @pytest.fixture
    def catalog(self, postgres: Any, s3: Any) -> places.Catalog:
        address = f"postgresql+psycopg2://postgres@127.0.0.1/{postgres.arguments['dbname']}"
        return places.Catalog(address, Bucket(s3), **places.s3_properties(s3))


class TestClickHouse(ClickHouseTables, Storm):
    """Where its engine is: PYTHONPATH=.venv/clickhouse, once make test-clickhouse has brought it."""
