"""The HTTP application: routes, the check of the token, limits, and responses, with the faults to be played."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json
from starlette.applications import Starlette  # noqa: TID253 - loads only when an emulator is made
from starlette.responses import Response, StreamingResponse  # noqa: TID253
from starlette.routing import Route  # noqa: TID253

from airflow_provider.altcraft.testing.emulator import checks, console
from airflow_provider.altcraft.testing.emulator.methods import METHODS
from airflow_provider.altcraft.testing.emulator.xml import to_xml
from airflow_provider.altcraft.testing.faults import Fault, Reply, Wire, ok, page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from airflow_provider.altcraft.testing.emulator.platform import Platform

_MAX_BODY = 10 * 1024 * 1024  # bytes, the platform's default
_HTML = (("content-type", "text/html; charset=utf-8"),)


def make_app(api: Platform) -> Starlette:
    """Return the ASGI application of an emulator."""

    async def call(request: Request) -> Response:
        raw = await request.body()
        method = request.path_params["method"]
        body = _json_object(raw)
        token = _token(api, request, body or {})
        fault = api.receive(request, method, body or {}) or ok()
        await asyncio.sleep(api.latency + fault.delay)
        if len(raw) > _MAX_BODY:
            reply = Reply(413, _HTML, page(413))
        elif fault.reply:
            reply = fault.reply(token or "")
        elif api.too_fast():
            reply = Reply(429, (*_HTML, ("retry-after", "1")), page(429))
        elif method not in METHODS and not (f"{method}/" in METHODS and api.missing_slash != "refused"):
            reply = Reply(404, _HTML, page(404))
        elif method not in METHODS and api.missing_slash == "redirected":
            reply = Reply(301, (("location", f"{request.url.path}/"),))
        else:
            reply = _answer(api, request, method, body, token, fault)
        return _response(reply, fault)

    async def no_such_page(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        return _response(Reply(status, _HTML, page(status)), ok())

    return Starlette(
        routes=[Route(f"{api.path}/api/v1.1/{{method:path}}", call, methods=["POST"]), *console.routes(api)],
        exception_handlers={404: no_such_page, 405: no_such_page},
    )


def _answer(
    api: Platform, request: Request, method: str, body: dict[str, Any] | None, token: str | None, fault: Fault
) -> Reply:
    """Return the platform's response, changed by the fault."""
    xml, status = False, 200
    try:
        body = _accepted_body(api, request, body, token)
        xml = method.startswith("subscribers/") and checks.asks_for_xml(body)
        serve = METHODS.get(method) or METHODS[f"{method}/"]
        envelope = serve(api, body) | {"error": 0, "error_text": "Successful operation"}
    except checks.RefusalError as refusal:
        envelope = {"error": refusal.code, "error_text": refusal.text}
        status = refusal.code if api.http_status else 200
    if fault.envelope:
        envelope = fault.envelope(envelope)
    kind, content = ("xml", to_xml(envelope)) if xml else ("json", to_json(envelope))
    reply = Reply(status, (("content-type", f"application/{kind}; charset=utf-8"),), content)
    return fault.encoded(reply) if fault.encoded else reply


def _accepted_body(api: Platform, request: Request, body: dict[str, Any] | None, token: str | None) -> dict[str, Any]:
    if "token" in request.query_params:
        raise checks.bad_request("token does not belong into the URL")
    if body is None:
        raise checks.bad_request("the body must be a JSON object")
    if not token:
        raise checks.RefusalError(401, "token required")
    if token != api.token:
        raise checks.RefusalError(401, "token required: this one is not known")
    if api.tariff_exhausted:
        raise checks.RefusalError(402, "tariff limit reached")
    return body


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _token(api: Platform, request: Request, body: dict[str, Any]) -> str | None:
    """Return the token, where it was sent in one of the ways that ``auth`` names."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if "body" in api.auth and body.get("token"):
        return str(body["token"])
    return bearer if "header" in api.auth and scheme.lower() == "bearer" else None


def _response(reply: Reply, fault: Fault) -> Response:
    if fault.wire:
        return _RawResponse(reply, fault.wire)
    if fault.chunk:
        return StreamingResponse(_chunks(reply.body, fault.chunk), reply.status, dict(reply.headers))
    return Response(reply.body, reply.status, dict(reply.headers))


async def _chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


class _RawResponse(Response):
    """A response that violates HTTP, so it is written to the transport directly: the HTTP library would refuse it."""

    def __init__(self, reply: Reply, wire: Wire) -> None:
        super().__init__(reply.body, reply.status, dict(reply.headers))
        self._wire = wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["state"]["transport"]
        wire = self._wire
        if wire.keep != -1:
            await _write(transport, self._head(), wire.rate if wire.slow_head else None)
            body = bytes(self.body)[: wire.keep]
            await _write(transport, b"%x\r\n%b\r\n" % (len(body), body) if wire.chunked else body, wire.rate)
        if wire.end == "reset":
            if wire.keep != -1:
                await asyncio.sleep(0.05)  # else the client might learn of the reset before it reads what was sent
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        elif wire.end == "close":
            transport.close()
        # The server would send a response of its own if this returned before the connection is closed.
        while (await receive())["type"] != "http.disconnect":
            pass

    def _head(self) -> bytes:
        phrase = HTTPStatus(self.status_code).phrase
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        headers.append(
            (b"transfer-encoding", b"chunked") if self._wire.chunked else (b"content-length", b"%d" % len(self.body))
        )
        headers += [(b"connection", b"close")] if self._wire.announced else []
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return f"HTTP/1.1 {self.status_code} {phrase}\r\n".encode() + lines + b"\r\n"


async def _write(transport: asyncio.Transport, data: bytes, rate: float | None) -> None:
    if rate is None:
        transport.write(data)
        return
    size = max(1, int(rate / 20))
    for start in range(0, len(data), size):
        if transport.is_closing():
            return
        transport.write(data[start : start + size])
        await asyncio.sleep(size / rate)
