"""The pauses of every client that a test makes by way of a connection, which has no field for them."""

from __future__ import annotations

import pytest

from airflow_provider.altcraft.client import _constants


def set_retries(
    patch: pytest.MonkeyPatch, attempts: int = _constants.ATTEMPTS, wait_initial: float = 0.01, wait_max: float = 0.05
) -> None:
    """Let a failing call be tried so often, with such pauses: those that a test can wait for, unless given."""
    from airflow_provider.altcraft.client import Retry

    patch.setattr(Retry.__init__, "__defaults__", (attempts, wait_initial, wait_max))
