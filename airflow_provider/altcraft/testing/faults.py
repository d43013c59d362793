"""Faults that the emulator plays: what goes wrong between a client and the platform, each as a small factory.

``Emulator.play(faults.status(503, retry_after=2), faults.reset())`` spoils the next two answers.
"""

from __future__ import annotations

import gzip as _gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Literal

from pydantic_core import to_json

_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"

Envelope = dict[str, Any]
"""The JSON object of an answer of the platform."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer ready for the wire: status, headers and body."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Wire:
    """The way in which an answer is written to the connection, bypassing the HTTP library, and the connection's end.

    Attributes:
        keep: how many bytes of the body are sent; None is all of them, -1 not even the status line.
        rate: bytes per second, None for at once.
        slow_head: whether status line and headers come at that rate as well.
        end: what then becomes of the connection.
        announced: whether a header says that the connection will close.
        chunked: whether the body goes as one chunk with no last one behind it.
    """

    keep: int | None = None
    rate: float | None = None
    slow_head: bool = False
    end: Literal["close", "reset", "stall"] = "close"
    announced: bool = True
    chunked: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one answer. Made by the functions of this module.

    Attributes:
        name: the fault in words, as it stands in ``RecordedRequest.fault``.
        delay: seconds before the answer.
        reply: makes the answer that is given instead of the true one; it gets the token.
        envelope: changes the true answer before it is encoded.
        encoded: changes the true answer after it was encoded.
        chunk: size in bytes of the chunks the body is sent in; 0 sends it with a Content-Length.
        wire: how it is sent; None is properly.
    """

    name: str
    delay: float = 0.0
    reply: Callable[[str], Reply] | None = field(default=None, repr=False)
    envelope: Callable[[Envelope], Envelope] | None = field(default=None, repr=False)
    encoded: Callable[[Reply], Reply] | None = field(default=None, repr=False)
    chunk: int = 0
    wire: Wire | None = None


def ok() -> Fault:
    """No fault: lets one request through."""
    return Fault("ok")


# What comes late, or not at all


def latency(seconds: float) -> Fault:
    """The true answer, after so many seconds."""
    return Fault(f"latency({seconds})", delay=seconds)


def stall(after: int | None = None) -> Fault:
    """No answer, ever; or, with ``after``, none after that many bytes of the body. The connection stays open."""
    return Fault(f"stall({after})", wire=Wire(keep=-1 if after is None else after, end="stall"))


def drip(bytes_per_second: float) -> Fault:
    """The true answer, its body coming slowly."""
    return Fault(f"drip({bytes_per_second})", wire=Wire(rate=_positive(bytes_per_second)))


def drip_headers(bytes_per_second: float) -> Fault:
    """The true answer, coming slowly from the first byte of the status line on."""
    return Fault(f"drip_headers({bytes_per_second})", wire=Wire(rate=_positive(bytes_per_second), slow_head=True))


# Connections that break


def reset() -> Fault:
    """The connection is reset (TCP RST) before any byte of the answer."""
    return Fault("reset()", wire=Wire(keep=-1, end="reset"))


def reset_during_body(after: int = 1) -> Fault:
    """The connection is reset (TCP RST) after the headers and so many bytes of the body."""
    return Fault(f"reset_during_body({after})", wire=Wire(keep=after, end="reset"))


def __getattr__(name: str) -> Any:
    """Return the fault that had another name before 0.1."""
    if name == "reset_amid_body":
        return reset_during_body
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def close_before_response() -> Fault:
    """The connection is closed in order (TCP FIN) before any byte of the answer."""
    return Fault("close_before_response()", wire=Wire(keep=-1))


def close_after_response() -> Fault:
    """The true answer; then the connection closes without a word, as a pool's idle connection may."""
    return Fault("close_after_response()", wire=Wire(announced=False))


def truncated(after: int = 1, *, chunked: bool = False) -> Fault:
    """The connection closes after so many bytes of the body.

    Its Content-Length is that of the true answer; or, with ``chunked``, there is none and the last chunk is missing.
    """
    return Fault(f"truncated({after}, chunked={chunked})", wire=Wire(keep=after, chunked=chunked))


# Answers of something else than the platform


def status(
    status: int,
    *,
    retry_after: float | datetime | None = None,
    body: str | bytes | None = None,
    content_type: str = _HTML,
) -> Fault:
    """An answer as a proxy gives it.

    Args:
        status: HTTP status.
        retry_after: the header Retry-After: seconds (sent as a whole number), or an aware time (as an HTTP-date).
        body: its body; by default a small HTML page as of a web server.
        content_type: the body's type.
    """
    headers: tuple[tuple[str, str], ...] = (("content-type", content_type),)
    if isinstance(retry_after, datetime):
        headers += (("retry-after", format_datetime(retry_after.astimezone(UTC), usegmt=True)),)
    elif retry_after is not None:
        headers += (("retry-after", f"{retry_after:.0f}"),)
    content = page(status) if body is None else body.encode() if isinstance(body, str) else body
    return Fault(f"status({status})", reply=lambda _: Reply(status, headers, content))


def html(status: int = 502) -> Fault:
    """A web server's HTML page."""
    return Fault(f"html({status})", reply=lambda _: Reply(status, (("content-type", _HTML),), page(status)))


def redirect(url: str, status: int = 307) -> Fault:
    """A redirection; a client that follows it to another host takes the token there."""
    return Fault(f"redirect({status})", reply=lambda _: Reply(status, (("location", url),)))


