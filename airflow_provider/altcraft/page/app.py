"""The page's requests: who may see what, and what is shown.

Rights are those of Airflow's own API: the viewer's, for the DAG that is asked. What Airflow has for this is no promised
API of it, so it is imported here alone.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import jinja2
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import (
    ConnectionDetails,
    DagAccessEntity,
    DagDetails,
)
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, ReadableXComFilterDep, get_user, requires_access_dag
from airflow.configuration import conf
from airflow.models.connection import Connection
from airflow.models.dag import DagModel
from fastapi import Depends, FastAPI, Header, HTTPException, Query
from starlette.responses import HTMLResponse, RedirectResponse  # noqa: TID253 - only the API server imports this module

from airflow_provider.altcraft import __version__
from airflow_provider.altcraft._words import plural_of
from airflow_provider.altcraft.page import _connections, _stored
from airflow_provider.altcraft.page._dag_view import dag_view, duration
from airflow_provider.altcraft.page._progress_view import open_pulls, progress_view
from airflow_provider.altcraft.page._pull_view import pull_view
from airflow_provider.altcraft.page._wait_view import open_waits, wait_view

_TEMPLATES: Final = Path(__file__).parent / "templates"
_ENTITIES: Final = (DagAccessEntity.TASK_INSTANCE, DagAccessEntity.XCOM)
_Text = Annotated[str, Query(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]  # PostgreSQL has no text with NUL
_Index = Annotated[str, Query(max_length=20, pattern=r"^-?\d{0,9}$|^\D*$")]


def create_app() -> FastAPI:
    """Return the page as an application to be mounted; each of its addresses requires a user of Airflow."""
    app = FastAPI(
        title="Altcraft",
        dependencies=[Depends(get_user)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        default_response_class=HTMLResponse,
    )
    app.state.auth_manager = get_auth_manager()  # Airflow's dependencies look for it here
    of_any = [Depends(requires_access_dag(method="GET", access_entity=entity)) for entity in _ENTITIES]
    app.add_api_route("/", menu, methods=["GET"], dependencies=of_any)
    app.add_api_route("/test", run_test, methods=["POST"])
    for path, page in (("/dag", dag), ("/task", task)):
        app.add_api_route(path, page, methods=["GET"], dependencies=[Depends(_check_access)])
    return app


def _check_access(dag_id: _Text, user: GetUserDep) -> None:
    """Refuse a viewer who may not read the XComs of the DAG that is shown.

    Airflow's ``requires_access_dag`` looks for the DAG in the path alone before 3.1.7. Where it finds none, any DAG's
    readers pass.
    """
    manager, details = get_auth_manager(), DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    for entity in _ENTITIES:
        if not manager.is_authorized_dag(method="GET", access_entity=entity, details=details, user=user):
            raise HTTPException(403, "Forbidden")


def menu(session: SessionDep, readable: ReadableXComFilterDep, user: GetUserDep) -> HTMLResponse:
    """Show the running waits and pulls and the last pulls of all DAGs that the viewer may read, and the connections."""
    connections = None
    if get_auth_manager().is_authorized_connection(method="GET", user=user):
        connections = _connections.connection_lines(session, partial(_is_allowed, user))
    return _page(
        "menu.html",
        waits=open_waits(_stored.waits_under_way(session, readable.to_orm), dt.datetime.now(dt.UTC)),
        open_pulls=open_pulls(_stored.pulls_under_way(session, readable.to_orm)),
        pulls=dag_view(_stored.last_pulls(session, readable.to_orm)),
        connections=connections,
    )


def run_test(
    conn_id: _Text, session: SessionDep, user: GetUserDep, sec_fetch_site: Annotated[str, Header()] = "same-origin"
) -> RedirectResponse:
    """Test a connection as its form does, and show the menu again.

    Most auth managers set the cookie of the login so that browsers do not send it with what another site posts
    (SameSite=Lax). Browsers also say which site a request comes from.
    """
    if sec_fetch_site != "same-origin" or not all(_is_allowed(user, method, conn_id) for method in ("GET", "POST")):
        raise HTTPException(403, "Forbidden")
    if not _connections.run_test(session, conn_id, user.get_name()):
        raise HTTPException(404, "There is no such connection")
    return RedirectResponse("./", status_code=303)


def _is_allowed(user: BaseUser, method: Literal["GET", "POST"], conn_id: str) -> bool:
    """Return whether a viewer may see a connection (``GET``) or test it (``POST``), forbidden in Airflow by default."""
    if method == "POST" and conf.get("core", "test_connection", fallback="Disabled").strip().lower() != "enabled":
        return False
    team = Connection.get_team_name(conn_id)
    if method == "POST" and team is not None:  # the hook would not find it: Airflow hands it to that team's tasks alone
        return False
    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    return get_auth_manager().is_authorized_connection(method=method, details=details, user=user)


def dag(dag_id: _Text, session: SessionDep) -> HTMLResponse:
    """Show the pulls of a DAG's last runs."""
    return _page("dag.html", dag_id=dag_id, view=dag_view(_stored.pulls_of_dag(session, dag_id)))


def task(
    dag_id: _Text,
    run_id: _Text,
    task_id: _Text,
    session: SessionDep,
    map_index: _Index = "",
) -> HTMLResponse:
    """Show what a task instance has pulled, or waits for."""
    index = int(map_index) if map_index.isdecimal() else -1  # Airflow leaves {MAP_INDEX} in place where there is none
    found = _stored.instance(session, dag_id, run_id, task_id, index)
    if found is not None:
        wait = None if found.wait is None else wait_view(found.wait)
        view, progress = pull_view(found), progress_view(found.progress)
        return _page("task.html", instance=found, view=view, wait=wait, progress=progress, instances=None)
    nothing = HTTPException(404, "There is no such task instance")
    if index >= 0:
        raise nothing
    mapped = _stored.mapped(session, dag_id, run_id, task_id)
    one = mapped[0] if mapped else _stored.any_instance(session, dag_id, run_id, task_id)
    if one is None:
        raise nothing
    instances = dag_view(mapped) if mapped else None
    return _page("task.html", instance=one.as_group(), view=None, wait=None, progress=None, instances=instances)


def _page(template: str, **content: Any) -> HTMLResponse:
    style, policy = _style()
    html = _templates().get_template(template).render(style=style, version=__version__, **content)
    return HTMLResponse(
        html.encode(errors="replace"),  # half of a surrogate pair, which JSON may hold, has no UTF-8
        headers={
            "Cache-Control": "no-store",
            "Content-Security-Policy": policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True, loader=jinja2.FileSystemLoader(_TEMPLATES), trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["duration"] = duration
    environment.filters["noun"] = plural_of
    environment.filters["number"] = lambda number: f"{number:,}"
    return environment


@cache
def _style() -> tuple[str, str]:
    """Return the style sheet, and a policy that allows nothing else: no script, no image, no address elsewhere."""
    style = (_TEMPLATES / "style.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'"
    return style, f"{allowed}; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
