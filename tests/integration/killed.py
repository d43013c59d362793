"""Pulls in processes of their own, to be killed at any moment."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from airflow_provider.altcraft.extract._protocol import PullSizes
from airflow_provider.altcraft.operators.history import AltcraftDatabaseHistoryOperator, AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator, faults

# The process imports this file by itself.
sys.path.append(str(Path(__file__).parent))


def start(target: Any, profiles: int, concurrency: int) -> ForkServerProcess:
    """Begin to pull the emulator's first profiles."""
    import killed

    from tests.integration import forks

    return forks.start(killed.pull, target, profiles, concurrency)


def start_database(target: Any, batch_rows: int, **how: Any) -> ForkServerProcess:
    """Begin to pull the emulator's whole database."""
    import killed

    from tests.integration import forks

    return forks.start(killed.pull_database, target, batch_rows, how)


def until(api: Emulator, process: ForkServerProcess, requests: int) -> bool:
    """Whether so many requests have come; it waits a moment for them."""
    assert process.is_alive(), "the pull ended before it could be killed"
    if api.request_count >= requests:
        return True
    time.sleep(0.005)
    return False


def hold(api: Emulator, requests: int) -> None:
    """Leave the last of so many requests without an answer, so that the pull that makes it cannot end."""
    api.play(*[faults.ok()] * (requests - 1), faults.stall())


def kill(process: ForkServerProcess) -> None:
    """End it as the kernel's out-of-memory killer would."""
    process.kill()
    process.join(60)
    assert process.exitcode == -9


def pull_database(environ: dict[str, str], target: Any, batch_rows: int, how: dict[str, Any]) -> None:
    """Pull all, as the process's work."""
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # its log
    AltcraftDatabaseHistoryOperator.pull_sizes = PullSizes(batch_rows=batch_rows)
    AltcraftDatabaseHistoryOperator(task_id="pull", target=target, **how).execute({})


def pull(environ: dict[str, str], target: Any, profiles: int, concurrency: int) -> None:
    """Pull, as the process's work."""
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # its log
    emails = [f"user{number}@example.com" for number in range(profiles)]
    AltcraftHistoryOperator(task_id="pull", profiles=emails, target=target, concurrency=concurrency).execute({})


def start_time_out(path: str, profiles: int, seconds: float) -> ForkServerProcess:
    """Begin to pull, for so long."""
    import killed

    from tests.integration import forks

    return forks.start(killed.time_out, path, profiles, seconds)


class TimeOut(BaseException):
    """As Airflow's: raised by the handler of a signal."""


def time_out(environ: dict[str, str], path: str, profiles: int, seconds: float) -> None:
    """Pull, as the process's work, for so long; its exit code is 0 where the time-out has ended the pull."""
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # its log
    faulthandler.dump_traceback_later(60, exit=True)  # where it hangs, instead of waiting for it

    def end(*_: object) -> None:
        raise TimeOut

    emails = [f"nobody{number}@example.com" for number in range(profiles)]
    operator = AltcraftHistoryOperator(task_id="pull", profiles=emails, target=path)
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        operator.execute({})
    except TimeOut:
        return
    raise AssertionError("the pull was not ended")
