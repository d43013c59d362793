"""The tests of which rows a commit replaces: those of its scope, and no others."""

from __future__ import annotations

import datetime as dt

import pytest

from airflow_provider.altcraft.targets import Scope, Target
from airflow_provider.altcraft.testing.conformance.base import ALL_PROFILES, DAYS, FIRST, LATER, ConformanceBase, scope
from airflow_provider.altcraft.testing.conformance.pulls import PROFILES, Pull, draw_events, pull_of
from airflow_provider.altcraft.testing.conformance.writing import put, refused
from airflow_provider.altcraft.window import Window


class ScopeConformance(ConformanceBase):
    """Tests of one target that is given several pulls."""

    def test_overlapping_windows(self, target: Target) -> None:
        events = draw_events(900)
        first = pull_of(events, FIRST)
        # By the later pulls some have come late, some have another count, and some are there no longer.
        events = [event | {"count": 2} for event in events[50:]] + draw_events(60, seed=1)
        pulls = [first, pull_of(events, LATER), pull_of(events, FIRST)]
        self._in_turn(target, *pulls)

    def test_other_profiles_of_the_same_days(self, target: Target) -> None:
        """Lookups that look alike to a careless comparison are still others."""
        names = ["ann@example.com", "Ann@example.com", "ann@example.com ", "änn@example.com", "an_@example.com", "%"]
        pulls = [
            pull_of(draw_events(9, seed=seed, days=2, profiles=[name]), scope(*DAYS, lookups=[("email", name)]))
            for seed, name in enumerate([*names, names[0]])
        ]
        self._in_turn(target, *pulls)

    def test_the_same_value_by_another_matching(self, target: Target) -> None:
        """A lookup is ``matching`` and ``lookup`` together: ``email`` and ``email_sub`` ask by the same address."""
        name = PROFILES[0]
        by_email, by_subscription = (scope(*DAYS, lookups=[(matching, name)]) for matching in ("email", "email_sub"))
        some, more = (draw_events(9, seed=seed, days=2, profiles=[name]) for seed in range(2))
        self._in_turn(target, pull_of(some, by_email), pull_of(more, by_subscription), pull_of([], by_subscription))

    @pytest.mark.parametrize("lookups", [ALL_PROFILES, None], ids=["profiles", "database"])
    def test_another_database(self, target: Target, lookups: tuple[tuple[str, str], ...] | None) -> None:
        """The same people and days in two databases: each has rows of its own."""
        first, second = (scope(*DAYS, lookups=lookups, list_id=list_id) for list_id in (1, 2))
        some, more = (draw_events(30, seed=seed, days=2) for seed in range(2))
        self._in_turn(target, pull_of(some, first), pull_of([], second), pull_of(more, second), pull_of([], first))

    def test_a_whole_database(self, target: Target) -> None:
        """Over rows of profiles too, unless the target keeps scopes and takes only one of the two kinds at a time."""
        some, everybody = draw_events(40, days=2), scope(*DAYS, lookups=None)
        pulls = [pull_of(some[:20], everybody), pull_of(some, everybody), pull_of([], everybody), pull_of(some, FIRST)]
        self._in_turn(target, *pulls)
        try:
            target.open(everybody).abort()
        except ValueError:
            if self.keeps != "scope":
                raise
        else:
            pulls.append(pull_of(some[:20], everybody))
            put(target, pulls[-1])
        self.holds(target, *pulls)

    def test_instants_as_the_ends_of_the_window(self, target: Target) -> None:
        noon = [dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC) for day in (1, 2)]
        events = draw_events(200, days=3)
        events += [event | {"datetime": at.isoformat()} for event, at in zip(draw_events(2, seed=3), noon, strict=True)]
        pulls = [pull_of(events, scope(*DAYS)), pull_of(events[::2], Scope(1, ALL_PROFILES, Window(*noon)))]
        put(target, pulls[0])
        if self.keeps == "days":
            with refused(
                "day", "A target that keeps days refuses in `open` a window that does not begin and end with a day"
            ):
                target.open(pulls[1].scope)
            self.holds(target, pulls[0])
        else:
            put(target, pulls[1])
            self.holds(target, *pulls)

    def _in_turn(self, target: Target, *pulls: Pull) -> None:
        for number, pull in enumerate(pulls, 1):
            put(target, pull)
            self.holds(target, *pulls[:number])
