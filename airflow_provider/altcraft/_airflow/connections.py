"""Looks up connections in a process that is neither a task nor a part of Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_CONTEXT: Final = "_AIRFLOW_PROCESS_CONTEXT"
"""Marks Airflow 3's own processes; its connection commands set it too. Airflow 2 does not read it."""


@contextmanager
def as_server() -> Iterator[None]:
    """Look connections up as Airflow's own commands do: in the environment, secrets backends and the database."""
    before = os.environ.get(_CONTEXT)
    os.environ[_CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONTEXT]
        else:
            os.environ[_CONTEXT] = before
