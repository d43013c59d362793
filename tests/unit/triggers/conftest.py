"""For tests of triggers: two people to wait for, and pauses that a test can wait for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from airflow_provider.altcraft.testing import Emulator
from airflow_provider.altcraft.triggers._watch_times import WatchTimes
from airflow_provider.altcraft.triggers.action import AltcraftActionEventTrigger


@pytest.fixture
def api(altcraft_api: Emulator, connect: Callable[..., str]) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob"):
        altcraft_api.add_profile(email=f"{name}@example.com")
    return altcraft_api


@pytest.fixture
def settles_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set after how many seconds what was fired is taken for kept by Airflow."""

    def settle(seconds: float) -> None:
        times = replace(AltcraftActionEventTrigger.watch_times, settled=seconds)
        monkeypatch.setattr(AltcraftActionEventTrigger, "watch_times", times)

    return settle


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    times = WatchTimes(slow=0.2, gather=0.02, settled=0, store_check=0.01, store_retry=0.02)
    monkeypatch.setattr(AltcraftActionEventTrigger, "watch_times", times)
