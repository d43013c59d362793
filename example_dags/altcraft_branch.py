"""Goes one way for those who have clicked in the last week, and another for those who have not.

Wants the connection ``altcraft_default`` with a default database.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider.altcraft.hooks.altcraft import AltcraftHook


@task.branch
def has_clicked(params: dict[str, Any] | None = None) -> str:
    """Go on by what the profile did."""
    week = dt.datetime.now(dt.UTC) - dt.timedelta(days=7)
    events = AltcraftHook().get_history((params or {})["profile"], date_from=week)
    return "offer" if any(event.action == "click" for event in events) else "another_letter"


@task
def offer(params: dict[str, Any] | None = None) -> str:
    """Stand-in for what makes your offer."""
    return f"Offer for {(params or {})['profile']}"


@task
def another_letter(params: dict[str, Any] | None = None) -> str:
    """Stand-in for what sends another letter."""
    return f"Another letter for {(params or {})['profile']}"


with DAG(
    "altcraft_branch",
    schedule=None,
    description="Goes one way for who has clicked lately, another for who has not",
    doc_md=__doc__,
    tags=["altcraft"],
    params={"profile": Param("ann@example.com", type="string", title="Profile (e-mail)")},
) as dag:
    has_clicked() >> [offer(), another_letter()]
