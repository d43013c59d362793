"""A local file is seen old or new, never half, whatever becomes of its writers."""

from __future__ import annotations

import concurrent.futures
import fcntl
import os
import random
import resource
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
from airflow_provider.altcraft.targets.object_storage.stores.local import StagedFile

SCOPE = Scope(1, None)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "lake" / "a.jsonl"


@pytest.fixture
def target(place):
    return ObjectStorageTarget(str(place))


def fill(target, batch, rows, **columns):
    writer = target.open(SCOPE)
    writer.write(batch(rows, **columns))
    return writer.commit()


def lines(place):
    return place.read_bytes().splitlines()


def names(place):
    return sorted(path.name for path in place.parent.iterdir())


def test_only_a_commit_is_seen(target, place, batch):
    writer = target.open(SCOPE)
    writer.write(batch(50_000))
    assert not place.exists()
    writer.commit()
    assert len(lines(place)) == 50_000
    assert names(place) == ["a.jsonl"]


def test_a_reader_sees_old_or_new_and_nothing_else(target, place, batch):
    fill(target, batch, 5, email="old")
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            data = place.read_bytes()
            seen.add((len(data.splitlines()), b"old" in data, data.endswith(b"}\n")))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            fill(target, batch, 12_000, email="new")
            fill(target, batch, 5, email="old")
    finally:
        stop.set()
        reader.join()
    assert seen <= {(5, True, True), (12_000, False, True)}


def test_an_abort_leaves_the_old_file(target, place, batch):
    fill(target, batch, 5)
    old = place.read_bytes()
    writer = target.open(SCOPE)
    writer.write(batch(50_000))
    writer.abort()
    assert place.read_bytes() == old
    assert names(place) == ["a.jsonl"]


def test_an_overwrite_replaces_all(target, place, batch):
    fill(target, batch, 500)
    assert fill(target, batch, 3).rows == 3
    assert len(lines(place)) == 3
    fill(target, batch, 0)
    assert place.read_bytes() == b""


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_writers_the_later_wins_whole(target, place, batch, first):
    """The one that began later, whichever commits last."""
    writers = [target.open(SCOPE), target.open(SCOPE)]
    assert len(names(place)) == 2  # the second took the first for alive
    for at in range(6):
        for number, writer in enumerate(writers):
            writer.write(batch(5_000, start=at * 5_000, email=f"writer {number}"))
    writers[first].commit()
    assert writers[1 - first].commit().rows == (0 if first else 30_000)
    data = lines(place)
    assert len(data) == 30_000
    assert all(b"writer 1" in line for line in data)
    assert names(place) == ["a.jsonl"]


CROWD = """
import sys
from airflow_provider.altcraft.targets import ObjectStorageTarget, Scope
sys.path.insert(0, sys.argv[2])
from tests.batches import make_batch
rows = make_batch(11_000, email=sys.argv[3])
for _ in range(15):
    writer = ObjectStorageTarget(sys.argv[1]).open(Scope(1, None))
    writer.write(rows)
    writer.commit()
"""


def test_a_crowd_of_writers_all_end_well(place, request):
    crowd = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(place), str(request.config.rootpath), f"writer {number}"])
        for number in range(4)
    ]
    assert [each.wait(120) for each in crowd] == [0] * 4
    data = lines(place)
    assert len(data) == 11_000
    assert len({line.split(b'"email":"writer ')[1][:1] for line in data}) == 1
    assert names(place) == ["a.jsonl"]


def test_a_staged_file_removed_before_its_lock_is_made_again(target, place, batch, monkeypatch):
    real, removed = fcntl.flock, []

    def flock(descriptor, operation):
        if operation == fcntl.LOCK_EX and not removed:
            removed.append(names(place))
            target.open(SCOPE).abort()  # the other attempt comes between creation and lock
            removed.append(names(place))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    fill(target, batch, 5)
    assert [len(each) for each in removed] == [1, 0]
    assert len(lines(place)) == 5
    assert names(place) == ["a.jsonl"]


def test_a_file_system_without_locks_is_refused(target, place, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"no file can be made in .*: No locks available"):
        target.open(SCOPE)
    assert names(place) == []


@pytest.mark.parametrize("point", ["opened", "wrote 1", "wrote 3", "before replace"])
def test_killed_before_the_commit_it_leaves_the_old_file(place, target, batch, stepper, point):
    fill(target, batch, 5)
    old = place.read_bytes()
    writer = stepper(str(place), 3, 20_000)
    writer.until(point)
    alive = target.open(SCOPE)
    assert len(names(place)) == 3  # an attempt removes nothing of a living one
    alive.abort()
    writer.kill()
    assert place.read_bytes() == old
    assert len(names(place)) == 2  # what the dead one left
    fill(target, batch, 60_000)
    assert len(lines(place)) == len(set(lines(place))) == 60_000
    assert names(place) == ["a.jsonl"]


@pytest.mark.parametrize("point", ["after replace", "committed"])
def test_killed_after_the_commit_it_leaves_the_new_file(place, target, batch, stepper, point):
    fill(target, batch, 5)
    writer = stepper(str(place), 3, 20_000)
    writer.until(point)
    writer.kill()
    assert len(lines(place)) == 60_000
    assert names(place) == ["a.jsonl"]
    fill(target, batch, 60_000)
    assert len(lines(place)) == 60_000


@pytest.mark.soak  # the conformance suite kills at ten points
def test_killed_at_any_moment_it_leaves_old_or_new(place, target, batch, stepper):
    fill(target, batch, 5)
    chance = random.Random(7)
    for _ in range(8):
        writer = stepper(str(place), 4, 15_000, wait=False)
        assert writer.next() == "opened"
        time.sleep(chance.uniform(0, 1.5))
        writer.kill()
        assert len(lines(place)) in {5, 60_000}
    fill(target, batch, 5)
    assert names(place) == ["a.jsonl"]


