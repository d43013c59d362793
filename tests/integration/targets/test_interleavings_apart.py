"""Two attempts on a store or a database, stepped through each other, each in a process of its own that can be killed.

An attempt halts before each request to a store, and before each statement to a database. Where it would wait for a
lock that the other holds, it does so, and the other goes on. Courses are drawn, a few in each run, many as a soak.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import multiprocessing
import random
import traceback
import uuid
from collections import Counter
from unittest import mock

import aiohttp
import pytest

from airflow_provider.altcraft.targets.object_storage import folder as _folder
from airflow_provider.altcraft.targets.object_storage import folder_store as _folder_store
from airflow_provider.altcraft.targets.object_storage.stores import s3 as _s3
from airflow_provider.altcraft.targets.object_storage.stores.fsspec import FsspecStore
from airflow_provider.altcraft.testing.conformance.killing import forget_the_parent
from tests.batches import make_batch
from tests.integration.targets.courses import KEYS, SCOPE, SECONDS, Objects, play, write

BLOCKED = 0.2
"""Seconds after which a step is taken to wait for the other; where it was only slow, both go on at once."""
STILL_BLOCKED = 0.02


class Attempt:
    """One attempt in a process, which halts where ``halting`` says until it is asked to step."""

    def __init__(self, target, email, halting):
        self.email, self.error = email, None
        self.ended = self.dead = self.waits = self.began_commit = False
        self._going = False
        self._locks = halting is at_statements  # no request to a store waits for anybody
        self._message = None
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_attempt, args=(other, target, email, halting), daemon=True)
        self._process.start()
        other.close()

    def step(self, *, alone):
        """Go on to the next halt or the end, or until it waits for a lock."""
        alone = alone or not self._locks
        seconds = SECONDS if alone else STILL_BLOCKED if self._going else BLOCKED
        if not self._going:
            self._pipe.send(self._message)
            self._message = None
        self.waits = self._going = not self._pipe.poll(seconds)
        if self.waits:
            assert not alone, "it neither halts nor ends"
            return
        try:
            self.ended, self.began_commit, self.error = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise AssertionError(f"it died with {self._process.exitcode}") from None

    def pass_time(self, *, slept):
        """Let a day go by before the next step."""
        self._message = "slept" if slept else "heard of nobody"

    def kill(self):
        """End it as the kernel's out-of-memory killer would."""
        if not self.ended:
            self.dead = True
            self._process.kill()
            self._process.join()

    def bury(self):
        """Wait for its end."""
        self._process.join(SECONDS)
        self._process.close()
        self._pipe.close()


def _attempt(pipe, target, email, halting):
    logging.disable(logging.INFO)
    forget_the_parent()
    committing = error = None

    def halt(begins_commit=False):
        nonlocal committing
        committing = committing or begins_commit
        pipe.send((False, committing, None))
        _let_time_pass(pipe.recv())

    _note_own().start()
    halting(halt)
    _let_time_pass(pipe.recv())
    try:
        write(target, email, halt)
    except Exception:
        error = traceback.format_exc()
    pipe.send((True, committing, error))


def at_requests(halt):
    """Halt before each request, of whichever thread: it is the process that is stepped."""
    real = aiohttp.ClientSession._request

    async def request(*args, **kwargs):
        halt()
        return await real(*args, **kwargs)

    aiohttp.ClientSession._request = request


def at_statements(halt):
    """Halt before a connection is made, each statement, the commit and the end."""
    from airflow_provider.altcraft.targets.sql.dialects.duckdb import DuckDbSession
    from airflow_provider.altcraft.targets.sql.dialects.mysql import MySqlSession
    from airflow_provider.altcraft.targets.sql.dialects.postgres import PostgresSession
    from airflow_provider.altcraft.targets.sql.dialects.sqlite import SqliteSession

    def around(real):
        def call(*args, **kwargs):
            halt()
            return real(*args, **kwargs)

        return call

    for kind in (DuckDbSession, MySqlSession, PostgresSession, SqliteSession):
        for name in ("_connect", "execute", "load", "upsert", "commit", "close"):
            setattr(kind, name, around(getattr(kind, name)))


OWN = set()
"""Attempts at parts in this process, which hold leases."""


def _note_own(hold=_folder_store.StoreFolder.hold):
    def noting(folder, attempt):
        OWN.add(attempt)
        return hold(folder, attempt)

    return mock.patch.object(_folder_store.StoreFolder, "hold", noting)


@contextlib.contextmanager
def heard_of_nobody():
    """A day goes by in which nobody but this process showed that he lives."""
    real, day = FsspecStore.modified, dt.timedelta(days=1)

    def modified(entry):
        lease = _folder.LEASE.fullmatch(entry["name"].rpartition("/")[2])
        return real(entry) - (day if lease and lease[1] not in OWN else dt.timedelta(0))

    with mock.patch.object(FsspecStore, "modified", staticmethod(modified)):
        yield


