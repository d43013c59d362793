"""Pulls in processes of their own, to be killed amid."""

from __future__ import annotations

import os
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator
from airflow_provider.altcraft.testing import Emulator

# The process imports this file by itself.
sys.path.append(str(Path(__file__).parent))


def start(target: Any, profiles: int, concurrency: int) -> ForkServerProcess:
    """Begin to pull the emulator's first profiles."""
    import killed

    from tests.integration import forks

    return forks.start(killed.pull, target, profiles, concurrency)


def until(api: Emulator, process: ForkServerProcess, requests: int) -> bool:
    """Whether so many requests have come; it waits a moment for them."""
    assert process.is_alive(), "the pull ended before it could be killed"
    if api.request_count >= requests:
        return True
    time.sleep(0.005)
    return False


def kill(process: ForkServerProcess) -> None:
    """End it as the kernel's out-of-memory killer would."""
    process.kill()
    process.join(10)
    assert process.exitcode == -9


def pull(environ: dict[str, str], target: Any, profiles: int, concurrency: int) -> None:
    """Pull, as the process's work."""
    os.environ.update(environ)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # its log
    emails = [f"user{number}@example.com" for number in range(profiles)]
    AltcraftHistoryOperator(task_id="pull", profiles=emails, target=target, concurrency=concurrency).execute({})
