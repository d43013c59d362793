"""A page and a small API at ``/emulator``, for a person to add events, play faults and see the requests.

For the machine it runs on only: it serves loopback addresses under a loopback name, and refuses forms of other sites.
Plain HTML in which all values are escaped; no script.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response  # noqa: TID253
from starlette.routing import Route  # noqa: TID253

from airflow_provider.altcraft.testing import faults

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from airflow_provider.altcraft.testing.emulator.platform import Platform
    from airflow_provider.altcraft.testing.emulator.record import RecordedRequest

PATH: Final = "/emulator"
SHOWN: Final = 50
"""The number of requests that are listed, the last ones."""

FAULTS: Final[Mapping[str, faults.Fault]] = {
    "status-503": faults.status(503),
    "status-429": faults.status(429, retry_after=1),
    "html-502": faults.html(502),
    "error-400": faults.error(400, "incorrect request"),
    "error-401": faults.error(401, "token required"),
    "error-402": faults.error(402, "tariff limit reached"),
    "error-403": faults.error(403, "no access"),
    "error-500": faults.error(500, "failed"),
    "latency-5s": faults.latency(5),
    "stall": faults.stall(),
    "reset": faults.reset(),
    "close": faults.close_before_response(),
    "truncated": faults.truncated(),
    "malformed-json": faults.malformed_json(),
    "empty": faults.empty(),
    "null-data": faults.null_data(),
}
"""The faults that can be chosen, by name."""

ACTIONS: Final = ("send", "deliv", "open", "click", "confirm", "form_post", "unsub_manual", "complain", "hbounce")
"""The actions that the page offers; any other can be typed."""

_LOOKUP = ("email", "phone", "xxh", "profile_id", "field_value", "subscription_id")
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


class FormError(ValueError):
    """A field of a form has a value that does not fit."""


def routes(api: Platform) -> list[Route]:
    """Return the routes of the page, of its forms, and of the requests as JSON."""

    async def page(request: Request) -> Response:
        return HTMLResponse(_page(api, request.query_params.get("said", "")), headers=_HEADERS)

    async def requests(request: Request) -> Response:
        return JSONResponse([_summary(each) for each in api.requests[-SHOWN:]], headers=_HEADERS)

    async def act(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        try:
            said, status = _run(api, form), 200
        except FormError as error:
            said, status = str(error), 400
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"said": said}, status, headers=_HEADERS)
        return RedirectResponse(f"{api.path}{PATH}?said={quote(said)}", 303, headers=_HEADERS)

    def local(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            refusal = _refusal(request)
            return Response(refusal, 403, _HEADERS, "text/plain") if refusal else await endpoint(request)

        return guarded

    path = f"{api.path}{PATH}"
    return [
        Route(path, local(page), methods=["GET"]),
        Route(path, local(act), methods=["POST"]),
        Route(f"{path}/requests", local(requests), methods=["GET"]),
    ]


def _refusal(request: Request) -> str | None:
    """Return why the request is refused: from another machine, under another name, or sent by another site's page."""
    host = request.headers.get("host", "")
    if not (request.client and _is_loopback(request.client.host) and _is_loopback(urlsplit(f"//{host}").hostname)):
        return "the emulator's page is for the machine on which it runs: ask it by a loopback address"
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        return "the form is of another site"
    return None


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _run(api: Platform, form: Mapping[str, str]) -> str:
    """Do what a form says; return what was done."""
    match form.get("do"):
        case "event":
            return _add_event(api, form)
        case "fault":
            name, times = form.get("fault", ""), _number(form.get("times") or "1", "times")
            if name not in FAULTS:
                raise FormError(f"fault: expected one of {', '.join(FAULTS)}, got {name!r}")
            api.play(*[FAULTS[name]] * min(times, 1000), lookup=form.get("lookup") or None)
            whose = f" for {form['lookup']}" if form.get("lookup") else ""
            return f"{name} is played on the next {'request' if times == 1 else f'{times} requests'}{whose}"
        case "reset":
            api.reset()
            return "requests and faults are forgotten"
    raise FormError("do: expected event, fault or reset")


