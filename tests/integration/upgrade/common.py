"""What an earlier build, when it wrote what is stored here, and the test of today's have in common.

Nothing of the package is imported: who did what on the platform, a state store, the context of a task.
"""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace
from typing import Any

UTC = dt.UTC
WINDOW = {"date_from": "2026-01-01", "date_to": "2026-01-03"}
PEOPLE = ["ann@example.com", "bob@example.com"]
SINCE = dt.datetime(2026, 1, 1, tzinfo=UTC)
LOOKBACK = 100 * 365 * dt.timedelta(days=1)
"""So long that no event is too late to count, whenever the test runs."""


def fill(api: Any) -> None:
    """Give an emulator, of whatever build, the people and their events: every field is given, none is made up."""
    for number, name in enumerate(("ann", "bob")):
        api.add_profile(email=f"{name}@example.com", xxh=f"{number + 1:016x}", custom={"CRM_ID": name})
    serial = 0
    for name in ("ann", "bob"):
        for day in (1, 2, 3):
            for action in ("send", "open", "form_post"):
                serial += 1
                add(api, name, action, dt.datetime(2026, 1, day, 8, serial, tzinfo=UTC), serial)
    # Two alike in everything: an ordinal tells them apart.
    for _ in range(2):
        add(api, "ann", "click", dt.datetime(2026, 1, 2, 9, tzinfo=UTC), 0, event_id=None, smid=None)


def add_late(api: Any) -> None:
    """Add what came after the earlier build had pulled: an event of a day that it had."""
    add(api, "bob", "form_post", dt.datetime(2026, 1, 2, 20, tzinfo=UTC), 900)


def add(api: Any, name: str, action: str, at: dt.datetime, number: int, **fields: Any) -> None:
    """Add one event."""
    known = {"event_id": f"{number:032x}", "smid": f"s{number}", "message_name": "Winter — ж", "campaign_name": "Sale"}
    api.add_event(
        f"{name}@example.com", action, at=at, message_id=7, campaign_id=8, note={"n": number}, **known | fields
    )


class Store:
    """A state store of Airflow's, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else default

    def set(self, key: str, value: Any) -> None:
        self.rows[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.rows.pop(key, None)

    async def aget(self, key: str, default: Any = None) -> Any:
        return self.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self.set(key, value)

    async def adelete(self, key: str) -> None:
        self.delete(key)


def context_of(run: str, store: Store) -> dict[str, Any]:
    """Make the context of a task that is given events, for which an asset keeps them."""
    return {
        "asset_state_store": {"asset": store},
        "dag": SimpleNamespace(max_active_runs=16),
        "dag_run": SimpleNamespace(run_after=SINCE),
        "run_id": run,
        "task": SimpleNamespace(max_active_tis_per_dag=1, iter_mapped_dependants=lambda: iter(())),
        "ti": SimpleNamespace(dag_id="dag", task_id="task", map_index=-1),
    }
