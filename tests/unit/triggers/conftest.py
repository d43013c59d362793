"""For tests of triggers: two people to wait for, and pauses that a test can wait for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers import _shared_poller, _watch_state


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
    return altcraft_api


@pytest.fixture
def settles_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set after how many seconds what was fired is taken for kept by Airflow."""
    return lambda seconds: monkeypatch.setattr(_watch_state, "SETTLED", seconds)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settles_after: Callable[[float], None]) -> None:
    monkeypatch.setattr(_shared_poller, "SLOW", 0.2)
    monkeypatch.setattr(_shared_poller, "_GATHER", 0.02)
    monkeypatch.setattr(_watch_state, "_STORE_CHECK", 0.01)
    monkeypatch.setattr(_watch_state, "_STORE_RETRY", 0.02)
    settles_after(0)