def plain(text: str, status: int = 200) -> Fault:
    """Plain text."""
    headers = (("content-type", "text/plain; charset=utf-8"),)
    return Fault(f"plain({status})", reply=lambda _: Reply(status, headers, text.encode()))


def empty(status: int = 200) -> Fault:
    """No body at all, with a Content-Length of 0."""
    return Fault(f"empty({status})", reply=lambda _: Reply(status))


# Answers of the platform


def error(code: int, text: str, http_status: int | None = None) -> Fault:
    """The platform's envelope with this error code and text.

    Args:
        code: its ``error``.
        text: its ``error_text``.
        http_status: HTTP status. None is the code where that is a failure's, else 400; older platforms may send 200.
    """
    status = (code if 400 <= code < 600 else 400) if http_status is None else http_status
    return Fault(f"error({code})", reply=lambda _: _envelope_reply(code, text, status))


def echo_token(*, as_html: bool = False, http_status: int = 200) -> Fault:
    """An answer that repeats the token that was sent: an error's text, or an HTML page. To prove redaction."""

    def reply(token: str) -> Reply:
        if as_html:
            body = f"<html><body><h1>Error</h1><p>token={token}</p></body></html>".encode()
            return Reply(http_status, (("content-type", _HTML),), body)
        return _envelope_reply(400, f"incorrect request: token {token} is not like that", http_status)

    return Fault(f"echo_token(as_html={as_html})", reply=reply)


def null_data() -> Fault:
    """The true answer with ``data`` null."""
    return Fault("null_data()", envelope=lambda envelope: envelope | {"data": None})


def no_data() -> Fault:
    """The true answer without ``data``."""
    return Fault("no_data()", envelope=lambda envelope: _without(envelope, "data"))


def no_error() -> Fault:
    """The true answer without ``error`` and ``error_text``."""
    return Fault("no_error()", envelope=lambda envelope: _without(envelope, "error", "error_text"))


def rows(*extra: Mapping[str, Any]) -> Fault:
    """The true answer with these rows, as they are, at the end of ``data``."""

    def append(envelope: Envelope) -> Envelope:
        return envelope | {"data": [*(envelope.get("data") or []), *map(dict, extra)]}

    return Fault(f"rows({len(extra)})", envelope=append)


# Bodies that cannot be read as they are


def malformed_json() -> Fault:
    """A complete HTTP answer whose body is no JSON."""
    return Fault("malformed_json()", encoded=lambda reply: replace(reply, body=b'{"data": [}, "error": 0'))


def truncated_json() -> Fault:
    """A complete HTTP answer whose body is the first half of the true one."""
    return Fault("truncated_json()", encoded=lambda reply: replace(reply, body=reply.body[: len(reply.body) // 2]))


def wrong_content_type(content_type: str = "text/html") -> Fault:
    """The true answer under another Content-Type."""
    return Fault(
        f"wrong_content_type({content_type})",
        encoded=lambda reply: _with_header(reply, "content-type", content_type),
    )


def charset(name: str = "windows-1251") -> Fault:
    """The true answer in another character set, named in its Content-Type; what it lacks becomes a question mark."""

    def recode(reply: Reply) -> Reply:
        kind = dict(reply.headers)["content-type"].partition(";")[0]
        body = reply.body.decode().encode(name, errors="replace")
        return _with_header(replace(reply, body=body), "content-type", f"{kind}; charset={name}")

    return Fault(f"charset({name})", encoded=recode)


def utf8_bom() -> Fault:
    """The true answer behind a byte order mark."""
    return Fault("utf8_bom()", encoded=lambda reply: replace(reply, body=b"\xef\xbb\xbf" + reply.body))


def gzip() -> Fault:
    """The true answer, compressed, whether or not the client accepts it."""
    return Fault("gzip()", encoded=_compressed)


def bad_gzip() -> Fault:
    """An answer that says it is compressed and breaks off within the compressed stream, within complete HTTP."""

    def cut(reply: Reply) -> Reply:
        whole = _compressed(reply)
        return replace(whole, body=whole.body[:12] + b"\xff" * 16)

    return Fault("bad_gzip()", encoded=cut)


def chunked(size: int = 64) -> Fault:
    """The true answer in chunks of so many bytes (Transfer-Encoding: chunked)."""
    return Fault(f"chunked({size})", chunk=size)


def big_headers(size: int) -> Fault:
    """The true answer with a header of so many bytes."""
    return Fault(
        f"big_headers({size})",
        encoded=lambda reply: replace(reply, headers=(*reply.headers, ("x-padding", "p" * size))),
    )


def page(status: int) -> bytes:
    """A web server's own page for an HTTP status."""
    title = f"{status} {_phrase(status)}".strip()
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    ).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # statuses of proxies' own, such as 520
        return ""


def _positive(rate: float) -> float:
    if rate <= 0:
        raise ValueError(f"bytes_per_second must be above 0, not {rate}; stall() never answers")
    return rate


def _envelope_reply(code: int, text: str, http_status: int) -> Reply:
    return Reply(http_status, (("content-type", _JSON),), to_json({"error": code, "error_text": text}))


def _without(envelope: Envelope, *names: str) -> Envelope:
    return {name: value for name, value in envelope.items() if name not in names}


def _with_header(reply: Reply, name: str, value: str) -> Reply:
    return replace(reply, headers=(*(pair for pair in reply.headers if pair[0] != name), (name, value)))


def _compressed(reply: Reply) -> Reply:
    return _with_header(replace(reply, body=_gzip.compress(reply.body, mtime=0)), "content-encoding", "gzip")
