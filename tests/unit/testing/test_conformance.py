"""The suite for targets: sound ones pass it, and each unsound one fails the test that is about its fault."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.altcraft.testing.conformance import TargetConformance
from tests.unit.testing import mutants
from tests.unit.testing.own_targets import File, Table, rows_of


class Suite(TargetConformance):
    """Of targets of one path in a folder of their own."""

    make: Any = File

    @pytest.fixture
    def target(self, tmp_path: Path) -> Any:
        return self.make(str(tmp_path / "history"))

    def read(self, target: Any) -> Any:
        return target.read() if isinstance(target, Table) else rows_of(Path(target.path))

    def leftovers(self, target: Any) -> list[str]:
        place = Path(target.path)
        return [path.name for path in place.parent.iterdir() if not path.name.startswith(place.name)]


class TestFile(Suite):
    """The target of docs/history.md."""


class Quick(Suite):
    """For targets that stage as ``File`` does."""

    left_out = dict.fromkeys(
        (
            "test_a_large_pull",
            "test_interrupted_at_any_point_and_run_again",
            "test_killed_at_any_point_and_run_again",
            "test_nothing_is_seen_before_the_commit",
        ),
        "it costs most, and TestFile has it",
    )


class TestTable(Quick):
    keeps = "scope"
    make = Table


class TestMerged(Quick):
    keeps = "union"
    make = mutants.Merged


def unlike(keeps: Any) -> Suite:
    return type("Unlike", (Suite,), {"keeps": keeps})()


def test_what_is_left_out_is_declared_and_counted() -> None:
    mine = type("TestMine", (Suite,), {"left_out": {"test_rows": "as in its twin"}})()
    with pytest.raises(pytest.skip.Exception, match="left out: as in its twin"):
        mine.test_rows()


@pytest.mark.parametrize("left_out", [{"test_no_such": "why"}, {"test_rows": ""}, {"read": "why"}])
def test_what_cannot_be_left_out_is_refused(left_out: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="left_out: "):
        type("TestMine", (Suite,), {"left_out": left_out})


@pytest.mark.parametrize(("make", "keeps", "test", "arguments", "said"), mutants.KILLED)
def test_the_suite_finds_it(
    make: Any, keeps: Any, test: str, arguments: dict[str, Any], said: str | None, tmp_path: Path, monkeypatch: Any
) -> None:
    if test == "test_in_another_time_zone":
        arguments = {"monkeypatch": monkeypatch}
    before = threading.active_count()  # those of other tests in this process too
    with pytest.raises((AssertionError, pytest.fail.Exception), match=said):
        getattr(unlike(keeps), test)(make(str(tmp_path / "history")), **arguments)
    assert threading.active_count() < before + 10


@pytest.mark.parametrize("name", ["leftovers", "read", "target"])
def test_what_a_class_of_tests_must_say(name: str, tmp_path: Path) -> None:
    """A store's leavings are not taken for none because nobody says how to find them."""

    class Bare(TargetConformance):
        pass

    ask = getattr(Bare, name)
    ask = getattr(ask, "__wrapped__", ask) if name == "target" else ask
    with pytest.raises(NotImplementedError, match=f"give a (method|fixture) `{name}"):
        ask(Bare(), *([] if name == "target" else [File(str(tmp_path / "history"))]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"datetime": "2026-01-01T00:00:00Z"}, r"column 'datetime': expected timestamp\[us, tz=UTC\], got str"),
        ({"message_id": "seven"}, "column 'message_id': expected int64, got str"),
        ({"extra": {"a": 1}}, "column 'extra': expected string, got dict"),
        ({"email": None, "smid": ...}, "column 'smid' is missing"),
    ],
)
def test_rows_that_are_none_are_reported_by_column(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    from airflow_provider.altcraft.testing.conformance import draw_events, pull_of
    from airflow_provider.altcraft.testing.conformance.base import FIRST

    (row,) = pull_of(draw_events(1, days=1), FIRST).table.to_pylist()
    row = {name: value for name, value in (row | change).items() if value is not ...}

    class Reads(Suite):
        def read(self, target: Any) -> Any:
            return iter([row])

    with pytest.raises(pytest.fail.Exception, match=f"`read` gave rows that do not fit schema.SCHEMA: {said}"):
        Reads().state(File(str(tmp_path / "history")))