@pytest.mark.parametrize("rows", [1_000, 200_000])
def test_a_full_disk_leaves_the_old_file(place, target, batch, rows):
    """A limit on the size of files fails as a full disk does: the small write at its commit, the large one before."""
    fill(target, batch, 5)
    old = place.read_bytes()
    writer, some = target.open(SCOPE), batch(1_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):  # noqa: PT012 - which of the steps fails is the parameter
            for _ in range(rows // 1_000):
                writer.write(some)
                written += 1_000
            assert rows == 1_000
            writer.commit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert written == 1_000 or written < rows
    assert place.read_bytes() == old
    assert names(place) == ["a.jsonl"]
    writer.abort()
    fill(target, batch, 7)
    assert len(lines(place)) == 7


def test_a_symbolic_link_is_refused(target, place):
    place.parent.mkdir()
    place.symlink_to(place.with_name("elsewhere.jsonl"))
    with pytest.raises(ValueError, match=r"a\.jsonl is a symbolic link; name the file that it points to"):
        target.open(SCOPE)


def test_a_folder_in_the_place_is_refused(target, place):
    place.mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=r"a\.jsonl is a folder"):
        target.open(SCOPE)


def test_a_name_without_room_for_the_staged_file(tmp_path, batch):
    longest = "é" * 105 + ".parquet"  # 217 bytes of 255
    assert fill(ObjectStorageTarget(f"{tmp_path}/{longest[1:]}"), batch, 3).rows == 3
    with pytest.raises(ValueError, match=r"expected a file name of at most 217 bytes.*got 218 bytes"):
        ObjectStorageTarget(f"{tmp_path}/{longest}").open(SCOPE)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pipe_in_the_place_is_refused(target, place):
    place.parent.mkdir()
    os.mkfifo(place)
    with pytest.raises(ValueError, match="not a regular file"):
        target.open(SCOPE)


def test_a_link_that_comes_while_it_writes_is_not_followed(target, place, batch):
    writer = target.open(SCOPE)
    place.symlink_to(place.with_name("elsewhere.jsonl"))
    with pytest.raises(ValueError, match="symbolic link"):
        writer.commit()
    assert names(place) == ["a.jsonl"]
    assert not place.exists()


def test_a_file_where_a_folder_must_be_is_reported(tmp_path):
    (tmp_path / "lake").touch()
    with pytest.raises(NotADirectoryError, match=r"lake/deep/a\.jsonl cannot be looked at: Not a directory"):
        ObjectStorageTarget(f"{tmp_path}/lake/deep/a.jsonl").open(SCOPE)


def test_a_folder_that_cannot_be_made_is_reported():
    with pytest.raises(OSError, match="the folder /proc/lake cannot be made"):
        ObjectStorageTarget("/proc/lake/a.jsonl").open(SCOPE)


def test_a_folder_without_the_right_to_write_is_reported(target, place, tmp_path):
    place.parent.mkdir()
    place.parent.chmod(0o555)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    # What is imported late may lie where only root reads.
    ObjectStorageTarget(f"{tmp_path}/b.jsonl").open(SCOPE).abort()
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(PermissionError, match=r"no file can be made in .*/lake: Permission denied"):
            target.open(SCOPE)
    finally:
        if root:
            os.seteuid(0)
        place.parent.chmod(0o755)


def test_the_umask_decides_who_may_read(target, place, batch):
    before = os.umask(0o027)
    try:
        fill(target, batch, 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(place.stat().st_mode) == 0o640


def test_another_targets_staged_file_is_left_alone(target, place, batch):
    place.parent.mkdir()
    others = [
        place.with_name(name)
        for name in (
            f".b.jsonl.{'0' * 32}.tmp",
            ".a.jsonl.mine.tmp",
            f"a.jsonl.{'0' * 32}.tmp",
            f".a_jsonl.{'0' * 32}.tmp",
        )
    ]
    for other in others:
        other.touch()
    dead = place.with_name(f".a.jsonl.{'0' * 32}.tmp")
    dead.touch()
    fill(target, batch, 1)
    assert names(place) == sorted(["a.jsonl", *(other.name for other in others)])


def test_what_stands_in_for_a_staged_file_is_not_followed(target, place, batch, tmp_path):
    place.parent.mkdir()
    precious = tmp_path / "precious"
    precious.touch()
    link = place.with_name(f".a.jsonl.{'0' * 32}.tmp")
    link.symlink_to(precious)
    fill(target, batch, 1)
    assert precious.exists()
    assert len(lines(place)) == 1


def test_discard_after_the_folder_has_gone(place):
    staged = StagedFile(str(place))
    staged._staged.unlink()
    place.parent.rmdir()
    staged.discard()


def test_threads_of_one_process_do_not_meet(target, place, batch):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda number: fill(target, batch, 500, email=str(number)), range(16)))
    assert {each.rows for each in done} <= {500, 0}  # none where one that began later was there already
    assert len(lines(place)) == 500
    assert names(place) == ["a.jsonl"]


def test_airflow_reads_back_what_the_uri_names(tmp_path, batch):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    for path in (f"{tmp_path}/a.jsonl", f"file://{tmp_path}/b c%20ж.jsonl"):
        (uri,) = fill(ObjectStorageTarget(path), batch, 4).uris
        assert len(ObjectStoragePath(uri).read_bytes().splitlines()) == 4
