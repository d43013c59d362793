"""Three profiles in the emulator, each with an event a day for three days."""

from __future__ import annotations

import datetime as dt

import pytest

from airflow_provider.altcraft.testing import Emulator
from tests.unit.operators.profile_history import NOON, Connect


@pytest.fixture
def api(altcraft_api: Emulator, connect: Connect) -> Emulator:
    connect(altcraft_api)
    for name in ("ann", "bob", "cat"):
        altcraft_api.add_profile(email=f"{name}@example.com", custom={"CRM_ID": name})
        for day in (-1, 0, 1):
            at = NOON + dt.timedelta(days=day)
            altcraft_api.add_event(f"{name}@example.com", "open", at=at, message_id=day + 2, note="ж\n\"'")
    return altcraft_api
