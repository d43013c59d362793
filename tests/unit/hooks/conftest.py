"""A connection to the emulator with a profile of three events, and connections of any other kind."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.altcraft.testing import Emulator

Connect = Callable[..., str]


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    altcraft_api.add_profile(email="ann@example.com")
    for day in (1, 2, 3):
        altcraft_api.add_event(
            "ann@example.com", "open", at=dt.datetime(2026, 1, day, 12, tzinfo=dt.UTC), message_id=day
        )
    return altcraft_api


@pytest.fixture
def define(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the connection by the fields given, whether they fit or not."""

    def defined(**connection: Any) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_ALTCRAFT_DEFAULT", json.dumps({"conn_type": "altcraft"} | connection))

    return defined
