"""An object for each day: all days of the window, each whole, and nothing of other days."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope, SupportsFailureReport
from airflow_provider.altcraft.targets.object_storage.stores.local import StagedFile
from airflow_provider.altcraft.window import Window

DAY = 86_400
DAYS = [f"2024-01-0{day}" for day in range(1, 5)]


@pytest.fixture(params=["disk", "s3", "azure", "gcs"])
def store(request):
    return request.getfixturevalue(request.param)


def scope(first=DAYS[0], last=DAYS[-1]):
    return Scope(1, None, Window.of(first, last))


def keys(name):
    return [f"{name}/date={day}/a.jsonl" for day in DAYS]


def lines(store, key):
    return [json.loads(line) for line in store.read(key).splitlines()]


def test_each_day_has_its_rows_and_an_empty_one_its_object(store, batch, request):
    name = request.node.name
    target = ObjectStorageTarget(store.uri(name + "/date={date}/a.jsonl"))
    writer = target.open(scope())
    for start in (0, DAY - 5, 3 * DAY - 1):  # the last row of a day and the first of the next
        writer.write(batch(10, start=start))
    assert store.keys(name) == []
    written = writer.commit()
    assert store.keys(name) == keys(name)
    assert written.uris == tuple(store.uri(key) for key in keys(name))
    assert [len(lines(store, key)) for key in keys(name)] == [15, 5, 1, 9]
    assert (written.rows, written.bytes) == (30, sum(len(store.read(key)) for key in keys(name)))
    for key, day in zip(keys(name), DAYS, strict=True):
        assert {row["datetime"][:10] for row in lines(store, key)} <= {day}

    # Pulled again, with fewer events and a shorter window: what was there is replaced, other days are not.
    writer = target.open(scope(DAYS[1], DAYS[3]))
    writer.write(batch(2, start=2 * DAY))
    assert writer.commit().rows == 2
    assert [len(lines(store, key)) for key in keys(name)] == [15, 0, 2, 0]


def test_an_abort_and_an_error_leave_what_was_there(store, batch, request):
    name = request.node.name
    target = ObjectStorageTarget(store.uri(name + "/date={date}/a.jsonl"))
    target.open(scope()).commit()
    for wrong in (batch(1).drop_columns(["extra"]), batch(1, start=4 * DAY), batch(1, start=-1)):
        writer = target.open(scope())
        writer.write(batch(10))
        with pytest.raises(ValueError, match=r"schema|2024-01-05 is not of|2023-12-31 is not of"):
            writer.write(wrong)
        with pytest.raises(RuntimeError, match="aborted already"):
            writer.commit()
    writer = target.open(scope())
    writer.write(batch(10))
    writer.abort()
    writer.abort()
    assert store.keys(name) == keys(name)
    assert [store.read(key) for key in keys(name)] == [b""] * 4


def test_failed_profiles_are_listed_once_for_the_window(store, request):
    name = request.node.name
    target = ObjectStorageTarget(store.uri(name + "/date={date}/a.jsonl"))
    listed = f"{name}/_date=2024-01-01_2024-01-04-a.jsonl.failed.jsonl"
    for failed in ([{"lookup": {"email": "ж@example.com"}, "error": "no"}], []):
        writer = target.open(scope())
        assert isinstance(writer, SupportsFailureReport)
        assert writer.keep_failures(failed) == (store.uri(listed) if failed else None)
        writer.commit()
        assert store.keys(name) == sorted([*keys(name), *([listed] if failed else [])])


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_writers_every_day_is_the_later_ones(store, batch, request, first):
    """The one that began later, whichever commits last."""
    name = request.node.name.replace("[", "-").replace("]", "-")
    target = ObjectStorageTarget(store.uri(name + "/date={date}/a.jsonl"))
    writers = [target.open(scope()), target.open(scope())]
    for start in (0, DAY, 2 * DAY, 3 * DAY):
        for number, writer in enumerate(writers):
            writer.write(batch(10, start=start, email=f"writer {number}"))
    writers[first].commit()
    writers[1 - first].commit()
    assert store.keys(name) == keys(name)
    for key in keys(name):
        assert [row["email"] for row in lines(store, key)] == ["writer 1"] * 10


def test_nothing_is_visible_before_all_is_sent(tmp_path, batch, monkeypatch):
    """A disk that is full at the last day leaves all days as they were."""
    target = ObjectStorageTarget(f"{tmp_path}/{{date}}.jsonl")
    target.open(scope()).commit()
    real, finished = StagedFile.finish, []

    def full(self):
        finished.append(self.uri)
        if len(finished) == 4:
            raise OSError(28, "No space left on device")
        real(self)

    monkeypatch.setattr(StagedFile, "finish", full)
    writer = target.open(scope())
    writer.write(batch(10))
    with pytest.raises(OSError, match="No space"):
        writer.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{day}.jsonl" for day in DAYS]
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b""}


@pytest.mark.parametrize(
    ("window", "says"),
    [
        (Window.of(), "date_from and date_to must both be given"),
        (Window.of("2024-01-01"), "date_from and date_to must both be given"),
        (Window.of("2024-01-01T00:00:01Z", "2024-01-02"), r"whole UTC days, and date_from is 2024-01-01T00:00:01\+00"),
        (Window.of("2024-01-01", "2024-01-02T12:00Z"), r"whole UTC days, and date_to is 2024-01-02T12:00:00\+00:00"),
        (Window.of("2020-01-01", "2024-01-02"), "750 days, not 1,463; split the window"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(tmp_path, window, says):
    with pytest.raises(ValueError, match=says):
        ObjectStorageTarget(f"{tmp_path}/{{date}}.csv").open(Scope(1, None, window))
    assert list(tmp_path.iterdir()) == []


def test_a_window_of_no_days_writes_nothing(tmp_path):
    nothing = Window(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=dt.UTC))
    writer = ObjectStorageTarget(f"{tmp_path}/{{date}}.csv").open(Scope(1, None, nothing))
    assert writer.keep_failures([]) is None
    assert writer.commit().uris == ()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "lake").touch()
    with pytest.raises(OSError, match="Not a directory"):
        ObjectStorageTarget(f"{tmp_path}/lake/{{date}}.csv").open(scope())
