"""The tests that a target must pass to keep the promise, a user's own target included.

Inherit ``TargetConformance``, give it a target and a way to read, and run pytest. ``OutageConformance`` and
``FullDiskConformance`` are for a store whose server a test can stop, or whose disk it can fill::

    class TestMyTarget(TargetConformance):
        keeps = "pull"

        @pytest.fixture
        def target(self, tmp_path):
            return MyTarget(tmp_path / "history")

        def read(self, target):
            return target.rows()

        def leftovers(self, target):
            return target.staged_names()

Needs the extra ``testing`` and a system with ``os.fork``.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from typing import ClassVar

import pytest

from airflow_provider.altcraft.targets import Scope, Target, TargetWriter, Written
from airflow_provider.altcraft.testing.conformance.base import ALL_PROFILES, DAYS, FIRST, LATER, scope
from airflow_provider.altcraft.testing.conformance.killing import (
    Forked,
    Interrupted,
    Marks,
    interrupt,
    kill,
    peak,
    reset_peak,
    write,
)
from airflow_provider.altcraft.testing.conformance.pulls import (
    LARGE,
    PROFILES,
    Pull,
    as_table,
    awkward_events,
    draw_events,
    draw_pull,
    far_events,
    large_pull,
    pull_of,
)
from airflow_provider.altcraft.testing.conformance.scopes import ScopeConformance
from airflow_provider.altcraft.testing.conformance.writing import (
    Watching,
    persist,
    put,
    put_from_threads,
    refused,
    same,
    working,
)


class TargetConformance(ScopeConformance):
    """Tests of one target over its real store.

    Attributes:
        keeps: what the place holds after several pulls: ``pull``, ``days``, ``scope``, ``union`` or ``all``; see
            ``MEANINGS``.
        at_once: what a reader sees change in one step: the whole ``pull``, or each ``day`` of it.
        left_out: tests that the class leaves out, each with the reason; they count as skipped.
        nul: whether the store can hold U+0000 in a text; one that cannot raises a ``ValueError`` that names U+0000
            (or NUL), by ``write`` or by ``commit`` before anything is seen.
        kill_points: at how many steps of a write, from ``open`` to the end of ``commit``, it is killed; each costs a
            process. Half as many interrupt it by an exception.
        kill_rows: how many rows that write has, in three batches; with fewer it takes less time.
        memory: bytes by which the process may grow from the half to the end of a large pull, commit included.
    """

    kill_points: ClassVar[int] = 10
    kill_rows: ClassVar[int] = 600
    nul: ClassVar[bool] = True
    memory: ClassVar[int] = 128 << 20

    def test_follows_the_protocol(self, target: Target) -> None:
        assert isinstance(target, Target), "expected the attribute `template_fields` and the method `open`"
        missing = [name for name in target.template_fields if not hasattr(target, name)]
        assert not missing, f"template_fields names {missing[0]!r}, which the target has no attribute for"
        assert " at 0x" not in repr(target), "give a `__repr__` that shows the arguments, and no address in memory"
        assert repr(target) == repr(copy.copy(target)), "two targets with the same arguments must have the same repr"
        writer = target.open(FIRST)
        assert isinstance(writer, TargetWriter), "expected `open` to return `write`, `commit` and `abort`"
        writer.abort()

    # What a reader finds after commits

    @pytest.mark.parametrize("count", [0, 1, 1200])
    def test_rows(self, target: Target, count: int) -> None:
        pull = draw_pull(count, FIRST, days=2)
        written = put(target, pull)
        assert isinstance(written, Written), "expected `commit` to return a `Written`"
        assert written.rows == count, "expected in `Written.rows` the rows of this write"
        assert written.uris, "expected in `Written.uris` at least one"
        self.holds(target, pull)
        self.nothing_left(target)

    def test_written_from_several_threads(self, target: Target) -> None:
        """As an operator does: ``open``, ``commit`` and ``abort`` in the main thread, each ``write`` in another."""
        old, new = draw_pull(900, FIRST), draw_pull(900, FIRST, seed=1)
        put_from_threads(target, old)
        put_from_threads(target, new, abort=True)
        self.holds(target, old)
        put_from_threads(target, new)
        self.holds(target, old, new)

    def test_in_another_time_zone(self, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
        """Instants are UTC, also in a process whose local time has the same hour twice."""
        monkeypatch.setenv("TZ", "America/New_York")
        time.tzset()
        try:
            events = [
                event | {"datetime": f"2026-11-01T{hour:02}:30:00Z"}
                for hour, event in enumerate(draw_events(24, days=1))
            ]
            pulls = [pull_of(events, scope("2026-11-01", "2026-11-01")) for events in (events, events[::2])]
            for number, pull in enumerate(pulls, 1):
                put(target, pull)
                self.holds(target, *pulls[:number])
        finally:
            monkeypatch.undo()
            time.tzset()

    def test_no_rows_after_some(self, target: Target) -> None:
        pulls = [draw_pull(30, FIRST, days=2), pull_of([], FIRST)]
        for pull in pulls:
            put(target, pull)
        self.holds(target, *pulls)

    def test_written_twice(self, target: Target) -> None:
        pull = draw_pull(700, FIRST)
        put(target, pull)
        put(target, pull)
        self.holds(target, pull, pull)

    def test_rows_alike_in_every_field(self, target: Target) -> None:
        """Two real events stay two; one that was asked by two lookups is a row of each, or one where it is merged."""
        twins = [event | {"event_id": None, "email": PROFILES[0]} for event in draw_events(1, days=1)] * 3
        pull = pull_of(twins, FIRST)
        assert pull.table.num_rows == 3
        put(target, pull)
        self.holds(target, pull)
        both = [("email", PROFILES[0]), ("xxh", twins[0]["xxh"])]
        twice = pull_of(twins, scope(*DAYS, lookups=both))
        assert twice.table.num_rows == 6
        put(target, twice)
        if self.keeps == "union":  # by which lookup each was last asked is the target's choice
            assert self.state(target)["event_key"].equals(as_table(pull.table)["event_key"])
        else:
            self.holds(target, pull, twice)

    def test_awkward_values(self, target: Target) -> None:
        pull = pull_of(awkward_events(), FIRST, batch_rows=7)
        put(target, pull)
        put(target, pull)
        self.holds(target, pull, pull)

    def test_the_ends_of_time(self, target: Target) -> None:
        pull = pull_of(far_events(), Scope(1, ALL_PROFILES))
        if self.keeps == "days":  # there would be no end of days
            with refused("date", "A target that keeps days refuses in `open` a window without date_from and date_to"):
                target.open(pull.scope)
            return
        put(target, pull)
        self.holds(target, pull)

    def test_nul_is_kept_or_refused(self, target: Target) -> None:
        before, pull = draw_pull(5, FIRST), pull_of(awkward_events(nul=True), FIRST)
        put(target, before)
        if self.nul:
            put(target, pull)
            self.holds(target, before, pull)
        else:
            with refused(
                r"nul|0x00|u\+?0000", "Where the store can hold U+0000, set nul = True; else name it in the ValueError"
            ):
                put(target, pull)
            self.holds(target, before)

    def test_a_large_pull(self, target: Target) -> None:
        """300,000 rows, without memory for them."""
        pull = large_pull(FIRST)

        def work() -> tuple[int, int]:
            reset_peak()
            writer = target.open(FIRST)
            for number, batch in enumerate(pull.batches):
                writer.write(batch)
                if number == len(pull.batches) // 2:
                    half = peak()
            written = writer.commit()
            return written.rows, peak() - half

        rows, growth = Forked(work).value
        assert rows == LARGE
        assert growth < self.memory, (
            f"the process grew by {growth >> 20} MiB, more than `memory` allows: stage batches outside of memory"
        )
        same(self.state(target), as_table(pull.table), "These are the rows of one large pull.")

    # What a reader must never see

    def test_nothing_is_seen_before_the_commit(self, target: Target) -> None:
        old, new = draw_pull(300, FIRST), draw_pull(20_000, FIRST, seed=1, batch_rows=5000)
        nothing = self.state(target)
        assert nothing.num_rows == 0, "expected an empty place: the fixture `target` gives each test one of its own"
        for before, pull in ((nothing, old), (self.expected([old]), new)):
            writer = target.open(pull.scope)
            same(self.state(target), before, "`open` must change nothing that a reader sees.")
            for batch in pull.batches:
                writer.write(batch)
                same(self.state(target), before, "`write` must change nothing that a reader sees; `commit` does.")
            writer.commit()
        self.holds(target, old, new)

    def test_an_abort_leaves_it_as_it_was(self, target: Target) -> None:
        target.open(FIRST).abort()
        assert self.state(target).num_rows == 0
        old, new = draw_pull(300, FIRST), draw_pull(300, FIRST, seed=1)
        put(target, old)
        for count in (0, 1, len(new.batches)):
            writer = target.open(FIRST)
            for batch in new.batches[:count]:
                writer.write(batch)
            with working("`abort` may be called several times; all but the first do nothing"):
                writer.abort()
                writer.abort()
            self.holds(target, old)
        self.nothing_left(target)
        put(target, new)
        self.holds(target, old, new)

    def test_an_abort_after_the_commit_does_nothing(self, target: Target) -> None:
        pull = draw_pull(300, FIRST)
        writer = target.open(FIRST)
        for batch in pull.batches:
            writer.write(batch)
        writer.commit()
        writer.abort()
        self.holds(target, pull)

    def test_what_is_no_row_is_refused(self, target: Target) -> None:
        pull = draw_pull(3, FIRST)
        put(target, pull)
        writer = target.open(FIRST)
        with refused("schema", "`write` compares batch.schema with schema.SCHEMA, and its error names the schema"):
            writer.write(pull.batches[0].drop_columns(["extra"]))
        writer.abort()
        self.holds(target, pull)

    def test_a_reader_never_sees_a_part(self, target: Target) -> None:
        pulls = [draw_pull(2000, (FIRST, LATER)[seed % 2], seed=seed) for seed in range(4)]
        states = [self.expected(pulls[:count]) for count in range(len(pulls) + 1)]
        with Watching(lambda: self.state(target)) as seen:
            for count, pull in enumerate(pulls, 1):
                put(target, pull)
                seen.twice_more()
                assert seen.last.equals(states[count])
        at = 0
        for state in seen.states:
            while not self.old_or_new(state, states[at], states[min(at + 1, len(pulls))]):
                at += 1
                assert at <= len(pulls), (
                    f"during a commit `read` gave {state.num_rows} rows, which no commit has left: replace the rows in "
                    "one atomic step, such as a rename or a transaction"
                )

    # Writes that are killed or interrupted

    def test_killed_at_any_point_and_run_again(self, target: Target) -> None:
        history = [self._pull_to_kill(0)]
        marks = Forked(lambda: write(target, history[0])).value
        self.holds(target, *history)
        for number, point in enumerate(marks.points(self.kill_points), 1):
            pull = self._pull_to_kill(number)
            assert Forked(lambda: write(target, pull, at=point, act=kill)).killed  # noqa: B023 - called at once
            self._after_a_cut(target, history, pull)
        self.nothing_left(target)

    def test_interrupted_at_any_point_and_run_again(self, target: Target) -> None:
        history = [self._pull_to_kill(0)]
        marks = Forked(lambda: write(target, history[0])).value
        for number, point in enumerate(marks.points(self.kill_points)[self.kill_points // 2 :], 1):
            pull = self._pull_to_kill(number)

            def work() -> Marks | None:
                with contextlib.suppress(Interrupted):
                    return write(target, pull, at=point, act=interrupt)  # noqa: B023 - called at once
                return None

            Forked(work)
            self._after_a_cut(target, history, pull)
        self.nothing_left(target)

    def _after_a_cut(self, target: Target, history: list[Pull], pull: Pull) -> None:
        old, new, state = self.expected(history), self.expected([*history, pull]), self.state(target)
        self.old_or_new_or_fail(state, old, new)
        if self.keeps != "all" or state.equals(old):
            with working("What a write that was cut off has left must not keep the next one from succeeding"):
                put(target, pull)
        history.append(pull)
        self.holds(target, *history)

    def _pull_to_kill(self, number: int) -> Pull:
        events = [event | {"count": number + 1} for event in draw_events(self.kill_rows, days=2)]
        return pull_of(events, FIRST, batch_rows=self.kill_rows // 3)

    @pytest.mark.parametrize("first", [0, 1])
    def test_two_attempts_interleaved(self, target: Target, first: int) -> None:
        """Two writers are open at once, as when a task is cleared while it runs: the later commit wins.

        Or the writer that was opened later, where the target can tell: the place then holds what the two leave in the
        order in which they were opened.
        """
        pulls = [draw_pull(1500, FIRST, seed=seed) for seed in range(2)]
        with working("Two writers are open at once: stage each one's rows apart, and lock others out in `commit` only"):
            writers = [copy.copy(target).open(FIRST) for _ in pulls]
        for batches in zip(*(pull.batches for pull in pulls), strict=False):
            for writer, batch in zip(writers, batches, strict=True):
                writer.write(batch)
        order = [first, 1 - first]
        for number in order:
            for batch in pulls[number].batches[min(len(pull.batches) for pull in pulls) :]:
                writers[number].write(batch)
            writers[number].commit()
        in_order_of_commits = [pulls[number] for number in order]
        opened_later_stays = self.state(target).equals(self.expected(pulls))
        self.holds(target, *(pulls if opened_later_stays else in_order_of_commits))
        self.nothing_left(target)

    def test_two_at_once(self, target: Target) -> None:
        """In any interleaving of threads, with such retries as Airflow would make."""
        pulls = [draw_pull(400, (FIRST, LATER)[seed], seed=seed) for seed in range(2)]
        errors: list[BaseException] = []

        def work(pull: Pull) -> None:
            for _ in range(1 if self.keeps == "all" else 3):
                try:
                    persist(copy.copy(target), pull)
                except BaseException as error:
                    errors.append(error)

        threads = [threading.Thread(target=work, args=(pull,)) for pull in pulls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == [], "a write next to another one failed, also when it was tried again"
        state = self.state(target)
        assert any(state.equals(self.expected(order)) for order in (pulls, pulls[::-1])), (
            f"after two writes at once `read` gave {state.num_rows} rows, which neither order of the two commits leaves"
        )