def _let_time_pass(message):
    """To the end of this process."""
    if message == "heard of nobody":
        heard_of_nobody().__enter__()
    elif message == "slept":
        real = _folder_store._now
        _folder_store._now = lambda: real() + 86_400


class Prefix(Objects):
    """A prefix of a store, whose clock tells who lives."""

    @contextlib.contextmanager
    def time_passes(self):
        """Leases run out, and unfinished uploads are old."""
        with heard_of_nobody(), mock.patch.object(_s3, "ABANDONED", dt.timedelta(days=-1)):
            yield


class Table:
    """A table, with a row of another list in it from before; or none yet."""

    shares = False

    def __init__(self, database, disposition, fresh):
        self.fresh = fresh
        self._database, self._table = database, database.new_table()
        self.target = database.target(self._table, disposition)
        if not fresh:
            other = self.target.open(SCOPE)
            other.write(make_batch(1, start=9 * 86_400, email="other", list_id=2))
            other.commit()

    def check(self, allowed):
        """Fail unless the table is whole, and by one of these, where one can look."""
        emails = self._read()
        if emails is None:
            return None
        others = [key_email for key_email in emails if key_email[1] == "other"]
        assert len(others) == (not self.fresh)
        rows = [each for each in emails if each[1] != "other"]
        writers = {email for _, email in rows}
        if not (self.fresh and "old" in allowed and not rows):
            assert Counter(key for key, _ in rows) == Counter(KEYS), rows
            assert len(writers) == 1
        assert writers <= allowed, (writers, allowed)
        return {self._table: writers}

    def leftovers(self, **of_a_store):
        """Nothing outlives a connection: temporary tables go with it."""
        return set()

    def time_passes(self):
        """A database sees for itself who is no longer connected."""
        return contextlib.nullcontext()

    def drop(self):
        for name in (self._table, f"{self._table}_pulls"):
            self._database.execute(f"DROP TABLE IF EXISTS {name}")

    def _read(self):
        select = f"SELECT event_key, email FROM {self._table}"
        if self._database.kind == "duckdb":
            return _read_duckdb(self._database.arguments["path"], select)
        try:
            return self._database.execute(select)
        except Exception:
            if self._database.exists(self._table):
                raise
            return []


def _read_duckdb(path, select):
    """Rows, or None while another process has the file open, when nobody can look."""
    import duckdb

    try:
        with duckdb.connect(path) as connection:
            return connection.execute(select).fetchall()
    except duckdb.CatalogException:
        return []
    except duckdb.IOException as error:
        if "Could not set lock" not in str(error):
            raise
        return None


def play_some(seeds, most, play_course):
    """Draw a course from each seed: how many steps each makes in its turns, and which of them dies."""
    for seed in seeds:
        drawn = random.Random(seed)
        # Often one goes on to its end, or until it waits for the other.
        turns = [drawn.choice([drawn.randint(0, most), 99]) for _ in range(drawn.randint(2, 4))]
        try:
            play_course(drawn, turns)
        except BaseException as error:
            error.add_note(f"in the course of seed {seed}")
            raise


def play_in_store(store, shape, seeds):
    def play_course(drawn, turns):
        fate = drawn.choice([{}, {"killed": 0}, {"killed": 1}, {"sleeps": 0}, {"sleeps": 1}])
        place = Prefix(shape, store, f"courses/{uuid.uuid4().hex[:12]}/")
        with _note_own():
            play(place, lambda *of: Attempt(*of, at_requests), turns, **fate)

    play_some(seeds, {"object": 8, "days": 16, "parts": 25}[shape], play_course)


def play_in_table(database, seeds):
    def play_course(drawn, turns):
        place = Table(database, drawn.choice(["merge", "replace"]), drawn.random() < 0.3)
        try:
            play(place, lambda *of: Attempt(*of, at_statements), turns, drawn.choice([None, 0, 1]))
        finally:
            place.drop()

    play_some(seeds, 20, play_course)


def seeds(count):
    """New ones each time; what fails says of which it was."""
    return [random.randrange(1 << 32) for _ in range(count)]


SHAPES = pytest.mark.parametrize("shape", ["object", "days", "parts"])


@SHAPES
def test_courses_in_s3_end_right(s3, shape):
    play_in_store(s3, shape, [1136591522, 3320613796])


def test_courses_in_databases_end_right(database):
    play_in_table(database, range(3))


@pytest.mark.soak
@pytest.mark.timeout(900)
@SHAPES
@pytest.mark.parametrize("store", ["s3", "azure", "gcs"])
def test_many_courses_in_stores_end_right(store, shape, request):
    play_in_store(request.getfixturevalue(store), shape, seeds(40))


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_many_courses_in_databases_end_right(database):
    play_in_table(database, seeds(100))