def _add_event(api: Platform, form: Mapping[str, str]) -> str:
    who, action = form.get("who", "").strip(), form.get("action", "").strip()
    if not who or not action:
        raise FormError("who, action: expected an e-mail or xxh, and an action")
    list_id = _number(form.get("list_id") or str(api.list_ids[-1]), "list_id")
    numbers: dict[str, Any] = {
        name: _number(form[name], name) for name in ("message_id", "campaign_id") if form.get(name)
    }
    if list_id not in api.list_ids:
        raise FormError(f"list_id: expected one of {', '.join(map(str, api.list_ids))}, got {list_id}")
    new = ""
    for name in (who, who if "@" in who else f"{who}@example.com"):
        try:
            api.add_event(name, action, list_id=list_id, **numbers)
        except LookupError:
            continue
        break
    else:
        api.add_profile(email=name, list_id=list_id)
        api.add_event(name, action, list_id=list_id, **numbers)
        new = ", a new profile,"
    return f"{name}{new} did {action} now, in database {list_id}"


def _number(text: str, name: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise FormError(f"{name}: expected a whole number from 1 on, got {text!r}")
    return int(text)


def _summary(request: RecordedRequest) -> dict[str, Any]:
    body = request.body
    return {
        "at": request.at.isoformat(timespec="milliseconds"),
        "method": request.method,
        "lookup": next((str(body[name]) for name in _LOOKUP if body.get(name) is not None), ""),
        "body": dict(body),
        "connection": request.connection,
        "fault": request.fault,
    }


def _page(api: Platform, said: str) -> str:
    *older, newest = api.list_ids
    databases = "".join(f"<option>{each}</option>" for each in older) + f"<option selected>{newest}</option>"
    actions = "".join(f"<option value='{escape(each)}'>" for each in ACTIONS)
    names = "".join(f"<option>{escape(each)}</option>" for each in FAULTS)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td>{escape(str(cell))}</td>"
            for cell in (each["at"][11:23], each["method"], each["lookup"], each["fault"] or "")
        )
        + "</tr>"
        for each in map(_summary, reversed(api.requests[-SHOWN:]))
    )
    path = escape(f"{api.path}{PATH}", quote=True)
    note = f"<p class='said' role='status'>{escape(said)}</p>" if said else ""
    return _HTML.format(
        note=note, path=path, databases=databases, actions=actions, faults=names, rows=rows, count=api.request_count
    )


_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Altcraft emulator</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
form{{margin:.6rem 0}}input,select,button{{font:inherit;margin-right:.4rem}}table{{border-collapse:collapse;width:100%}}
td,th{{text-align:left;padding:.15rem .8rem .15rem 0;border-bottom:1px solid #8884;overflow-wrap:anywhere}}
.said{{border-left:4px solid #2a8;padding-left:.6rem}}input[type=number]{{width:6rem}}</style></head><body>
<h1>Altcraft emulator</h1>{note}
<h2>Let someone do something now</h2>
<form method="post" action="{path}"><input type="hidden" name="do" value="event">
<label>Who <input name="who" value="ann@example.com" required></label>
<label>Action <input name="action" list="actions" value="confirm" required></label>
<datalist id="actions">{actions}</datalist>
<label>Message <input name="message_id" type="number" min="1"></label>
<label>Campaign <input name="campaign_id" type="number" min="1"></label>
<label>Database <select name="list_id">{databases}</select></label><button>Do it</button></form>
<h2>Play a fault</h2>
<form method="post" action="{path}"><input type="hidden" name="do" value="fault">
<label>Fault <select name="fault">{faults}</select></label>
<label>on the next <input name="times" type="number" min="1" value="1"> requests</label>
<label>for <input name="lookup" placeholder="anybody"></label><button>Play it</button></form>
<h2>Requests</h2><p>{count} so far; the last ones first. <a href="{path}">Look again</a></p>
<form method="post" action="{path}"><input type="hidden" name="do" value="reset">
<button>Forget requests and faults</button></form>
<table><thead><tr><th>Time (UTC)</th><th>Method</th><th>Looked up</th><th>Fault</th></tr></thead>
<tbody>{rows}</tbody></table></body></html>
"""
