"""Links on a task instance's page in Airflow: to its output, to profile and campaign in the platform, to the docs.

Airflow 3 asks for them in the task's own process when it ends, Airflow 2 in the webserver. A link is worth no failure:
what cannot be read is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseHook, BaseOperatorLink, conf

from airflow_provider.altcraft._redact import redacted
from airflow_provider.altcraft.hooks._connection import platform_url

log = logging.getLogger(__name__)

_DOCS: Final = {
    "AltcraftHistoryOperator": "history.html",
    "AltcraftDatabaseHistoryOperator": "database.html",
    "AltcraftEventsOperator": "waiting.html#the-first-task",
    "AltcraftActionSensor": "waiting.html",
}
"""The page of each operator; of an operator of the user's own it is the first one."""

_OF_PROFILES: Final = ("profile_id", "xxh", "list_id")


class OutputLink(BaseOperatorLink):
    """A link to the object or folder that a pull wrote, in the console of its store."""

    name = "Output"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; empty where there is none."""
        return _or_nothing(lambda: console_of((_returned(ti_key).get("uris") or [""])[0]))


class ProfileLink(BaseOperatorLink):
    """A link to the profile that a sensor has waited for, by the connection's ``profile_url``."""

    name = "Profile"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; empty where there is none."""

        def link() -> str:
            connection = BaseHook.get_connection(operator.altcraft_conn_id)
            if not connection.extra_dejson.get("profile_url"):
                return ""
            events = _returned(ti_key)
            found = events[-1] if isinstance(events, list) and events else {}
            given = operator.profile if isinstance(operator.profile, Mapping) else {}
            names = {name: found.get(name) or given.get(name) for name in _OF_PROFILES}
            names["list_id"] = names["list_id"] or operator.list_id or connection.extra_dejson.get("list_id")
            return platform_url(connection, "profile_url", names)

        return _or_nothing(link)


class CampaignLink(BaseOperatorLink):
    """A link to the campaign whose events a sensor has waited for, by the connection's ``campaign_url``."""

    name = "Campaign"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; empty where there is none."""
        if not operator.campaign_id:
            return ""
        names = {"campaign_id": operator.campaign_id}
        return _or_nothing(
            lambda: platform_url(BaseHook.get_connection(operator.altcraft_conn_id), "campaign_url", names)
        )


class DocsLink(BaseOperatorLink):
    """A link to the operator's page of the documentation, where Airflow's configuration has its address."""

    name = "Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; empty without one."""
        return _or_nothing(lambda: _docs_of(operator.task_type))


def _docs_of(task_type: str) -> str:
    docs_url = conf.get("altcraft", "docs_url", fallback="").strip().rstrip("/")
    parts = urlsplit(docs_url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return ""
    return f"{docs_url}/{_DOCS.get(task_type, '')}"


def console_of(uri: str) -> str:
    """Return the address of an object or a folder in its store's console; empty where the store has none."""
    parts = urlsplit(uri)
    conn_id, _, bucket = parts.netloc.rpartition("@")
    key = parts.path[1:]
    if parts.scheme in {"s3", "s3a"}:
        # A store with an endpoint is not Amazon's.
        if conn_id and "endpoint" in (BaseHook.get_connection(conn_id).extra or ""):
            return ""
        kind = "buckets" if not key or key.endswith("/") else "object"
        return f"https://s3.console.aws.amazon.com/s3/{kind}/{quote(bucket)}?prefix={quote(key)}"
    if parts.scheme in {"gs", "gcs"}:
        kind = "" if not key or key.endswith("/") else "_details/"
        return f"https://console.cloud.google.com/storage/browser/{kind}{quote(bucket)}/{quote(key)}"
    return ""


def _returned(ti_key: Any) -> Any:
    """Return the result of the task; an empty mapping without one."""
    if hasattr(ti_key, "xcom_pull"):  # the running task instance of Airflow 3
        return ti_key.xcom_pull(task_ids=ti_key.task_id, map_indexes=ti_key.map_index) or {}
    from airflow.providers.common.compat.sdk import XCom

    return XCom.get_value(key="return_value", ti_key=ti_key) or {}


def _or_nothing(link: Any) -> str:
    try:
        return str(link())
    except Exception as error:
        log.debug("There is no link: %s: %s", type(error).__name__, redacted(error))
        return ""
