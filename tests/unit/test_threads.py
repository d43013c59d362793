"""Work in a thread that ends with its caller, and whatever moment the caller is interrupted at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from airflow_provider.altcraft._threads import run_in_thread

# In a process of its own: what a signal's handler raises there may also end in other code than ours.
INTERRUPT = """
import asyncio, faulthandler, gc, random, signal, sys
from airflow_provider.altcraft._airflow.event_loop import run_apart

class TimeOut(BaseException):
    pass

def end(*_):
    raise TimeOut

async def work():
    global running
    running += 1
    try:
        await asyncio.sleep(0.002)
    finally:
        running -= 1

running = ended = finished = 0
longest = 0.0035  # seconds, twice what it takes on a fast machine
signal.signal(signal.SIGALRM, end)
gc.disable()  # an error within a destructor is lost
random.seed(1)
for number in range(3000):
    faulthandler.dump_traceback_later(30, exit=True)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, longest))
            run_apart(work())
            finished += 1
            longest *= 0.9
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except TimeOut:
        ended += 1
        longest *= 1.1  # so that some finish and some do not, however fast the machine is
    assert not running
assert ended > 500 and finished > 500, (ended, finished)
"""


def test_interrupted_at_any_moment_it_ends() -> None:
    command = [sys.executable, "-W", "ignore", "-c", INTERRUPT]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


def test_what_the_work_gives() -> None:
    assert run_in_thread(lambda: (threading.current_thread() is threading.main_thread(), 1), pytest.fail) == (False, 1)


def test_what_the_work_raises() -> None:
    def fail() -> None:
        raise SystemExit("no")

    with pytest.raises(SystemExit, match="no"):
        run_in_thread(fail, pytest.fail)


class TimeOut(BaseException):
    """As the handler of a task's time-out raises it."""


@pytest.fixture
def time_out_by_signal() -> Iterator[None]:
    def end(*_: object) -> None:
        raise TimeOut

    before = signal.signal(signal.SIGUSR1, end)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("time_out_by_signal")
def test_a_signal_to_another_thread_interrupts_the_caller() -> None:
    """Python runs its handler in the main thread, which nothing has woken."""
    heard = threading.Event()

    def work() -> None:
        signal.raise_signal(signal.SIGUSR1)
        assert heard.wait(10)

    with pytest.raises(TimeOut):
        run_in_thread(work, heard.set)
    assert heard.is_set()


@pytest.mark.usefixtures("time_out_by_signal")
def test_an_interrupted_caller_waits_for_the_work() -> None:
    """As by a time-out: the work hears of it, and is over before the caller goes on."""
    heard, over = threading.Event(), threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)  # the main thread gets it
        assert heard.wait(10)
        time.sleep(0.1)
        over.set()

    with pytest.raises(TimeOut):
        run_in_thread(work, heard.set)
    assert over.is_set()
