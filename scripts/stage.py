"""What `make demo` and `make airflow` have in common: an Airflow of their own, and people on an emulated platform."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from airflow_provider.altcraft.testing import Emulator

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "example_dags"
AWAITED = "ann@example.com"
PEOPLE = 60
JANUARY = (dt.datetime(2026, 1, 5, 9, tzinfo=dt.UTC), dt.datetime(2026, 1, 12, 9, tzinfo=dt.UTC))


def connection_to(api: Emulator) -> dict[str, Any]:
    """What a connection to the emulator holds, but for its id."""
    return {
        "conn_type": "altcraft",
        "description": "The emulator of the Altcraft Platform that runs with this Airflow",
        "host": api.url,
        "port": int(api.url.rpartition(":")[2]),
        "password": api.token,
        "extra": {"list_id": 1, "max_connections": 8},
    }


def airflow_environment(home: Path) -> dict[str, str]:
    """The environment of an Airflow that lives in ``home`` and shows the examples.

    What the caller's own environment says about Airflow is left out, so that nobody's real Airflow is touched.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return own | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLES),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # A proxy of the caller's would be asked even for this machine.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # Else __pycache__ folders would appear among the examples.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def populate(api: Emulator, mailings: Sequence[dt.datetime] = JANUARY) -> int:
    """Add Ann, and people with what they did upon mailings at these times; returns how many events there are.

    Nothing is left to chance, so that each run shows the same.
    """
    api.add_profile(email=AWAITED)
    minute = dt.timedelta(minutes=1)
    for number in range(PEOPLE):
        person = api.add_profile(email=f"user{number}@example.com", custom={"CRM_ID": str(number)})
        for message, sent in enumerate(mailings, start=1):
            chance = (number * 37 + message * 11) % 100
            steps = {"send": 0, "hbounce": 1} if chance < 5 else {"send": 0, "deliv": 1}
            steps |= {"open": 20 + chance} if chance >= 45 else {}
            steps |= {"click": 21 + chance} if chance >= 80 else {}
            for action, after in steps.items():
                api.add_event(person, action, at=sent + (number + after) * minute, message_id=message)
    return sum(1 for _ in api.events())
