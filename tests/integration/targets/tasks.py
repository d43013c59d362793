"""Writes of a table, each in a process of its own as Airflow's tasks are, that commit at the same moment.

The processes are forks of the test's own, so that each need not import Airflow.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from typing import Any

from airflow_provider.altcraft.targets import SqlTarget
from airflow_provider.altcraft.targets.sql.dialects.generic import OtherSession
from airflow_provider.altcraft.testing.conformance.pulls import Pull

SECONDS = 60


def at_once(writes: Sequence[tuple[SqlTarget, Pull]], *, tries: int = 1, other: bool = False) -> list[list[str]]:
    """Write each pull by a task of its own: all open and write, then all commit at once.

    Args:
        writes: what is written to which target.
        tries: how often a task may try, as with Airflow's retries.
        other: write by the way of databases that have none of their own.

    Returns:
        What each task's failed tries said.
    """
    for target, pull in writes:
        target.open(pull.scope).abort()  # imports all that it needs
    context = multiprocessing.get_context("fork")
    gate = context.Barrier(len(writes))
    running = []
    for target, pull in writes:
        reading, writing = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(writing, gate, target, pull, tries, other), daemon=True)
        process.start()
        writing.close()
        running.append((process, reading))
    said = []
    for process, reading in running:
        try:
            assert reading.poll(SECONDS), "a task did not end"
            said.append(reading.recv())
        except EOFError:
            process.join()
            raise AssertionError(f"a task died with {process.exitcode}") from None
        finally:
            process.kill()
            process.join()
    return said


def _work(pipe: Any, gate: Any, target: SqlTarget, pull: Pull, tries: int, other: bool) -> None:
    if other:
        from airflow_provider.altcraft.targets.sql import target as sql

        sql._session_class = lambda hook: OtherSession  # type: ignore[assignment]
    said: list[str] = []
    for number in range(1, tries + 1):
        writer = target.open(pull.scope)
        for batch in pull.batches:
            writer.write(batch)
        if number == 1:
            gate.wait(SECONDS)
        try:
            writer.commit()
            break
        except OSError as error:  # what Airflow retries
            said.append(str(error))
            if number == tries:
                said.append("gave up")
    pipe.send(said)
