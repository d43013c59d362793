"""Reads a response: bytes and status in, the envelope out, or the error that the response is.

The envelope speaks first, whatever the HTTP status; where there is none, the status does.
"""

from __future__ import annotations

import codecs
import datetime as dt
import re
from collections.abc import Iterable, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import lru_cache
from html import unescape
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft.client._constants import RETRY_AFTER_CAP, TEXT_LIMIT
from airflow_provider.altcraft.client._errors import (
    AccessError,
    AltcraftError,
    BadRequestError,
    ProfileNotFoundError,
    RateLimitError,
    RequestTimeoutError,
    RetriableError,
    ServerError,
    TariffError,
    TokenError,
    UnreadableAnswerError,
    redact,
)
from airflow_provider.altcraft.client._json import decode
from airflow_provider.altcraft.client.transport._proxy import PROXY_WANTS
from airflow_provider.altcraft.window import utc

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from airflow_provider.altcraft.client.transport._httpx import Response

_MEANING: dict[int, tuple[type[AltcraftError], str]] = {
    400: (BadRequestError, "the platform refused the request"),
    401: (
        TokenError,
        "the platform does not accept the token: put a valid one into the connection's password",
    ),
    402: (TariffError, "the limit of the account's tariff is reached"),
    403: (AccessError, "the token has no right to this: grant it in the platform, or look at list_id"),
    407: (BadRequestError, PROXY_WANTS),
    408: (RequestTimeoutError, "the server gave up waiting"),
    429: (RateLimitError, "too many requests"),
}

# Only the text is known, not the code it comes with; what was asked for stands in it as ***. A field or a database that
# is not found is another matter.
_NO_PROFILE = re.compile(
    r"\bprofiles?( \S*\*\*\*\S*)?( (with|by|for) (?!.*\b(field|database|list)\b).*)?"
    r"( is| was)? (not found|does not exist)\b"
    r"|\bno such profile\b(?! (field|database|list))",
    re.IGNORECASE,
)

_NOT_THE_API = "this is an address that is not the API's: is the connection's host right?"
_PROXY = "a proxy or firewall in front of the platform"
_PAGES_OF_OTHERS = frozenset({400, 406, 410, 411, 415, 422})
"""Statuses of other web applications that do not know what is asked of them."""
_PAGES_OF_PROXIES = {
    401: f"{_PROXY} wants a login of its own, which is not the platform's token: ask who runs it",
    403: f"{_PROXY} refuses this machine, not the platform its token: ask who runs it to let the machine in",
}

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_envelope(response: Response, secrets: Iterable[str]) -> dict[str, Any]:
    """The envelope of a success.

    Args:
        response: status, headers and body.
        secrets: what must not stand in an error's text.

    Raises:
        AltcraftError: the response is a failure, by its ``error`` or, with no envelope, by its HTTP status.
    """
    envelope = _envelope(response)
    if envelope is None:
        raise _by_status(response, secrets)
    code = number_of(envelope.get("error"))
    if code is None:
        if response.status >= 300:
            raise _by_status(response, secrets)
        raise UnreadableAnswerError(
            "the answer has no field 'error' with a number, so nothing says that it is whole",
            http_status=response.status,
        )
    if code == 0:
        return envelope
    text = envelope.get("error_text")
    # Of anything but a text it is not known how to mask what must not be said.
    raise _error(response, code, shorten(redact(text, secrets)) if isinstance(text, str) else None)


def number_of(value: object) -> int | None:
    """A whole number, which XML gives as text; ``None`` for anything else, so that no failure passes for a 0."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,9}\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def shorten(text: str) -> str:
    """The text, cut where it is too long for a log."""
    return text if len(text) <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}…"


def rows_of(envelope: Mapping[str, Any], http_status: int) -> list[Any]:
    """The rows of a list response: an array, or, with no rows, null or nothing at all.

    Raises:
        UnreadableAnswerError: ``data`` is something else.
    """
    data = envelope.get("data")
    if data is None or (isinstance(data, str) and not data.strip()):  # XML's empty element
        return []
    if isinstance(data, list):
        return data
    if isinstance(data, _XmlDict):  # an array of one
        return [data]
    raise UnreadableAnswerError(f"data: expected an array, got {type(data).__name__}", http_status=http_status)


class _XmlDict(dict[str, Any]):
    """An element with children. XML does not tell an array of one from its only element."""


def _envelope(response: Response) -> dict[str, Any] | None:
    try:
        content = _content(response)
    except (ValueError, LookupError, RecursionError, SyntaxError):  # the last is XML's
        return None
    return content if isinstance(content, dict) else None


def _content(response: Response) -> Any:
    body = _decoded(response)
    if body.lstrip()[:1] in {b"<", "<"}:
        # Answers are JSON, but for those of proxies and of calls that ask for XML.
        from defusedxml.ElementTree import fromstring

        root = fromstring(body.strip(), forbid_dtd=True)
        return _from_xml(root) if root.tag == "xml" else None
    return decode(body)


def _hindrance(response: Response) -> str | None:
    """Why a response that seems to be the API's cannot be read; ``None`` where it seems to be something else."""
    try:
        _content(response)
    except RecursionError:
        return "it is nested too deeply"
    except UnicodeDecodeError:
        return "it is no UTF-8"
    except ValueError as error:
        return str(error) if response.body.lstrip().startswith(b"{") else None
    except (LookupError, SyntaxError):
        return None
    return None


