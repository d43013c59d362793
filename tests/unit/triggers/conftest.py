"""For tests of triggers: two people to wait for, and pauses that a test can wait for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers import _feed, _keeper


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
    return altcraft_api


@pytest.fixture
def settles_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set after how many seconds what was fired is taken for kept by Airflow."""
    return lambda seconds: monkeypatch.setattr(_keeper, "SETTLED", seconds)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, settles_after: Callable[[float], None]) -> None:
    for module, name, value in ((_feed, "SLOW", 0.2), (_feed, "_TOGETHER", 0.02), (_keeper, "_TRY_AGAIN", 0.02)):
        monkeypatch.setattr(module, name, value)
    settles_after(0)
