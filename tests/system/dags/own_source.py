"""A source of profiles of the user's own: no dataclass, no call of the base's ``__init__``, one templated attribute."""

from __future__ import annotations

import os
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider.altcraft.client import ProfileLookup
from airflow_provider.altcraft.extract.sources import ProfileSource
from airflow_provider.altcraft.operators.history import AltcraftHistoryOperator


class People(ProfileSource):
    """The people of a host, the first one twice."""

    template_fields = ("host",)

    def __init__(self, host: str) -> None:
        self.host = host

    def lookups(self, client: Any, list_id: int) -> Any:
        """Each in another spelling."""
        yield f"ann@{self.host}"
        yield ProfileLookup(email=f"bob@{self.host}")
        yield {"email": f"ann@{self.host}"}


with DAG("own_source", schedule=None, params={"host": "example.com"}) as dag:
    AltcraftHistoryOperator(
        task_id="pull",
        profiles=People("{{ params.host }}"),
        target=os.environ.get("OWN_SOURCE_TARGET", "/tmp/own_source.jsonl"),
        retries=0,
    )
