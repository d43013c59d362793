"""The tests of a target whose store fails it: the server goes away during a write, or the disk is full."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import ClassVar, Protocol

import pytest

from airflow_provider.altcraft.targets import Target
from airflow_provider.altcraft.testing.conformance.base import FIRST, ConformanceBase
from airflow_provider.altcraft.testing.conformance.killing import Forked, write
from airflow_provider.altcraft.testing.conformance.pulls import Pull, draw_events, draw_pull, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put


class Server(Protocol):
    """A store's server, up when the test begins."""

    def stop(self) -> None:
        """Stop it; its disk is kept."""
        ...

    def start(self) -> None:
        """Start it again, with what its disk holds."""
        ...


class Space(Protocol):
    """The disk of a store, with some MiB that are free when the test begins."""

    def fill(self) -> None:
        """Leave less free than what a pull of 20,000 rows needs."""
        ...

    def free(self) -> None:
        """Free the space again."""
        ...


class OutageConformance(ConformanceBase):
    """Tests of one target whose store's server is stopped and started during writes. They need a ``server``, too.

    Attributes:
        keeps: see ``ConformanceBase``.
        at_once: see ``ConformanceBase``.
        outages: at how many steps of a write the server goes away, to be back at once. At every other of them it goes
            away to be back only after the write, which may have to wait for many time-outs.
        outage_rows: how many rows that write has.
    """

    outages: ClassVar[int] = 5
    outage_rows: ClassVar[int] = 90

    @pytest.fixture
    def server(self) -> Server:
        """The server of the target's store. Each subclass has its own fixture."""
        raise NotImplementedError("give a fixture `server`")

    @pytest.mark.parametrize("back", ["at once", "after the write"])
    def test_the_server_stops_during_the_write(self, target: Target, server: Server, back: str) -> None:
        history = [self._pull(0)]
        marks = Forked(lambda: write(target, history[0])).value

        def away() -> None:
            server.stop()
            if back == "at once":
                server.start()

        points = marks.points(self.outages)
        for number, point in enumerate(points if back == "at once" else points[1::2], 1):
            pull = self._pull(number)
            ended_well = False
            with contextlib.suppress(Exception):  # or it ends well, where it does not need the server any more
                self.write_during(target, pull, point, away)
                ended_well = True
            if back != "at once":
                server.start()
            old, new, state = self.expected(history), self.expected([*history, pull]), self.state(target)
            self.old_or_new_or_fail(state, old, new)
            assert not ended_well or state.equals(new), "the commit ended well, but its rows are not there"
            if self.keeps != "all" or state.equals(old):
                Forked(lambda: put(target, pull))  # noqa: B023 - called at once; a retry is a process of its own
            history.append(pull)
            self.holds(target, *history)
        self.nothing_left(target)

    def write_during(self, target: Target, pull: Pull, point: int, away: Callable[[], object]) -> None:
        """Write, and have the server go away at a step.

        In this process, which can stop and start a server. A library that does not outlive a fork needs another one.
        """
        write(target, pull, at=point, act=away)

    def _pull(self, number: int) -> Pull:
        events = [event | {"count": number + 1} for event in draw_events(self.outage_rows, days=2)]
        return pull_of(events, FIRST, batch_rows=self.outage_rows // 3)


class FullDiskConformance(ConformanceBase):
    """Tests of one target whose store's disk fills up. They want the disk's ``space``, too."""

    @pytest.fixture
    def space(self) -> Space:
        """The disk of the target's store. Each subclass has its own fixture."""
        raise NotImplementedError("give a fixture `space`")

    def test_a_full_disk(self, target: Target, space: Space) -> None:
        old, new = draw_pull(300, FIRST), draw_pull(20_000, FIRST, seed=1)
        put(target, old)
        space.fill()
        with pytest.raises(Exception, match=r"(?i)no space|disk full|disk is full"):
            put(target, new)
        self.holds(target, old)
        self.nothing_left(target)
        space.free()
        Forked(lambda: put(target, new))
        self.holds(target, old, new)
        self.nothing_left(target)
