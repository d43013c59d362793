"""The Airflow plugin that adds the page to the UI, by the entry point ``airflow.plugins``.

Every process of Airflow loads it, tasks and parsers too, so it imports nothing of the page: the API server does, when
the page is first opened. Airflow 2.11 knows no views of this kind and passes over them.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from airflow.providers.common.compat.sdk import AirflowPlugin

PREFIX: Final = "/altcraft"
"""The path under which Airflow's API server mounts the page."""

# Relative to Airflow's base URL, which may have a path.
_RUN: Final = "dag_id={DAG_ID}&run_id={RUN_ID}"
_VIEWS: Final = {
    "task_instance": f"altcraft/task?{_RUN}&task_id={{TASK_ID}}&map_index={{MAP_INDEX}}",
    "dag": "altcraft/dag?dag_id={DAG_ID}",
    "nav": "altcraft/",
}


class Page:
    """The page as an ASGI application, which is made at the first request."""

    def __init__(self) -> None:
        self._app: Any = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if self._app is None:
            with self._lock:
                if self._app is None:
                    from airflow_provider.altcraft.page.app import create_app

                    self._app = create_app()
        await self._app(scope, receive, send)


class AltcraftPlugin(AirflowPlugin):
    """The page "Altcraft": of a task instance, of a DAG, and in the menu."""

    name = "altcraft"
    fastapi_apps: list[Any] = [{"app": Page(), "url_prefix": PREFIX, "name": "altcraft"}]  # noqa: RUF012 - as Airflow has it
    external_views: list[Any] = [  # noqa: RUF012 - the same
        {"name": "Altcraft", "href": href, "destination": place, "url_route": f"altcraft-{place}".removesuffix("-nav")}
        | ({"category": "browse"} if place == "nav" else {})
        for place, href in _VIEWS.items()
    ]