def _decoded(response: Response) -> str | bytes:
    """The body as text by its byte-order mark, else by the charset that the server names; as it is without either.

    Raises:
        ValueError: it is no text in that charset.
        LookupError: there is no such charset.
    """
    for mark, name in _MARKS:
        if response.body.startswith(mark):
            return response.body.decode(name)
    charset = charset_of(response.headers.get("content-type", ""))
    return response.body.decode(charset) if charset else response.body


@lru_cache(64)
def charset_of(content_type: str) -> str | None:
    """The charset that the header names, if it is not what JSON and XML are in anyway."""
    header = Message()
    header["content-type"] = content_type
    charset = header.get_param("charset")
    return charset if isinstance(charset, str) and charset.lower() not in {"", "utf-8", "utf8"} else None


def _from_xml(element: Element) -> Any:
    if not len(element):
        return element.text or ""
    content = _XmlDict()
    for child in element:
        value = _from_xml(child)
        if child.tag not in content:
            content[child.tag] = value
        elif isinstance(content[child.tag], list):
            content[child.tag].append(value)
        else:
            content[child.tag] = [content[child.tag], value]
    return content


def _by_status(response: Response, secrets: Iterable[str]) -> AltcraftError:
    """The error of a response without an envelope: who sent it need not be the platform."""
    status, looks = response.status, _looks(response, secrets)
    where = f"HTTP {status}, {looks}"
    if 300 <= status < 400:
        return BadRequestError(
            "the server redirects instead of answering: give the final address as the connection's host",
            http_status=status,
        )
    page = _is_page(response)
    if status in {404, 405, 501} or (page and status in _PAGES_OF_OTHERS):
        return BadRequestError(f"{_NOT_THE_API} ({where})", http_status=status)
    if page and status in _PAGES_OF_PROXIES:
        return BadRequestError(f"{_PAGES_OF_PROXIES[status]} ({where})", http_status=status)
    if status == 429 and page:
        return _timed(
            RateLimitError(f"{_PROXY} limits the requests: too many requests ({where})", http_status=429), response
        )
    if status >= 400:
        return _error(response, status, None, looks)
    if hindrance := _hindrance(response):
        return UnreadableAnswerError(f"the answer cannot be read: {hindrance}", http_status=status)
    return UnreadableAnswerError(f"{_NOT_THE_API} ({where})", http_status=status)


def _is_page(response: Response) -> bool:
    """Whether it is a page for people: HTML, which the API never sends."""
    kind = response.headers.get("content-type", "").lower()
    return "html" in kind or re.match(rb"\s*<(!doctype html|html)", response.body, re.IGNORECASE) is not None


def _error(response: Response, code: int, text: str | None, looks: str | None = None) -> AltcraftError:
    # Of a code that nobody documents the HTTP status may say more.
    kind, meaning = _meaning(code) or _meaning(response.status) or _MEANING[400]
    if kind is BadRequestError and text and _NO_PROFILE.search(text.replace("_", " ")):
        kind, meaning = ProfileNotFoundError, "the platform has no such profile"
    said = f"error {code}" + (f": {text}" if text else "")
    where = f"HTTP {response.status}" + (f", {looks}" if looks else "")
    error = kind(
        f"{meaning} ({where})" if looks else f"{meaning} ({said}; {where})",
        code=None if looks else code,
        text=text,
        http_status=response.status,
    )
    return _timed(error, response) if isinstance(error, RetriableError) else error


def _timed(error: RetriableError, response: Response) -> RetriableError:
    """The error with what ``Retry-After`` asks for."""
    error.retry_after = retry_after(response.headers)
    if error.retry_after is not None:
        error.args = (f"{error.args[0]}; asked to wait {error.retry_after:.0f} s{_too_long(error.retry_after)}",)
    return error


def _meaning(code: int) -> tuple[type[AltcraftError], str] | None:
    return (ServerError, "the server failed") if 500 <= code <= 599 else _MEANING.get(code)


def _too_long(seconds: float) -> str:
    return (
        f", longer than the {RETRY_AFTER_CAP:.0f} s that are waited for: try later" if seconds > RETRY_AFTER_CAP else ""
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now that ``Retry-After`` asks to wait, given as seconds or as a date; ``None`` without one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return float(value)
    try:
        at = utc(parsedate_to_datetime(value))
    except ValueError:
        return None
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())


def _looks(response: Response, secrets: Iterable[str]) -> str:
    """What the response looks like, without what may be somebody's data: its type, length and, of a page, its title."""
    if not response.body.strip():
        return "an empty body"
    # Masked before it is cut: half a token is a secret too.
    kind = redact(response.headers.get("content-type", ""), secrets).partition(";")[0].strip() or "no content type"
    looks = f"{shorten(kind)}, {len(response.body)} bytes"
    page = redact(response.body.decode("utf-8", "replace"), secrets)
    title = re.search(r"<title[^>]*>([^<]+)", page, re.IGNORECASE)
    if title:
        looks += f", titled {redact(unescape(title[1]), secrets).strip()[:80]!r}"
    return looks
